"""What the tests of a reranker stand on: the hooks that a subclass fills, and candidates to ask about."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.encoders.base import Encoder
from vecrec.encoders.content import ContentEncoder
from vecrec.ids import Id
from vecrec.recommendations import Recommendation
from vecrec.rerankers.base import Candidates, Reranker
from vecrec.testing.base import ConformanceTests
from vecrec.testing.encoders.tastes import items_to_ask, tastes, users_to_ask
from vecrec.types import Item, User

__all__ = ["Order", "RerankerKit", "asked", "candidates", "finder", "learn", "order", "orders", "read_back"]

Order = list[tuple[str, float]]
"""The items of a list with their scores."""


@cache
def finder() -> Encoder:
    """What finds the candidates."""
    return ContentEncoder(dim=32).fit(tastes())


@cache
def _vectors() -> dict[Id, NDArray[np.float32]]:
    """The vectors of all items of `items_to_ask`, encoded once for the hundreds of lists that hold them."""
    items = [item for item in _items() if item.id is not None]
    return {_id(item): vector for item, vector in zip(items, finder().encode_items(items), strict=True)}


def _items() -> list[Item]:
    return [*{item.id: item for item in items_to_ask()}.values()]


class RerankerKit(ConformanceTests):
    """The hooks of `RerankerTests`."""

    learns: ClassVar[bool] = True
    """Whether it learns from data. ``False`` for one that is only set up."""

    seeded: ClassVar[bool] = True
    """Whether another seed gives another order. ``False`` for one without chance."""

    training_modules: ClassVar[tuple[str, ...]] = ("paddle", "torch", "tensorflow", "jax")
    """What loading must not import."""

    @classmethod
    def make(cls, seed: int = 0) -> Reranker:
        """A new reranker that has learnt nothing; small, so that it learns a few hundred events within seconds."""
        raise NotImplementedError(f"{cls.__name__} needs a class method make(cls, seed=0): see RerankerTests")

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls) -> Reranker:
        """A reranker fitted with `tastes`, which tests only ask."""
        return cls.make().fit(tastes(), finder())


def candidates(user: User, items: Sequence[Item], k: int, *, known: bool = True) -> Candidates:
    """Items of `items_to_ask` as a recommender hands them over: by score, or by place for an unknown user."""
    named = [item for item in items if item.id is not None]
    vectors = np.array([_vectors()[_id(item)] for item in named], np.float32).reshape(len(named), finder().dim)
    query = finder().encode_users([user])[0]
    scores = vectors @ query if known else np.linspace(1, 0, len(named), dtype=np.float32)
    best = np.argsort(-scores, kind="stable")
    found = [
        Recommendation(rank, _id(named[place]), float(scores[place]), dict(named[place].features))
        for rank, place in enumerate(best.tolist(), 1)
    ]
    return Candidates(found, k, query if known else None, lambda: vectors[best])


def asked() -> list[tuple[User, Candidates]]:
    """Users of every kind, with few candidates and many, known ones and strange ones."""
    items = _items()
    known, strange = items[:30], [item for item in items if item not in items[:30]]
    cases = []
    for number, user in enumerate(users_to_ask()):
        cases += [
            (user, candidates(user, known[number % 5 :], 10)),
            (user, candidates(user, [*known[:5], *strange], 3, known=number % 2 == 0)),
        ]
    someone = users_to_ask()[0]
    cases += [(someone, candidates(someone, known[:size], k)) for size in (0, 1, 2) for k in (1, 2, 100)]
    return cases


def order(reranker: Reranker, user: User, given: Candidates) -> Order:
    """What a reranker makes of candidates, to be compared."""
    return [(repr(item.item_id), item.score) for item in reranker.rerank(user, given)]


def orders(reranker: Reranker) -> list[Order]:
    """What it makes of everything that the kit asks."""
    return [order(reranker, user, given) for user, given in asked()]


def _id(item: Item) -> Id:
    assert item.id is not None
    return item.id


def learn(reranker: Reranker) -> tuple[str, list[Order]]:
    """What a reranker answers once it is fitted."""
    fitted = reranker.fit(tastes(), finder())
    return fitted.fingerprint, orders(fitted)


def read_back(
    kind: type[Reranker], directory: Path, unwanted: Sequence[str]
) -> tuple[tuple[str, list[Order]], list[str]]:
    """What a saved reranker answers, and which unwanted modules were imported for that."""
    loaded = kind.load(directory)
    found = loaded.fingerprint, orders(loaded)
    return found, [module for module in unwanted if module in sys.modules]
