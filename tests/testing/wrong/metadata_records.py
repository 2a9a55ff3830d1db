"""Metadata stores that are wrong about records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import override

from tests.testing.references import SharedMetadataStore
from tests.testing.wrong import caught_by
from vecrec.errors import InvalidDataError, StoreError
from vecrec.ids import Id
from vecrec.records import Record, check_record


class _Put(SharedMetadataStore):
    """Bends records on their way to the engine."""

    def bend(self, key: Id, record: Record) -> tuple[Id, Any]:
        raise NotImplementedError

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        super()._put(kind, dict(self.bend(*pair) for pair in records.items()))


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    return [_each(item, change) for item in value] if isinstance(value, list) else change(value)


@caught_by("test_values_come_back_equal_with_their_types")
class WholeFloatsBecomeIntegers(_Put):
    @override
    def bend(self, key: Id, record: Record) -> tuple[Id, Any]:
        return key, _each(
            record, lambda value: int(value) if isinstance(value, float) and value.is_integer() else value
        )


@caught_by("test_values_come_back_equal_with_their_types")
class IntegersBecomeFloats(_Put):
    @override
    def bend(self, key: Id, record: Record) -> tuple[Id, Any]:
        return key, _each(record, lambda value: float(value) if type(value) is int else value)


@caught_by("test_values_come_back_equal_with_their_types")
class NegativeZeroIsZero(_Put):
    @override
    def bend(self, key: Id, record: Record) -> tuple[Id, Any]:
        return key, _each(record, lambda value: value + 0.0 if isinstance(value, float) else value)


@caught_by("test_values_come_back_equal_with_their_types")
class NoneIsMissing(_Put):
    @override
    def bend(self, key: Id, record: Record) -> tuple[Id, Any]:
        return key, {name: value for name, value in record.items() if value is not None}


@caught_by("test_values_come_back_equal_with_their_types")
class TextIsCut(_Put):
    @override
    def bend(self, key: Id, record: Record) -> tuple[Id, Any]:
        return key, _each(record, lambda value: value[:16_383] if isinstance(value, str) else value)


@caught_by("test_values_come_back_equal_with_their_types")
class EmptyKeyIsLost(_Put):
    @override
    def bend(self, key: Id, record: Record) -> tuple[Id, Any]:
        return key, {name: value for name, value in record.items() if name}


@caught_by("test_the_engine_holds_what_was_put")
class TwoBugsThatCancel(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        super()._put(kind, {key: _each(record, _swapped) for key, record in records.items()})

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        return {key: _each(record, _swapped) for key, record in super()._get(kind, ids).items()}


def _swapped(value: Any) -> Any:
    return not value if isinstance(value, bool) else value


@caught_by("test_python_values_become_json")
class RefusesTuples(SharedMetadataStore):
    @override
    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        if isinstance(records, dict) and any("t" in record for record in records.values() if isinstance(record, dict)):
            raise InvalidDataError("a tuple is no JSON")
        super().put(kind, records)


class _Folds(SharedMetadataStore):
    """Confuses some ids, when writing and when reading."""

    def fold(self, key: Id) -> Id:
        raise NotImplementedError

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        super()._put(kind, {self.fold(key): record for key, record in records.items()})

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        found = super()._get(kind, [self.fold(key) for key in ids])
        return {key: found[self.fold(key)] for key in ids if self.fold(key) in found}


@caught_by("test_ids_are_distinct_byte_for_byte")
class IdsFolded(_Folds):
    @override
    def fold(self, key: Id) -> Id:
        return key.casefold() if isinstance(key, str) else key


@caught_by("test_ids_are_distinct_byte_for_byte")
class IdsPadded(_Folds):
    @override
    def fold(self, key: Id) -> Id:
        return key.rstrip(" ") if isinstance(key, str) else key


@caught_by("test_an_integer_and_its_text_are_two_ids")
class IdsAsText(_Folds):
    @override
    def fold(self, key: Id) -> Id:
        return str(key)


@caught_by("test_a_hostile_id_deletes_only_itself")
class InjectedDelete(SharedMetadataStore):
    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        super()._delete(kind, ids)
        if any("' OR '" in str(key) for key in ids):
            self._records[kind].clear()


@caught_by("test_a_hostile_id_deletes_only_itself")
class DeletesByPattern(SharedMetadataStore):
    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        super()._delete(kind, list(self._kind(kind)) if "*" in ids else ids)


@caught_by("test_batches_may_have_any_size")
class DeletesOneMore(SharedMetadataStore):
    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        others = [key for key in self._kind(kind) if key not in ids]
        super()._delete(kind, [*ids, *others[:1]])


@caught_by("test_batches_may_have_any_size")
class LosesTheLastOfABatch(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        super()._put(kind, dict(list(records.items())[: max(1, len(records) - 1)]))


@caught_by("test_batches_may_have_any_size")
class PutsAThousand(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        super()._put(kind, dict(list(records.items())[:1000]))


@caught_by("test_batches_may_have_any_size")
class GetOfNothingFails(SharedMetadataStore):
    @override
    def get(self, kind: str, ids: Sequence[Id]) -> dict[Id, Record]:
        if len(ids) == 0:
            raise StoreError("IN () is no SQL")
        return super().get(kind, ids)


@caught_by("test_a_batch_costs_a_few_round_trips")
class GetsOneByOne(SharedMetadataStore):
    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        return {key: record for one in ids for key, record in super(GetsOneByOne, self)._get(kind, [one]).items()}


@caught_by("test_get_keeps_the_order_and_leaves_out_what_is_missing")
class GetsInItsOwnOrder(SharedMetadataStore):
    @override
    def get(self, kind: str, ids: Sequence[Id]) -> dict[Id, Record]:
        return dict(sorted(super().get(kind, ids).items(), key=lambda pair: repr(pair[0])))


@caught_by("test_put_replaces_the_whole_record")
class Merges(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        held = self._kind(kind)
        super()._put(kind, {key: held.get(key, {}) | record for key, record in records.items()})


@caught_by("test_repeating_a_put_changes_nothing")
class CountsItsChanges(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        held = self._kind(kind)
        super()._put(
            kind, {key: record | ({"changed": True} if key in held else {}) for key, record in records.items()}
        )


@caught_by("test_deleting_what_is_missing_is_no_error")
class DeleteInsists(SharedMetadataStore):
    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        if any(key not in self._kind(kind) for key in ids):
            raise StoreError("no such record")
        super()._delete(kind, ids)


@caught_by("test_kinds_are_independent")
class KindsByPrefix(SharedMetadataStore):
    @override
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        for name in [name for name in self._open(self._records) if name.startswith(kind)]:
            yield from super()._scan(name, batch_size)


@caught_by("test_kinds_are_independent")
class KindsRunIntoIds(_Folds):
    """Keys that are glued together from kind and id without a mark between them."""

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        for key, record in records.items():
            for name in [kind, *(name for name in self._records if f"{name}{key}".startswith(kind))]:
                SharedMetadataStore._put(self, name, {key: record})

    @override
    def fold(self, key: Id) -> Id:
        return key


@caught_by("test_the_longest_name_is_a_kind")
class KindsUnchecked(SharedMetadataStore):
    @override
    def count(self, kind: str) -> int:
        return self._count(str(kind))


@caught_by("test_the_longest_name_is_a_kind")
class KindsAreCut(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        super()._put(kind[:24], records)


@caught_by("test_bad_records_are_refused_before_anything_is_written")
class NaNBecomesNone(SharedMetadataStore):
    @override
    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        if not isinstance(records, Mapping):
            raise InvalidDataError("no mapping")
        super().put(kind, {key: _each(record, lambda v: None if v != v else v) for key, record in records.items()})  # noqa: PLR0124


@caught_by("test_bad_records_are_refused_before_anything_is_written")
class StopsAtTheBadRecord(SharedMetadataStore):
    @override
    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        if not isinstance(records, Mapping):
            raise InvalidDataError("no mapping")
        for key, record in records.items():
            super().put(kind, {key: record})


@caught_by("test_bad_ids_are_refused_before_anything_is_written")
class IdsFromAnything(SharedMetadataStore):
    @override
    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        given: dict[Any, Any] = dict(records)
        super().put(kind, {key if isinstance(key, (int, str)) else repr(key): given[key] for key in given})


@caught_by("test_what_was_put_is_neither_kept_nor_changed")
class KeepsTheCallersRecords(SharedMetadataStore):
    @override
    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        super().put(kind, records)
        self._records[kind].update(records)  # type: ignore[arg-type]


@caught_by("test_what_was_put_is_neither_kept_nor_changed")
class ChangesTheCallersRecords(SharedMetadataStore):
    @override
    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        given: Any = records
        for record in given.values() if isinstance(given, dict) else ():
            if isinstance(record, dict):
                record.update({name: check_record({"": value})[""] for name, value in record.items()})
        super().put(kind, records)


@caught_by("test_what_was_read_belongs_to_the_caller")
class GivesItsOwnRecords(SharedMetadataStore):
    @override
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        return iter(list(self._kind(kind).items()))
