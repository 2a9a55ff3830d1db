"""The columns of a collection, and its description, by which any process knows it again."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vecrec.errors import InvalidDataError, StoreError
from vecrec.vector_stores.base import CollectionSpec
from vecrec.vector_stores.milvus.index import Index, dump_index, load_index

if TYPE_CHECKING:
    from vecrec.filters import FieldType
    from vecrec.vector_stores.base import Attributes

__all__ = ["ID", "MAX_ITEMS", "MAX_TEXT", "PROPERTY", "VECTOR", "ZERO", "Column", "Layout", "dump_list", "escape"]

ID, VECTOR, ZERO = "id", "vector", "zero"
"""The columns besides those of the fields, whose names have prefixes: the tagged id, the vector, and in collections
compared by angle whether the vector is zero."""

PROPERTY = "vecrec"
"""The collection's property that repeats its description."""

MAX_TEXT = 65_535
"""The longest text of a column, in UTF-8 bytes on a server, in characters on Milvus Lite."""

MAX_ITEMS = 4096
"""The longest list of an ARRAY column."""

MAX_COLUMNS = 64
"""The most columns of a collection on a server."""

_MARK = "vecrec/1 "
_MAX_ID = 520
_TYPES: Mapping[str, str] = {"boolean": "BOOL", "integer": "INT64", "number": "DOUBLE", "string": "VARCHAR"}
_DEFAULTS: Mapping[FieldType, Any] = {
    "boolean": False, "integer": 0, "number": 0.0, "string": "", "integers": [], "strings": [],
}  # fmt: skip

