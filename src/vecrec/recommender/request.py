"""What is asked of a recommender, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from typing_extensions import Self

from vecrec.errors import InvalidDataError
from vecrec.filters import Filter
from vecrec.ids import Id, check_ids
from vecrec.recommender.checks import check_flag
from vecrec.types import Recommendation, User
from vecrec.vector_stores.checks import check_count

__all__ = ["Request", "Reranker"]


@runtime_checkable
class Reranker(Protocol):
    """A second stage that orders the best candidates anew."""

    depth: int
    """How many candidates it wants to see, at least k."""

    def rerank(self, user: User, candidates: Sequence[Recommendation]) -> Sequence[Recommendation]:
        """The candidates in their new order, best first, with the scores that they shall carry."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is the same for all users of one call."""

    k: int
    where: Filter | None = None
    exclude_seen: bool = True
    exclude: frozenset[Id] = frozenset()
    rerank: Reranker | None = None

    @classmethod
    def of(
        cls,
        k: Any,
        where: Any = None,
        exclude_seen: Any = True,
        exclude: Iterable[Any] = (),
        rerank: Any = None,
    ) -> Self:
        """The request of a call's arguments, as far as they can be checked without knowing the live release.

        Raises:
            InvalidDataError: for an argument that cannot be used.
        """
        if where is not None and not isinstance(where, Filter):
            raise InvalidDataError(f'where is {where!r}: build a filter from fields, such as field("year") >= 1990')
        if rerank is not None:
            if isinstance(rerank, type) or not isinstance(rerank, Reranker):
                raise InvalidDataError(f"rerank is {rerank!r}: give an object with depth and rerank(user, candidates)")
            check_count(rerank.depth, "the depth of the reranker")
        return cls(
            check_count(k, "k"),
            where,
            check_flag(exclude_seen, "exclude_seen"),
            frozenset(check_ids(exclude, "item id")),
            rerank,
        )

    @property
    def depth(self) -> int:
        """How many candidates to find."""
        return self.k if self.rerank is None else max(self.k, self.rerank.depth)

    def rerank_checked(self, user: User, candidates: Sequence[Recommendation]) -> list[Recommendation]:
        """What the reranker makes of the candidates.

        Raises:
            InvalidDataError: when it gives something else than candidates, or one of them twice.
        """
        if self.rerank is None:
            return list(candidates)
        left = {candidate.item_id for candidate in candidates}
        ordered: list[Any] = list(self.rerank.rerank(user, candidates))
        for item in ordered:
            if not isinstance(item, Recommendation) or item.item_id not in left:
                raise InvalidDataError(
                    f"{type(self.rerank).__name__} gave {item!r}: it must give each of its candidates once at most"
                )
            left.discard(item.item_id)
        return ordered
