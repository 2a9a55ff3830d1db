"""Recommendations: what a call returns, and how it shows as an Arrow table, as HTML and as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from vecrec._internal.tables import html_lines, html_table
from vecrec.errors import InvalidDataError, shown
from vecrec.ids import Id
from vecrec.records import JSON, Record, dump_record

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Recommendation", "Recommendations", "label_of"]

_T = TypeVar("_T")

_LONGEST = 120
_WIDEST = 60


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended item. ``movie["title"]`` reads its record."""

    rank: int
    """The place in the list, from 1."""
    item_id: Id
    """The item."""
    score: float
    """The inner product of the user's and the item's vector, plus what the successors of the history's items add where
    the release has some; the weight as a neighbour and the cosine of two items' vectors for similar items; a
    popularity in [0, 1] where the list was ``served_by`` popularity; what only orders the list where words have found
    it; the second stage's own score where it has one."""
    metadata: Record
    """The item's record."""
    source: str = "vectors"
    """Where it was found: ``"vectors"``, ``"successors"`` where only those of the history's items brought it,
    ``"popularity"``, ``"catalogue"`` for an item that passes the filter and
    has no popularity, which has the score 0, or ``"words"``."""

    def __getitem__(self, name: str) -> JSON:
        return self.metadata[name]

    def get(self, name: str, default: JSON = None) -> JSON:
        """A field of the record, or ``default`` where the record lacks it."""
        return self.metadata.get(name, default)

    def value(self, name: str, kind: type[_T]) -> _T:
        """A field of the record as a value of a type, which type checkers know: ``movie.value("year", int) + 1``.

        Args:
            name: Of the field.
            kind: ``str``, ``int``, ``float``, which a whole number is too, ``bool``, ``list`` or ``dict``.

        Raises:
            InvalidDataError: when the record lacks the field, or it is of another type.
        """
        found: Any = self.metadata.get(name)
        if kind is float and type(found) is int:
            found = float(found)
        if type(found) is not kind:
            problem = f"{name!r} of item {self.item_id!r} is {shown(found)}"
            raise InvalidDataError(problem, f"it was asked for as {kind.__name__}: use get(), or look at the record")
        value: _T = found
        return value


