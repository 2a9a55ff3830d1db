"""Whatever the catalogue, the history, the filter and k: exactly k come, the best ones, or a shortfall says why not."""

from __future__ import annotations

import operator
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recommender.tastes import SCHEMA, TASTES, TasteEncoder
from vecrec import Event, Filter, Item, Recommender, ReleaseChecks, User, field
from vecrec.data import Dataset
from vecrec.ids import Id, id_order
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore

_IDS: st.SearchStrategy[Id] = st.one_of(st.integers(0, 30), st.integers(0, 30).map(str))
_FEATURES = st.fixed_dictionaries(
    {},
    optional={
        "tastes": st.lists(st.sampled_from(TASTES), max_size=3),
        "year": st.integers(1990, 1995),
        "title": st.text(max_size=5),
    },
)
_LEAVES = st.one_of(
    st.sampled_from(TASTES).map(field("tastes").contains),
    st.integers(1990, 1995).map(lambda year: field("year") >= year),
    st.lists(st.integers(1990, 1995), max_size=3).map(field("year").is_in),
)
_FILTERS: st.SearchStrategy[Filter] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(operator.invert),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=4,
)


@dataclass(frozen=True)
class Case:
    """A world, and what is asked of it."""

    items: dict[Id, dict[str, Any]]
    seen: list[Id]
    taste: str | None
    lost: list[Id]
    arguments: dict[str, Any]

    def recommender(self, path: str) -> Recommender:
        """The world with some of its records lost."""
        events = [Event("user", key, float(n)) for n, key in enumerate(self.seen)]
        events += [Event("other", key, 0.0) for key in self.items]
        items = [Item(key, features) for key, features in self.items.items()]
        data = Dataset(events, items, [User("user", {"taste": self.taste})], SCHEMA)
        rec = Recommender(
            TasteEncoder(),
            MemoryVectorStore(),
            MemoryMetadataStore(),
            artifacts=path,
            checks=ReleaseChecks(beat_popularity=False),
        )
        rec.fit(data)
        rec.metadata_store.delete("item", self.lost)
        return rec

    def expected(self, rec: Recommender) -> list[Id]:
        """The answer by brute force."""
        where, seen = self.arguments["where"], self.seen if self.arguments["exclude_seen"] else []
        left_out = {*seen, *self.arguments["exclude"], *self.lost}
        allowed = [
            Item(key, features)
            for key, features in self.items.items()
            if key not in left_out and (where is None or where.matches(features))
        ]
        user = rec.encoder.encode_users([User("user", {"taste": self.taste}, self.seen)])[0]
        scores = rec.encoder.encode_items(allowed) @ user
        ranked = sorted(zip(-scores, allowed), key=lambda row: (row[0], id_order(row[1].id or 0)))
        return [item.id for _, item in ranked if item.id is not None][: self.arguments["k"]]


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    items = draw(st.dictionaries(_IDS, _FEATURES, min_size=1, max_size=40))
    some = st.lists(st.sampled_from(list(items)), unique=True)
    arguments = {
        "k": draw(st.integers(1, 50)),
        "where": draw(st.none() | _FILTERS),
        "exclude": draw(some),
        "exclude_seen": draw(st.booleans()),
    }
    lost = draw(st.lists(st.sampled_from(list(items)), max_size=3))
    return Case(items, draw(some), draw(st.sampled_from(TASTES)), lost, arguments)


@settings(max_examples=150, deadline=None)
@given(_cases())
def test_exactly_k_the_best_ones_or_a_reason(case: Case) -> None:
    """The list is the brute-force list over what may come; it is short only with a reason, and never else."""
    with tempfile.TemporaryDirectory() as path:
        rec = case.recommender(path)
        expected = case.expected(rec)
        found = rec.recommend("user", **case.arguments)
        assert [each.item_id for each in found] == expected
        assert np.all(np.diff([each.score for each in found]) <= 0)
        assert (found.shortfall is None) == (len(found) == case.arguments["k"])
        assert all(each.metadata == case.items[each.item_id] for each in found)
        assert rec.recommend_many(["user"], **case.arguments)[0].items == found.items
