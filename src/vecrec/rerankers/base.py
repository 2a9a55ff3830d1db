"""The contract of a second stage. `vecrec.testing.RerankerTests` holds a test for each promise made here."""

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
from vecrec.types import Recommendation, User

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.encoders.base import Encoder
    from vecrec.ids import Id
    from vecrec.progress import Progress

__all__ = ["Candidates", "Reranker", "Reranks", "check_order"]


class Candidates(Sequence[Recommendation]):
    """The best items for one user, best first, with their records; and what their vectors are.

    Args:
        items: The candidates.
        k: How many of them are wanted in the end.
        user_vector: The vector that they were found by, shape (dim,); ``None`` where popularity served.
        vectors: Reads their vectors, shape (n, dim), when they are first asked for; ``None`` where there are none.
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
        """How many are wanted in the end."""
        self.user_vector = user_vector
        """The vector that they were found by, shape (dim,); ``None`` where popularity served."""
        self._read = vectors
        self._vectors: NDArray[np.float32] | None = None

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The candidates' vectors in the live collection, float32, shape (n, dim), in their order.

        They are read when they are first asked for. One that was deleted meanwhile is zeros.

        Raises:
            StoreUnavailableError: when the vector store does not answer. The recommender then serves the candidates in
                the order in which they are, and says so.
        """
        if self._vectors is None:
            none = np.zeros((len(self), 0 if self.user_vector is None else len(self.user_vector)), np.float32)
            self._vectors = none if self._read is None else self._read()
        return self._vectors

    def reordered(self, items: Iterable[Recommendation]) -> Candidates:
        """Some of the candidates in another order, for a stage after this one."""
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
    """What a single call takes as its second stage: a `Reranker`, or any object with these two members."""

    @property
    def depth(self) -> int:
        """How many candidates it wants to see; it is handed k where that is more, and fewer where there are no more."""

    def rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        """The candidates in their new order, best first, with the scores that they shall carry."""


class Reranker(FittedPart):
    """Reorders the best candidates of a user; kept in a release beside the encoder, or handed to a single call.

    The public methods check what they are given and what comes back, and call the methods with a leading underscore,
    which a reranker implements. What they promise:

    - It gives candidates only, each once at most, with finite scores; what it leaves out is not recommended.
    - ``depth`` is how many candidates it wants: so many are searched for, or k if that is more. It works with fewer,
      with one and with none, with more than ``depth``, and with a ``k`` of any size.
    - An unknown user, an unknown item and a candidate without a known feature are not errors.
    - Equal candidates in, equal order out; nothing that is handed in is changed.
    - Equal data and seed give equal orders, in every process, whatever its PYTHONHASHSEED.
    - ``save`` and ``load`` keep the order. Files hold no pickle, and ``load`` does not import a training framework.
    - ``fingerprint`` changes when, and only when, the order could.
    """

    name: ClassVar[str]
    """Its name in the entry point group ``vecrec.rerankers``, by which a release finds the class again."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many candidates it wants to see, at least 1."""

    @property
    @override
    def is_fitted(self) -> bool:
        """Whether it can rerank. One that has nothing to learn always can."""
        return True

    @property
    def encoder_fingerprint(self) -> str | None:
        """The fingerprint of the encoder whose vectors it has learnt from; ``None`` where any encoder will do."""
        return None

    def fit(self, data: Dataset, encoder: Encoder, *, progress: ProgressLike = None) -> Self:
        """Learn from a data set and the vectors of a fitted encoder, forgetting what was learnt before.

        Args:
            data: Interactions, items and users.
            encoder: What finds the candidates.
            progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

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
        """The candidates in their new order, best first, ranks counted from 1.

        Args:
            user: Whom they are for: id, profile and history, each of which may be missing.
            candidates: Best first; may be empty.

        Raises:
            InvalidDataError: for something else than a user and candidates, or when the reranker breaks its promises.
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        instance(user, "user", User)
        instance(candidates, "candidates", Candidates)
        return check_order(self, candidates, self._rerank(user, candidates))

    # -- what a reranker implements

    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        """Learn, where there is something to learn."""

    @abstractmethod
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]: ...


def check_order(stage: object, candidates: Candidates, given: Any) -> list[Recommendation]:
    """What a second stage gave, ranked from 1, once it is certain that it can be served.

    Raises:
        InvalidDataError: when it gave something else than its candidates, one of them twice, or a score that is no
            finite number.
    """
    left: dict[Id, Recommendation] = {candidate.item_id: candidate for candidate in candidates}
    ordered: list[Recommendation] = []
    for item in list(given) if isinstance(given, Iterable) else [given]:
        held = left.pop(item.item_id, None) if isinstance(item, Recommendation) else None
        if held is None:
            raise InvalidDataError(
                f"{type(stage).__name__} gave {item!r}", "it must give each of its candidates once at most"
            )
        ordered.append(Recommendation(len(ordered) + 1, held.item_id, _score(stage, item), held.metadata))
    return ordered


def _score(stage: object, item: Recommendation) -> float:
    if isinstance(item.score, bool) or not isinstance(item.score, (int, float, np.floating)):
        raise InvalidDataError(f"{type(stage).__name__} gave item {item.item_id!r} the score {item.score!r}, no number")
    if not math.isfinite(item.score):
        raise InvalidDataError(f"{type(stage).__name__} gave item {item.item_id!r} the score {item.score!r}")
    return float(item.score)
