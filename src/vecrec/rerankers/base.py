"""The interface of a reranker. `vecrec.testing.RerankerTests` has a test for each promise."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.validation import instance
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.learning.base import FittedPart
from vecrec.progress import ProgressLike, showing
from vecrec.recommendations import Recommendation
from vecrec.types import User

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.encoders.base import Encoder
    from vecrec.ids import Id
    from vecrec.progress import Progress

__all__ = ["Candidates", "Reranker", "Reranks", "check_order"]


class Candidates(Sequence[Recommendation]):
    """The retrieved items of one user, best first, with their records and vectors.

    Args:
        items: The candidates.
        k: How many of them the caller asked for.
        user_vector: The query vector, shape (dim,); ``None`` where the items come from popularity.
        vectors: Reads their vectors, shape (n, dim), on first access; ``None`` where they have no vectors.
    """

    def __init__(
        self,
        items: Iterable[Recommendation],
        k: int,
        user_vector: NDArray[np.float32] | None = None,
        vectors: Callable[[], NDArray[np.float32]] | None = None,
    ) -> None:
        self._items = tuple(items)
        self.k = k
        """How many of them the caller asked for."""
        self.user_vector = user_vector
        """The query vector, shape (dim,); ``None`` where the items come from popularity."""
        self._read = vectors
        self._vectors: NDArray[np.float32] | None = None

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The candidates' vectors in the live collection, float32, shape (n, dim), in their order.

        They are read on first access. The vector of an item that was deleted meanwhile is zeros.

        Raises:
            StoreUnavailableError: when the vector store does not answer. The recommender then serves the candidates in
                their given order and reports it.
        """
        if self._vectors is None:
            none = np.zeros((len(self), 0 if self.user_vector is None else len(self.user_vector)), np.float32)
            self._vectors = none if self._read is None else self._read()
        return self._vectors

    def reordered(self, items: Iterable[Recommendation]) -> Candidates:
        """Return some of the candidates in another order, as input of a later stage.

        Args:
            items: Candidates of this sequence, each at most once.
        """
        chosen = list(items)
        places = {item.item_id: place for place, item in enumerate(self)}
        rows = [places[item.item_id] for item in chosen]
        return Candidates(chosen, self.k, self.user_vector, lambda: self.vectors[rows])

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recommendation]: ...
    def __getitem__(self, index: int | slice) -> Recommendation | Sequence[Recommendation]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self._items)


@runtime_checkable
class Reranks(Protocol):
    """A second stage for a single call: a `Reranker`, or any object with these two members."""

    @property
    def depth(self) -> int:
        """How many candidates it asks for. It receives k where k is larger, and fewer where fewer items match."""

    def rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        """Return the candidates in their new order, best first, with their new scores."""


class Reranker(FittedPart):
    """Reorders the best candidates of a user. It is stored in a release, or passed to a single call.

    The public methods check their arguments and results and call the methods with a leading underscore, which a
    reranker implements. They promise:

    - It returns only candidates, each at most once, with finite scores. A candidate that it leaves out is not
      recommended.
    - ``depth`` is how many candidates it asks for: the larger of ``depth`` and ``k`` are retrieved. It works with fewer
      candidates, with one, without any, with more than ``depth``, and with a ``k`` of any size.
    - An unknown user, an unknown item and a candidate without a known feature are not errors.
    - Equal candidates give an equal order. The arguments are not changed.
    - Equal data and seed give equal orders, in every process, whatever its PYTHONHASHSEED.
    - ``save`` and ``load`` keep the order. Files hold no pickle, and ``load`` does not import a training framework.
    - ``fingerprint`` changes when, and only when, the order could.
    """

    name: ClassVar[str]
    """Its name in the entry point group ``vecrec.rerankers``, by which a release finds the class."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many candidates it asks for, at least 1."""

    @property
    @override
    def is_fitted(self) -> bool:
        """Whether it can rerank. A reranker that does not learn always can."""
        return True

    @property
    def encoder_fingerprint(self) -> str | None:
        """The fingerprint of the encoder whose vectors it was fitted on; ``None`` where it works with any encoder."""
        return None

    def fit(self, data: Dataset, encoder: Encoder, *, progress: ProgressLike = None) -> Self:
        """Learn from a data set and the vectors of a fitted encoder. An earlier fit is discarded.

        Args:
            data: Interactions, items and users.
            encoder: The fitted encoder that retrieves the candidates.
            progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

        Returns:
            The reranker itself.

        Raises:
            InvalidDataError: for a data set without events, or without what the reranker learns from.
            NotFittedError: when the encoder is not fitted.
        """
        if data.n_events == 0:
            raise InvalidDataError("the data set has no events", "give one with at least one event")
        if not encoder.is_fitted:
            raise NotFittedError("the encoder is not fitted", "fit it before its reranker")
        with showing(progress) as show:
            self._fit(data, encoder, show)
        return self

    def rerank(self, user: User, candidates: Candidates) -> list[Recommendation]:
        """Return the candidates in their new order.

        Args:
            user: The user: id, profile and history, each of which may be missing.
            candidates: Best first; may be empty.

        Returns:
            The recommendations, best first, with ranks from 1.

        Raises:
            InvalidDataError: for arguments that are not a user and candidates, or when ``_rerank`` returns an invalid
                result.
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        instance(user, "user", User)
        instance(candidates, "candidates", Candidates)
        return check_order(self, candidates, self._rerank(user, candidates))

    # -- what a reranker implements

    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        """Learn from the data. The default does nothing, for a reranker that does not learn.

        Args:
            data: A data set with at least one event.
            encoder: A fitted encoder.
            progress: Receives each step.
        """

    @abstractmethod
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        """Return the candidates in their new order, best first.

        Args:
            user: The user: id, profile and history, each of which may be missing.
            candidates: Best first. They may be empty, fewer than ``depth`` or more.

        Returns:
            Candidates only, each at most once, with finite scores. A candidate that is left out is not recommended.
        """


def check_order(stage: object, candidates: Candidates, given: Any) -> list[Recommendation]:
    """Check what a second stage returned.

    Args:
        stage: The second stage, named in the message.
        candidates: What it received.
        given: What it returned.

    Returns:
        The recommendations with ranks from 1.

    Raises:
        InvalidDataError: for a value that is not one of the candidates, a candidate that is returned twice, or a score
            that is not a finite number.
    """
    left: dict[Id, Recommendation] = {candidate.item_id: candidate for candidate in candidates}
    ordered: list[Recommendation] = []
    for item in list(given) if isinstance(given, Iterable) else [given]:
        held = left.pop(item.item_id, None) if isinstance(item, Recommendation) else None
        if held is None:
            raise InvalidDataError(
                f"{type(stage).__name__} returned {item!r}", "return only its candidates, each at most once"
            )
        ordered.append(Recommendation(len(ordered) + 1, held.item_id, _score(stage, item), held.metadata))
    return ordered


def _score(stage: object, item: Recommendation) -> float:
    if isinstance(item.score, bool) or not isinstance(item.score, (int, float, np.floating)):
        raise InvalidDataError(
            f"{type(stage).__name__} gave item {item.item_id!r} the score {item.score!r}, which is not a number",
            "return finite numbers as scores",
        )
    if not math.isfinite(item.score):
        raise InvalidDataError(
            f"{type(stage).__name__} gave item {item.item_id!r} the score {item.score!r}",
            "return finite numbers as scores",
        )
    return float(item.score)
