"""Entries as upsert requests, in columns.

pymilvus packs rows, number by number, which takes longer than the server needs to store them. A request made here holds
each column at once, and the vectors as the bytes that they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vecrec.errors import InvalidDataError
from vecrec.ids import Id, encode_id
from vecrec.vector_stores.milvus.layout import ID, MAX_ITEMS, MAX_TEXT, VECTOR, ZERO, Column, Layout

if TYPE_CHECKING:
    from vecrec.vector_stores.base import Attributes, Vectors

__all__ = ["Batch", "parts", "request"]

MAX_ROWS = 5_000
"""The most rows of one request. Larger requests are not faster."""

MAX_BYTES = 32 * 2**20
"""The most bytes of one request. A server takes 64 MB."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries to be written."""

    ids: list[Id]
    """Their ids, each once."""
    vectors: Vectors
    """Their vectors."""
    rows: list[Attributes]
    """Their attributes."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice) -> Batch:
        return Batch(self.ids[part], self.vectors[part], self.rows[part])


_DATA = {"BOOL": "bool_data", "INT64": "long_data", "DOUBLE": "double_data", "VARCHAR": "string_data"}


def _sizes(layout: Layout, batch: Batch) -> list[int]:
    """The bytes that each row takes at most."""
    columns = [column for column in layout.columns if column.is_list or column.kind == "string"]
    fixed = 4 * layout.spec.dim + 1024 + 9 * len(layout.spec.fields)
    sizes = [fixed] * len(batch.ids)
    for column in columns:
        for position, row in enumerate(batch.rows):
            if column.field in row:
                sizes[position] += _size(column, row[column.field], batch.ids[position])
    return sizes


def parts(layout: Layout, batch: Batch) -> Iterator[Batch]:
    """A batch in parts, each of which a single request writes.

    Raises:
        InvalidDataError: before the first, for a text or a list that is too long for its column.
    """
    slices = list(_slices(_sizes(layout, batch)))
    return (batch[part] for part in slices)


def _slices(sizes: list[int]) -> Iterator[slice]:
    start = total = 0
    for position, size in enumerate(sizes):
        if position > start and (position - start >= MAX_ROWS or total + size > MAX_BYTES):
            yield slice(start, position)
            start, total = position, 0
        total += size
    yield slice(start, len(sizes))


def _size(column: Column, value: Any, key: Id) -> int:
    if column.kind == "string":
        return _text_size(value, column, key)
    if column.as_text:
        return _text_size(column.dump(value), column, key)
    if len(value) > MAX_ITEMS:
        raise InvalidDataError(
            f"field {column.field!r} of item {key!r} has {len(value)} values, a Milvus column holds {MAX_ITEMS}",
            "keep long lists in the records",
        )
    if column.kind == "integers":
        return 9 * len(value)
    return sum(_text_size(item, column, key) for item in value)


def _text_size(text: str, column: Column, key: Id) -> int:
    # Most texts are short; counting bytes needs a copy.
    size = 4 * len(text)
    if size > MAX_TEXT:
        size = len(text.encode())
        if size > MAX_TEXT:
            raise InvalidDataError(
                f"field {column.field!r} of item {key!r} takes {size} bytes, a Milvus column holds {MAX_TEXT}",
                "keep long values in the records",
            )
    return size + 4


def request(collection: str, layout: Layout, batch: Batch) -> Any:
    """The request that writes a batch."""
    from pymilvus.grpc_gen import milvus_pb2

    request = milvus_pb2.UpsertRequest(collection_name=collection, num_rows=len(batch.ids))
    _scalars(request, ID, "VARCHAR", [encode_id(key) for key in batch.ids])
    _vectors(request, batch.vectors)
    if layout.spec.metric == "cosine":
        _scalars(request, ZERO, "BOOL", [not vector.any() for vector in batch.vectors])
    for column in layout.columns:
        name, missing = column.field, column.default
        values = [column.dump(row[name]) if name in row else missing for row in batch.rows]
        if column.is_list and layout.arrays:
            _arrays(request, column, values)
        else:
            _scalars(request, column.name, column.type, values)
        if column.has is not None:
            _scalars(request, column.has, "BOOL", [name in row for row in batch.rows])
    return request


def _scalars(request: Any, name: str, kind: str, values: list[Any]) -> None:
    from pymilvus import DataType

    data = request.fields_data.add(field_name=name, type=DataType[kind])
    getattr(data.scalars, _DATA[kind]).data.extend(values)


def _arrays(request: Any, column: Column, values: list[Any]) -> None:
    from pymilvus import DataType

    data = request.fields_data.add(field_name=column.name, type=DataType.ARRAY)
    array = data.scalars.array_data
    array.element_type = DataType[column.type]
    for items in values:
        getattr(array.data.add(), _DATA[column.type]).data.extend(items)


def _vectors(request: Any, vectors: Vectors) -> None:
    from pymilvus import DataType

    data = request.fields_data.add(field_name=VECTOR, type=DataType.FLOAT_VECTOR)
    data.vectors.dim = vectors.shape[1]
    raw = np.ascontiguousarray(vectors, "<f4").tobytes()
    # The wire form of a packed `repeated float data = 1`: its tag, its length, its bytes.
    data.vectors.float_vector.MergeFromString(b"\x0a" + _varint(len(raw)) + raw)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
