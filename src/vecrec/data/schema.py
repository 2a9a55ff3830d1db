"""The schema: the features of items and users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from vecrec._internal.tables import html_table, text_table
from vecrec._internal.validation import instance, listed, sequence_of
from vecrec.data.features import Categorical, Date, Embedding, Feature, MultiCategorical, Numeric, Text
from vecrec.data.frames import FrameLike, read_frame
from vecrec.data.inference import infer_features
from vecrec.errors import InvalidDataError, shown
from vecrec.filters import FilterType
from vecrec.records import JSON, Record
from vecrec.types import Item, User

__all__ = ["Schema"]

_KINDS: dict[str, type[Feature]] = {
    kind.kind: kind for kind in (Categorical, MultiCategorical, Numeric, Date, Embedding, Text)
}
_FORMAT, _WITH_FILTERS = 1, 2
_Owner = TypeVar("_Owner", bound="Item | User")


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of items and of users that have a meaning. Other fields of a record pass through unread.

    A feature is what encoders read, filterable is what a filter may use; a field is one of them or both::

        Schema(
            items=(Text("title"), Categorical("brand", filterable=True)),
            filters=(Numeric("price"), Numeric("stock", dtype="integer")),  # changing them moves no score
        )

    Raises:
        InvalidDataError: for a value that is not a feature, two fields of one name, a filterable feature of users, or
            a text or an embedding among the filters.
    """

    items: tuple[Feature, ...] = ()
    """The fields of an item's record that the encoder reads."""
    users: tuple[Feature, ...] = ()
    """The fields of a user's profile that the encoder reads."""
    filters: tuple[Feature, ...] = ()
    """More fields of an item's record, which filters may use and the encoder does not read."""
    _by_name: dict[str, Feature] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", _features(self.items, "items"))
        object.__setattr__(self, "users", _features(self.users, "users"))
        object.__setattr__(self, "filters", tuple(map(_filterable, _features(self.filters, "filters"))))
        _features(self.item_fields, "items and filters")
        for feature in self.users:
            if feature.filterable:
                raise InvalidDataError(f"feature {feature.name!r} of users is filterable", "only items are searched")
        self._by_name.update((feature.name, feature) for feature in self.item_fields)

    @classmethod
    def infer(
        cls,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
        *,
        exclude: Iterable[str] = (),
        filter_only: Iterable[str] = (),
    ) -> Schema:
        """The schema that the columns of two frames suggest.

        ==============================================  ==================================================
        a column of                                     becomes
        ==============================================  ==================================================
        booleans                                        `Categorical`, boolean
        text in which a value stands on two rows on     `Categorical`
        average, none of over 64 characters, at most
        1,000 different ones
        other text                                      `Text`
        dates and times, also as ISO text               `Date`
        integers                                        `Numeric`, integer
        floating point numbers and decimals             `Numeric`
        lists of text or of integers                    `MultiCategorical`
        lists of floating point numbers of one length   `Embedding`
        anything else, or nothing but missing values    no feature; it stays in the record
        ==============================================  ==================================================

        Lists of values are open, and features of items are filterable where their names allow it.

        Args:
            items: The items' frame, in any form that `Dataset` takes.
            users: The users' frame.
            exclude: Columns that are not features, such as the ids.
            filter_only: Columns of items that filters may use and encoders do not read, such as a price or a stock.

        Raises:
            InvalidDataError: for a frame that cannot be read, or a column of ``filter_only`` that it cannot filter by.
        """
        skip = frozenset(sequence_of(exclude, str))
        frames = [
            None if frame is None else read_frame(frame, what, as_written=True)
            for frame, what in ((items, "items"), (users, "users"))
        ]
        found = [
            () if frame is None else infer_features(frame, skip, filterable=not at) for at, frame in enumerate(frames)
        ]
        return cls(*found).with_filter_only(filter_only)

    def with_filter_only(self, names: Iterable[str]) -> Schema:
        """The schema with some features of items among `filters` instead: encoders no longer read them.

        Raises:
            InvalidDataError: for a name that is not a feature of items, or a feature that no filter can use.
        """
        wanted = [names] if isinstance(names, str) else listed(names, "names of features")
        known = [feature.name for feature in self.items]
        already = [feature.name for feature in self.filters]
        for name in wanted:
            if not isinstance(name, str) or name not in (*known, *already):
                raise InvalidDataError(f"the items have no feature {shown(name)}", f"use one of {known}")
        moved = [feature for feature in self.items if feature.name in wanted]
        kept = [feature for feature in self.items if feature.name not in wanted]
        return replace(self, items=tuple(kept), filters=(*self.filters, *moved)) if moved else self

    @property
    def item_fields(self) -> tuple[Feature, ...]:
        """The fields of an item's record that have a meaning: `items` and `filters`."""
        return (*self.items, *self.filters)

    def check_item(self, item: Item) -> None:
        """Raise `InvalidDataError` if a feature does not fit the schema. A missing feature and ``None`` are valid."""
        instance(item, "the item", Item, "Item(7)")
        _check(self.item_fields, item.features, "item", item.id)

    def check_user(self, user: User) -> None:
        """Raise `InvalidDataError` if a feature does not fit the schema. A missing feature and ``None`` are valid."""
        instance(user, "the user", User, "User(42)")
        _check(self.users, user.features, "user", user.id)

    def drop_invalid_features(self, owner: _Owner) -> _Owner:
        """An item or a user without the features that this schema does not allow; itself where all are allowed.

        The records that are stored outlive schemas: a feature that a later one does not allow counts as missing.
        """
        features = self.users if isinstance(owner, User) else self.item_fields
        bad = {feature.name for feature in features if not _allows(feature, owner.features)}
        if not bad:
            return owner
        return replace(owner, features={name: value for name, value in owner.features.items() if name not in bad})

    def filter_fields(self) -> dict[str, FilterType]:
        """The fields of items that a filter may name, with their types."""
        return {f.name: f.field_type for f in self.item_fields if not isinstance(f, (Text, Embedding)) and f.filterable}

    def attributes(self, item: Item) -> Record:
        """The item's values of the filterable fields, for the vector store: times in seconds, no missing ones."""
        found = ((f, item.features.get(f.name)) for f in self.item_fields if f.filterable)
        return {f.name: f.seconds(v) if isinstance(f, Date) else v for f, v in found if v is not None}

    def to_json(self) -> Record:
        """The schema as a JSON object, which `from_json` reads."""
        found: Record = {"items": [*map(_to_json, self.items)], "users": [*map(_to_json, self.users)]}
        if not self.filters:
            return {"format": _FORMAT, **found}
        return {"format": _WITH_FILTERS, **found, "filters": [*map(_to_json, self.filters)]}

    @classmethod
    def from_json(cls, value: Any) -> Schema:
        """Return the schema that `to_json` wrote.

        Raises:
            InvalidDataError: for any other value.
        """
        if not isinstance(value, Mapping) or value.get("format") not in (_FORMAT, _WITH_FILTERS):
            raise InvalidDataError(
                f"expected a schema of format {_FORMAT} or {_WITH_FILTERS}, got {shown(value)}",
                "write it by Schema.to_json",
            )
        return cls(_from_json(value.get("items")), _from_json(value.get("users")), _from_json(value.get("filters", [])))

    def __str__(self) -> str:
        return "\n".join(text_table(self._rows())) if self._rows() else "Schema without features"

    def _repr_html_(self) -> str:
        return html_table(self._rows(), ("of", "feature", "kind", "values"))

    def _rows(self) -> list[tuple[str, str, str, str]]:
        sides = (("item", self.items), ("filter", self.filters), ("user", self.users))
        return [(side, f.name, _describe(f), _values(f)) for side, features in sides for f in features]


