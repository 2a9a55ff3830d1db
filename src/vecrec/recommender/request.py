"""What is asked of a recommender, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from typing_extensions import Self

from vecrec._internal.validation import integer
from vecrec.errors import InvalidDataError
from vecrec.filters import Filter
from vecrec.ids import Id, check_ids
from vecrec.recommender.checks import check_flag
from vecrec.recommender.generation import Live
from vecrec.rerankers.base import Reranks

__all__ = ["Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is the same for all users of one call."""

    k: int
    where: Filter | None = None
    exclude_seen: bool = True
    exclude: frozenset[Id] = frozenset()
    disliked: tuple[Id, ...] = ()
    """Items that the users dislike, beside those that their events tell of; the latest last."""
    rerank: Reranks | Literal[False] | None = None
    """A second stage for this call; ``None`` for the release's own, ``False`` for none."""
    heed: bool = True
    """Whether what is like something disliked comes later."""

    @classmethod
    def of(
        cls,
        k: Any,
        where: Any = None,
        exclude_seen: Any = True,
        exclude: Iterable[Any] = (),
        *,
        disliked: Iterable[Any] = (),
        rerank: Any = None,
    ) -> Self:
        """The request of a call's arguments, as far as they can be checked without knowing the live release.

        Raises:
            InvalidDataError: for an argument that cannot be used.
        """
        if where is not None and not isinstance(where, Filter):
            raise InvalidDataError(f"where is {where!r}", 'build a filter from fields, such as field("year") >= 1990')
        return cls(
            integer(k, "k", low=1),
            where,
            check_flag(exclude_seen, "exclude_seen"),
            frozenset(check_ids(exclude, "item id")),
            tuple(dict.fromkeys(check_ids(disliked, "item id"))),
            _checked_stage(rerank),
        )

    @property
    def plain(self) -> Self:
        """The same, with the order of the vectors: no second stage, and dislikes only left out."""
        return replace(self, rerank=False, heed=False)

    def stage(self, live: Live) -> Reranks | None:
        """The second stage, if there is one.

        Raises:
            InvalidDataError: when it has learnt from the vectors of another encoder than the live release's.
        """
        if self.rerank is False:
            return None
        if self.rerank is None:
            return live.reranker
        wanted = getattr(self.rerank, "encoder_fingerprint", None)
        if wanted not in (None, live.release.fingerprint):
            raise InvalidDataError(
                f"the {type(self.rerank).__name__} has learnt from the vectors of another encoder than the one of the "
                f"live release {live.release.id}",
                "fit it with that one, or let the recommender fit both",
            )
        return self.rerank

    def depth(self, live: Live) -> int:
        """How many candidates to find."""
        stage = self.stage(live)
        return self.k if stage is None else max(self.k, stage.depth)


def _checked_stage(rerank: Any) -> Reranks | Literal[False] | None:
    if rerank is None or rerank is False:
        return None if rerank is None else False
    if isinstance(rerank, type) or not isinstance(rerank, Reranks):
        raise InvalidDataError(
            f"rerank is {rerank!r}",
            "give an object with depth and rerank(user, candidates), such as MMRReranker(), "
            "or False for the order of the vectors",
        )
    integer(rerank.depth, "the depth of the reranker", low=1)
    return rerank
