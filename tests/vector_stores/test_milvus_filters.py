"""Random filters on random data find the same on Milvus Lite, on a server and in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vector_stores.conftest import Make
from vecrec.filters import FieldType, Filter, field
from vecrec.ids import Id
from vecrec.vector_stores import CollectionSpec, MemoryVectorStore, MilvusVectorStore, VectorStore

FIELDS: Mapping[str, FieldType] = {
    "flag": "boolean", "year": "integer", "price": "number", "lang": "string", "genres": "strings", "codes": "integers",
}  # fmt: skip
COUNT = 150

TEXTS = ["", "a", "A", "a ", '"', "'", "\\", "\\n", "\n", "\r", "\t", "\0", "%", "_", "|", "~", "~7c", "é", "e\u0301",
         "\ufeff", "\u2028", "\uffff", "\U0001f3ac", "a|b", "a%b", "}", "$", "{x}", "/*", "--"]  # fmt: skip
INTEGERS = [0, 1, -1, 7, 1990, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), -(2**63) + 1]
NUMBERS = [0.0, -0.0, 0.5, -1.5, 7.0, 1990.0, 2.0**53, 2.0**63, -(2.0**63), 5e-324, 1e308, -1e308, 1e16, 0.1]

texts = st.sampled_from(TEXTS) | st.text(max_size=5)
integers = st.sampled_from(INTEGERS) | st.integers(-(2**63), 2**63 - 1)
numbers = st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False)

values: Mapping[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "year": integers,
    "price": numbers,
    "lang": texts,
    "genres": st.lists(texts, max_size=3),
    "codes": st.lists(integers, max_size=3),
}
rows = st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in values.items()})

# Whatever else is drawn, these are there.
CORNERS: list[dict[str, Any]] = [
    {},
    {"flag": True, "year": 7, "price": 0.0, "lang": "a", "genres": ["a", ""], "codes": [0, 2**63 - 1]},
    {"flag": False, "year": -(2**63), "price": -1e308, "lang": "", "genres": [], "codes": [-(2**63)]},
    {"year": 0, "lang": "b", "genres": [""], "codes": []},
]

# What a field may be compared with goes beyond what it can hold.
constants: Mapping[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(), "year": integers | numbers, "price": integers | numbers, "lang": texts,
}  # fmt: skip


@st.composite
def leaves(draw: st.DrawFn) -> Filter:
    """A condition on one field."""
    name = draw(st.sampled_from(list(FIELDS)))
    column = field(name)
    several = draw(st.booleans())
    if name in ("genres", "codes"):
        member: st.SearchStrategy[Any] = texts if name == "genres" else integers
        return column.contains_any(draw(st.lists(member, max_size=3))) if several else column.contains(draw(member))
    constant = constants[name]
    if several and name != "flag" and draw(st.booleans()):
        return column.between(*sorted([draw(constant), draw(constant)]))
    if several:
        return column.is_in(draw(st.lists(constant, max_size=4)))
    op = draw(st.sampled_from(["__eq__", "__ne__"] + ["__lt__", "__le__", "__gt__", "__ge__"] * (name != "flag")))
    where: Filter = getattr(column, op)(draw(constant))
    return where


filters = st.recursive(
    leaves(),
    lambda inner: (
        st.builds(lambda a, b: a & b, inner, inner)
        | st.builds(lambda a, b: a | b, inner, inner)
        | inner.map(lambda where: ~where)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def stores(lite: MilvusVectorStore, server: MilvusVectorStore, make: Make) -> Any:
    """Give what searches one random collection in the reference and in both engines."""
    data = _random_rows()
    rng = np.random.default_rng(3)
    ids: list[Id] = [number if number % 2 else f"s{number}" for number in range(COUNT)]
    vectors = rng.integers(-3, 4, (COUNT, 4)).astype(np.float32)
    memory = MemoryVectorStore()
    memory.create("reference", CollectionSpec(4, "ip", FIELDS))
    places: list[tuple[VectorStore, str]] = [(memory, "reference")]
    places += [(store, make(store, 4, "ip", FIELDS)) for store in (lite, server)]
    for store, name in places:
        # An engine filters what it has flushed by other code than what it holds in memory.
        half = COUNT // 2
        store.upsert(name, ids[:half], vectors[:half], data[:half])
        store.flush(name)
        store.upsert(name, ids[half:], vectors[half:], data[half:])

    def search(query: Any, k: int, where: Filter) -> list[Any]:
        return [store.search(name, query, k, where) for store, name in places]

    return search


def _random_rows() -> list[dict[str, Any]]:
    # Drawn once: writing to a server for each example would take most of the time.
    drawn: list[dict[str, Any]] = []

    @settings(max_examples=COUNT, database=None, derandomize=True, deadline=None)
    @given(rows)
    def draw(row: dict[str, Any]) -> None:
        drawn.append(row)

    draw()
    return [*CORNERS, *drawn, *CORNERS * COUNT][:COUNT]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=filters, k=st.sampled_from([1, 3, COUNT, COUNT + 9]), seed=st.integers(0, 9))
def test_engines_find_what_the_reference_finds(stores: Any, where: Filter, k: int, seed: int) -> None:
    """The same hits with the same scores in the same order, whatever the filter."""
    query = np.random.default_rng(seed).integers(-3, 4, (2, 4))
    reference, *others = stores(query, k, where)
    for found in others:
        assert found == reference


def test_filters_that_no_engine_can_express_are_exact_too(stores: Any) -> None:
    """Nested deeper than a parser goes, or about a value that the language cannot write: the answer is the same."""
    deep: Filter = field("year") >= 0
    for number in range(80):
        deep = ~(deep & (field("price") > number)) | (field("lang") == "a")
    for where in (deep, field("codes").contains(-(2**63))):
        reference, *others = stores([[1, 2, 3, -1]], COUNT, where)
        assert 0 < len(reference[0]) < COUNT, "a filter that separates nothing proves nothing"
        assert others == [reference, reference]


def test_the_data_tells_filters_apart(stores: Any) -> None:
    """Each field has values and lacks them, so that no filter on it is true by chance."""
    for name, kind in FIELDS.items():
        column = field(name)
        where = column.contains("a" if kind == "strings" else 0) if kind.endswith("s") else column != "?x"
        if kind in ("boolean", "integer", "number"):
            where = column.is_in([True, False] if kind == "boolean" else [0, 1, 7])
        hits = stores([[1, 1, 1, 1]], COUNT, where)[0][0]
        assert 0 < len(hits) < COUNT, name