def _features(values: object, side: str) -> tuple[Feature, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidDataError(
            f"the features of {side} must be a list of features, got {shown(values)}", "put them in one"
        )
    features = tuple(values)
    seen: set[str] = set()
    for feature in features:
        if not isinstance(feature, (Categorical, MultiCategorical, Numeric, Date, Embedding, Text)):
            raise InvalidDataError(
                f"the features of {side} contain {shown(feature)}", "use Categorical, Numeric, Text, ..."
            )
        if feature.name in seen:
            raise InvalidDataError(f"the features of {side} name {feature.name!r} twice", "name each once")
        seen.add(feature.name)
    return features


def _filterable(feature: Feature) -> Feature:
    if isinstance(feature, (Text, Embedding)):
        raise InvalidDataError(f"no filter can use the {feature.kind} {feature.name!r}", "leave it in the record alone")
    return feature if feature.filterable else replace(feature, filterable=True)


def _check(features: tuple[Feature, ...], record: Mapping[str, JSON], side: str, owner: Any) -> None:
    for feature in features:
        value = record.get(feature.name)
        if value is not None:
            feature.check(value, side if owner is None else f"{side} {owner!r}")


def _allows(feature: Feature, record: Mapping[str, JSON]) -> bool:
    value = record.get(feature.name)
    try:
        if value is not None:
            feature.check(value, "")
    except InvalidDataError:
        return False
    return True


def _to_json(feature: Feature) -> JSON:
    entry: Record = {"kind": feature.kind, "name": feature.name}
    if isinstance(feature, (Categorical, MultiCategorical)):
        entry["values"] = None if feature.values is None else list(feature.values)
    if isinstance(feature, Embedding):
        entry["dim"] = feature.dim
    elif not isinstance(feature, Text):
        entry |= (
            {"filterable": feature.filterable}
            if isinstance(feature, Date)
            else {"dtype": feature.dtype, "filterable": feature.filterable}
        )
    return entry


def _from_json(entries: JSON) -> tuple[Feature, ...]:
    if not isinstance(entries, list):
        raise InvalidDataError(f"a schema's features must be a list, got {entries!r}", "write it by Schema.to_json")
    return tuple(map(_feature, entries))


def _feature(entry: JSON) -> Feature:
    if not isinstance(entry, dict) or str(entry.get("kind")) not in _KINDS:
        raise InvalidDataError(f"a schema names the feature {entry!r}", f"its kind must be one of {sorted(_KINDS)}")
    settings: dict[str, Any] = {name: value for name, value in entry.items() if name != "kind"}
    try:
        return _KINDS[str(entry["kind"])](**settings)
    except TypeError as error:
        problem = f"a schema names the feature {entry!r}, which cannot be read: {error}"
        raise InvalidDataError(problem, "write it by Schema.to_json") from error


def _describe(feature: Feature) -> str:
    parts = [feature.kind.replace("_", "-")]
    if isinstance(feature, Embedding):
        parts.append(f"of {feature.dim}")
    elif not isinstance(feature, (Text, Date)):
        parts.append(feature.dtype)
    return " ".join(parts) + (", filterable" if feature.filterable else "")


def _values(feature: Feature) -> str:
    if not isinstance(feature, (Categorical, MultiCategorical)):
        return ""
    if feature.values is None:
        return "open list"
    shown = ", ".join(map(str, feature.values[:8]))
    return shown + (f", ... ({len(feature.values)} in all)" if len(feature.values) > 8 else "")