@dataclass(frozen=True, slots=True, repr=False)
class Recommendations(Sequence[Recommendation]):
    """A ranked list, best first, and how it was made."""

    items: tuple[Recommendation, ...]
    """The recommended items."""
    user_id: Id | None
    """The user; ``None`` for a visitor and for similar items."""
    release: str
    """The release that answered."""
    served_by: str
    """What ranked them: ``"vectors"``, ``"popularity"``, ``"catalogue"`` where none of them is popular, or ``"words"``
    for a search by text, together with the user's taste."""
    request_id: str
    """A unique id for logs."""
    shortfall: str | None = None
    """Why there are fewer items than ``k``; ``None`` when there are not."""
    missing: tuple[Id, ...] = ()
    """Items that were found but have no record; they were skipped, replaced and marked for repair."""
    based_on: tuple[str, ...] = ()
    """What the user's vector was made from: ``"features"``, ``"history"``, or ``"item"`` for similar items;
    ``"words"`` for a search by text; and ``"dislikes"`` where items similar to them were ranked lower."""
    notes: tuple[str, ...] = ()
    """What else happened, such as a fallback and its reason."""

    @property
    def item_ids(self) -> list[Id]:
        """The ids of the items, best first."""
        return [item.item_id for item in self.items]

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recommendation]: ...
    def __getitem__(self, index: int | slice) -> Recommendation | Sequence[Recommendation]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    def to_dict(self) -> dict[str, Any]:
        """The list as a JSON object: what it was made by, and the items with their records."""
        return {
            "user_id": self.user_id,
            "release": self.release,
            "request_id": self.request_id,
            "served_by": self.served_by,
            "based_on": list(self.based_on),
            "shortfall": self.shortfall,
            "missing": list(self.missing),
            "notes": list(self.notes),
            "items": [
                {"rank": each.rank, "item_id": each.item_id, "score": each.score, "source": each.source,
                 "metadata": each.metadata}
                for each in self.items
            ],
        }  # fmt: skip

    def to_json(self) -> str:
        """The object of `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_arrow(self) -> pa.Table:
        """A table of ``rank``, ``item_id``, ``score`` and a column for each field of the records.

        Ids become text when integers and strings are mixed, since an Arrow column has one type; so do fields with mixed
        types.
        """
        return _as_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """The table of `to_arrow` as a data frame."""
        return self.to_arrow().to_pandas()

    def __repr__(self) -> str:
        whom = "" if self.user_id is None else f" for {self.user_id!r}"
        short = "" if self.shortfall is None else f", {self.shortfall}"
        return f"<{len(self.items)} recommendations{whom} by {self.served_by} of {self.release}{short}>"

    def __str__(self) -> str:
        return _as_text(self)

    def _repr_html_(self) -> str:
        return _as_html(self)


def _as_table(recommendations: Recommendations) -> pa.Table:
    """A table of ``rank``, ``item_id``, ``score`` and a column for each field of the records, null where it is missing.

    A column has one type: ids become text when integers and strings are mixed, and so does a field whose values are of
    several types, which Arrow cannot hold together; objects become their JSON text. A field that is called like one of
    the first three columns has ``record.`` before its name.
    """
    import pyarrow as pa

    rows = list(recommendations)
    columns = {
        "rank": pa.array([row.rank for row in rows], pa.int64()),
        "item_id": _ids([row.item_id for row in rows]),
        "score": pa.array([row.score for row in rows], pa.float64()),
    }
    for name in dict.fromkeys(name for row in rows for name in row.metadata):
        values = [row.metadata.get(name) for row in rows]
        columns[f"record.{name}" if name in ("rank", "item_id", "score") else name] = _column(values)
    return pa.table(columns)


def _as_html(recommendations: Recommendations) -> str:
    """A table for a notebook, everything in it escaped, with a line that says who was served and how."""
    rows = list(recommendations)
    fields = list(dict.fromkeys(name for row in rows for name in row.metadata))
    cells = ([str(r.rank), str(r.item_id), f"{r.score:.4f}", *(_shown(r.get(name)) for name in fields)] for r in rows)
    table = html_table(cells, ("", "item", "score", *fields), [_caption(recommendations)])
    return f"<div>{table}{html_lines(_notes(recommendations))}</div>"


def _as_text(recommendations: Recommendations) -> str:
    """A line that says who was served and how, then a line an item: rank, id, score and what it is called."""
    rows = [(str(r.rank), str(r.item_id), f"{r.score:.4f}", label_of(r.metadata)) for r in recommendations]
    cells = [[" ".join(cell.split())[:_WIDEST] for cell in row] for row in rows]
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(4)]
    lines = [
        f"{rank:>{widths[0]}}  {item:<{widths[1]}}  {score:>{widths[2]}}  {label}".rstrip()
        for rank, item, score, label in cells
    ]
    return "\n".join([_caption(recommendations), *lines, *_notes(recommendations)])


def label_of(record: Record) -> str:
    """What an item is called: its title or name, or else its first text; empty where it has no text."""
    named = [record.get(name) for name in ("title", "name", "label")]
    return next((value for value in [*named, *record.values()] if isinstance(value, str)), "")


def _ids(ids: Sequence[int | str]) -> pa.Array:
    import pyarrow as pa

    if all(isinstance(value, int) for value in ids):
        return pa.array(ids, pa.int64())
    return pa.array([str(value) for value in ids], pa.string())


def _column(values: Sequence[JSON]) -> pa.Array:
    import pyarrow as pa

    kinds = {_kind(value) for value in values if value is not None}
    if len(kinds) == 2 and "list" in kinds and any(kind.startswith("list of ") for kind in kinds):
        kinds.discard("list")  # a list that is empty goes with any other
    if kinds == {"int", "float"}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())  # type: ignore[arg-type]
    # Objects too: Arrow would give each of them the keys of all.
    if len(kinds) > 1 or any("dict" in kind or "?" in kind for kind in kinds):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())
    return pa.array(values)


def _kind(value: JSON) -> str:
    if not isinstance(value, list):
        return type(value).__name__
    inside = {_kind(item) for item in value if item is not None}
    return "list" if not inside else f"list of {inside.pop()}" if len(inside) == 1 else "?"


def _text(value: JSON) -> str:
    if isinstance(value, str):
        return value
    return dump_record(value) if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)


def _shown(value: JSON) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value):
        text = ", ".join(map(str, value))
    else:
        text = _text(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _caption(recommendations: Recommendations) -> str:
    whom = "" if recommendations.user_id is None else f" for {recommendations.user_id!r}"
    count = len(recommendations)
    things = "1 recommendation" if count == 1 else f"{count} recommendations"
    return f"{things}{whom}, served by {recommendations.served_by}, release {recommendations.release}"


def _notes(recommendations: Recommendations) -> list[str]:
    missing = ", ".join(map(repr, recommendations.missing))
    return [
        *([recommendations.shortfall] if recommendations.shortfall else []),
        *([f"without a record, and left out: {missing}"] if missing else []),
        *recommendations.notes,
    ]
