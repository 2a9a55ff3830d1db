"""Metadata stores that are wrong about scanning, counting and connections."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from typing_extensions import override

from tests.testing.references import SharedMetadataStore
from tests.testing.wrong import caught_by
from vecrec.errors import StoreError
from vecrec.ids import Id
from vecrec.metadata_stores import MetadataStore
from vecrec.records import Record
from vecrec.types import Event


class _Scan(SharedMetadataStore):
    def bend(self, pairs: list[tuple[Id, Record]], batch_size: int) -> list[tuple[Id, Record]]:
        raise NotImplementedError

    @override
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        yield from self.bend(list(super()._scan(kind, batch_size)), batch_size)


@caught_by("test_scan_gives_every_record_once")
class ScanDropsTheRest(_Scan):
    @override
    def bend(self, pairs: list[tuple[Id, Record]], batch_size: int) -> list[tuple[Id, Record]]:
        return pairs[: len(pairs) // batch_size * batch_size]


@caught_by("test_scan_gives_every_record_once")
class ScanRepeats(_Scan):
    @override
    def bend(self, pairs: list[tuple[Id, Record]], batch_size: int) -> list[tuple[Id, Record]]:
        return [pair for place, pair in enumerate(pairs) for _ in range(2 if place == batch_size else 1)]


@caught_by("test_scan_is_not_thrown_off_by_writes")
class ScansByOffset(SharedMetadataStore):
    @override
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        offset = 0
        while batch := list(super()._scan(kind, batch_size))[offset : offset + batch_size]:
            yield from batch
            offset += batch_size


@caught_by("test_scan_refuses_a_batch_size_below_one")
class BatchSizeUnchecked(SharedMetadataStore):
    @override
    def scan(self, kind: str, batch_size: int = 1000) -> Iterator[tuple[Id, Record]]:
        return self._scan(kind, batch_size)


@caught_by("test_count_counts_records_not_writes")
class CountsWrites(SharedMetadataStore):
    _written = 0

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        self._written += len(records)
        super()._put(kind, records)

    @override
    def _count(self, kind: str) -> int:
        return self._written


@caught_by("test_what_was_written_is_read_by_the_next_call")
class ReadsLate(SharedMetadataStore):
    """Reads what there was before the latest write."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[Id, Record] = {}

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        self._before = dict(self._kind(kind))
        super()._put(kind, records)

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        return super()._get(kind, ids) | {key: self._before[key] for key in ids if key in self._before}


@caught_by("test_what_was_written_is_read_by_another_connection")
class RemembersWhatItRead(SharedMetadataStore):
    """Keeps what it has read until it writes itself."""

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[Id, Record] = {}

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        self._cache.clear()
        super()._put(kind, records)

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        self._cache = super()._get(kind, ids) | self._cache
        return {key: self._cache[key] for key in ids if key in self._cache}


@caught_by("test_threads_lose_no_record")
class LosesRecords(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        merged = self._kind(kind) | records
        time.sleep(0.001)
        self._records[kind] = merged


@caught_by("test_threads_lose_no_event")
class LosesEvents(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        for event in events:
            assert event.user_id is not None
            history = self._events.get(event.user_id, {}) | {(event.item_id, event.time, event.kind): event}
            time.sleep(0.001)
            self._events[event.user_id] = dict(sorted(history.items(), key=lambda held: held[1].time or 0.0))


@caught_by("test_a_batch_is_read_whole_or_not_at_all")
class PutsInHalves(SharedMetadataStore):
    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        half = len(records) // 2
        super()._put(kind, dict(list(records.items())[:half]))
        time.sleep(0.001)
        super()._put(kind, dict(list(records.items())[half:]))


@caught_by("test_data_outlives_the_connection")
class ForgetsWhenClosed(SharedMetadataStore):
    def __init__(self) -> None:
        super().__init__()
        self._mine: set[Id] = set()

    @override
    def _append_events(self, events: list[Event]) -> None:
        super()._append_events(events)
        self._mine |= {event.user_id for event in events if event.user_id is not None}

    @override
    def close(self) -> None:
        for user in self._mine:
            self._events.pop(user, None)
        super().close()


@caught_by("test_ping_returns_while_the_engine_answers")
class PingFails(SharedMetadataStore):
    @override
    def ping(self) -> None:
        raise StoreError("ping is not supported")


@caught_by("test_close_may_be_called_twice")
class ClosesOnce(SharedMetadataStore):
    @override
    def close(self) -> None:
        self._open(None)
        super().close()


@caught_by("test_leaving_the_with_block_closes")
class StaysOpen(SharedMetadataStore):
    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@caught_by("test_a_closed_store_refuses_every_call")
class CountsWhenClosed(SharedMetadataStore):
    @override
    def _count(self, kind: str) -> int:
        return len(self._records.get(kind, {}))


@caught_by("test_an_engine_out_of_reach_is_told_in_time")
class RawErrorWhenLost(SharedMetadataStore):
    @override
    @classmethod
    def lost(cls) -> MetadataStore:
        raise ConnectionRefusedError("nobody listens")


@caught_by("test_an_engine_out_of_reach_is_told_in_time")
class SilentWhenLost(SharedMetadataStore):
    @override
    @classmethod
    def lost(cls) -> MetadataStore:
        return cls()


@caught_by("test_an_engine_that_hangs_is_waited_for_once")
class WaitsEachTime(SharedMetadataStore):
    @override
    def guard(self) -> AbstractContextManager[None]:
        return nullcontext()