# What Milvus Lite's LIKE could read as a pattern, and what delimits the items of a list.
_ESCAPES = {code: f"~{code:02x}" for code in (*range(32), *map(ord, "%_\\|~"))}
_ESCAPED = re.compile("~([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the items and where it is kept."""

    field: str
    """The field's name."""
    kind: FieldType
    """Its type."""
    name: str
    """The column of its values."""
    has: str | None
    """The column that tells whether there is a value, since a server knows no NULL before 2.5."""
    is_list: bool
    """Whether it holds lists."""
    as_text: bool
    """Whether it holds lists as text. On Milvus Lite the engine's own lists are searched row by row in Python, 30 times
    slower than a LIKE on text."""
    type: str
    """The engine's name of its type; of lists, that of their items."""
    default: Any
    """What the column holds where there is no value."""

    @classmethod
    def of(cls, name: str, kind: FieldType, *, arrays: bool) -> Column:
        """The column of a field; ``arrays`` says whether lists are ARRAY columns."""
        is_list = kind in ("integers", "strings")
        as_text = is_list and not arrays
        item = "string" if as_text else kind.removesuffix("s")
        default = "" if as_text else _DEFAULTS[kind]
        return cls(name, kind, f"f_{name}", None if as_text else f"h_{name}", is_list, as_text, _TYPES[item], default)

    def dump(self, value: Any) -> Any:
        """What the column holds for a value."""
        return dump_list(value) if self.as_text else value

    def read(self, row: Mapping[str, Any]) -> Any:
        """The value in a row of the engine, ``None`` where there is none."""
        if self.has is not None and not row[self.has]:
            return None
        stored = row[self.name]
        if not self.is_list:
            return stored
        return _load_list(stored, self.kind) if self.as_text else list(stored)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a collection is laid out in Milvus."""

    spec: CollectionSpec
    """What it holds."""
    index: Index
    """How its vectors are indexed."""
    arrays: bool
    """Whether lists are ARRAY columns."""
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells two collections of one name apart."""
    columns: tuple[Column, ...] = field(init=False, compare=False)
    """The columns of the fields."""

    def __post_init__(self) -> None:
        columns = [Column.of(name, kind, arrays=self.arrays) for name, kind in self.spec.fields.items()]
        object.__setattr__(self, "columns", tuple(columns))

    @property
    def metric(self) -> str:
        """The engine's name of the metric."""
        return "COSINE" if self.spec.metric == "cosine" else "IP"

    def column(self, name: str) -> Column:
        """The column of a field."""
        return Column.of(name, self.spec.fields[name], arrays=self.arrays)

    def names(self, fields: Collection[str] | None = None) -> list[str]:
        """The columns of some fields; by default of all."""
        names = []
        for column in self.columns:
            if fields is not None and column.field not in fields:
                continue
            names += [column.name] if column.has is None else [column.name, column.has]
        return names

    def attributes(self, row: Mapping[str, Any]) -> Attributes:
        """The attributes in a row of the engine."""
        values = {column.field: column.read(row) for column in self.columns if column.name in row}
        return {name: value for name, value in values.items() if value is not None}

    def description(self) -> str:
        """What the collection says about itself."""
        record = {
            "dim": self.spec.dim, "metric": self.spec.metric, "fields": self.spec.fields,
            "index": dump_index(self.index), "arrays": self.arrays, "key": self.key,
        }  # fmt: skip
        return _MARK + json.dumps(record, separators=(",", ":"))

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Layout | None:
        """The layout of a collection that the engine describes; ``None`` if vecrec has not made it.

        Raises:
            StoreError: when a newer vecrec has.
        """
        # Milvus Lite loses the description and keeps the property; not every server keeps properties.
        description = str(record["description"] or record.get("properties", {}).get(PROPERTY, ""))
        if not description.startswith(_MARK):
            if description.startswith("vecrec/"):
                raise StoreError(f"a newer vecrec has made this collection ({description[:12]!r})", "upgrade vecrec")
            return None
        made = json.loads(description.removeprefix(_MARK))
        spec = CollectionSpec(made["dim"], made["metric"], made["fields"])
        return cls(spec, load_index(made["index"]), made["arrays"], made["key"])

    def check(self) -> None:
        """Check that a server can hold it.

        Raises:
            InvalidDataError: for too many fields.
        """
        count = sum(1 if column.has is None else 2 for column in self.columns)
        room = MAX_COLUMNS - 2 - (self.spec.metric == "cosine")
        if self.arrays and count > room:
            raise InvalidDataError(
                f"{len(self.spec.fields)} filterable fields need {count} columns, a Milvus server has room for {room}",
                "mark fewer fields filterable; the others belong in the records",
            )

    def schema(self, engine: Any) -> Any:
        """The engine's schema."""
        from pymilvus import DataType

        schema = engine.create_schema(auto_id=False, enable_dynamic_field=False, description=self.description())
        schema.add_field(ID, DataType.VARCHAR, is_primary=True, max_length=_MAX_ID)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=self.spec.dim)
        if self.spec.metric == "cosine":
            schema.add_field(ZERO, DataType.BOOL)
        for column in self.columns:
            size = {"max_length": MAX_TEXT} if column.type == "VARCHAR" else {}
            if column.is_list and self.arrays:
                items = DataType[column.type]
                schema.add_field(column.name, DataType.ARRAY, element_type=items, max_capacity=MAX_ITEMS, **size)
            else:
                schema.add_field(column.name, DataType[column.type], **size)
            if column.has is not None:
                schema.add_field(column.has, DataType.BOOL)
        return schema

    def index_params(self, engine: Any) -> Any:
        """The engine's settings of the index."""
        settings: dict[str, Any] = self.index.build()
        if not self.arrays:
            # pymilvus hands them over one by one; Milvus Lite reads them here, and for a search nowhere else.
            settings = {"params": settings, "search_params": self.index.search(0)}
        params = engine.prepare_index_params()
        params.add_index(VECTOR, index_type=self.index.kind, metric_type=self.metric, params=settings)
        return params


def escape(item: int | str) -> str:
    """An item of a list as text that holds neither the delimiter nor a character of a pattern."""
    return item.translate(_ESCAPES) if isinstance(item, str) else str(item)


def dump_list(items: list[Any]) -> str:
    """A list as text, ``|first|second|``; the text of no list at all is empty."""
    return "|" + "".join(f"{escape(item)}|" for item in items)


def _load_list(text: str, kind: FieldType) -> list[Any] | None:
    if not text:
        return None
    items = text[1:].split("|")[:-1]
    if kind == "integers":
        return [int(item) for item in items]
    return [_ESCAPED.sub(lambda found: chr(int(found[1], 16)), item) if "~" in item else item for item in items]
