"""The rating reranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.dependencies import require_training
from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec._internal.validation import integer
from vecrec.errors import DimensionMismatchError, InvalidDataError, NotFittedError
from vecrec.learning.preprocessor import Preprocessor
from vecrec.recommendations import Recommendation
from vecrec.rerankers.base import Candidates, Reranker
from vecrec.rerankers.rating.inference import Head, Scale, Statistics, past, statistics
from vecrec.rerankers.rating.settings import RatingSettings
from vecrec.types import Item, User

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.encoders.base import Encoder
    from vecrec.progress import Progress

__all__ = ["RatingReranker"]


class RatingReranker(Reranker):
    """Orders candidates by the rating that the user would give them: the original's ranking model, as a second stage.

    Ids, features, the rated history and the two vectors of the encoder go through hidden layers to
    ``top rating * sigmoid``, fitted to the events' ratings by squared error. See
    `vecrec.rerankers.rating.network.RatingNetwork` for the formula, and `RatingSettings` for what can be chosen. A
    recommendation's score is then the predicted rating, on the application's scale.

    It learns how much users like what they choose, and not what they choose: by the measure of who finds the next
    item, the order of the vectors is better. Take it where a high rating is what counts.

    `fit` needs the extra ``paddle``; everything else runs on NumPy. Equal data, encoder, settings, seed, ``threads``
    and machine give equal ratings.

    Args:
        depth: How many candidates to choose from.
        seed: Where all chance comes from, from 0.
        settings: How it is built and trained; a dictionary changes some of the defaults.
        threads: Threads for matrix products while fitting; ``None`` for as many as NumPy takes by itself, or for one
            where the data are few.

    Raises:
        InvalidDataError: for an argument that cannot be used.
    """

    name: ClassVar[str] = "rating"

    def __init__(
        self,
        depth: int = 100,
        *,
        seed: int = 0,
        settings: RatingSettings | Mapping[str, Any] | None = None,
        threads: int | None = None,
    ) -> None:
        self._depth = integer(depth, "depth", low=1)
        self.seed = integer(seed, "seed", low=0)
        """Where all chance comes from."""
        self.settings = RatingSettings.of(settings)
        """How it is built and trained."""
        self.threads = None if threads is None else integer(threads, "threads", low=1)
        """Threads for matrix products while fitting."""
        self._preprocessor: Preprocessor | None = None
        self._head: Head | None = None
        self._items = Statistics(np.zeros(2, np.float32), np.zeros(2, np.float32))
        self._encoder = ""
        self._errors: tuple[float, ...] = ()

    @property
    @override
    def depth(self) -> int:
        return self._depth

    @property
    @override
    def is_fitted(self) -> bool:
        return self._head is not None

    @property
    @override
    def encoder_fingerprint(self) -> str | None:
        return self._encoder or None

    @property
    def errors(self) -> tuple[float, ...]:
        """The root mean squared error on the validation part after each epoch; empty without such a part.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        return self._errors

    def predict(self, user: User, candidates: Candidates) -> NDArray[np.float32]:
        """The ratings that a user would give, shape (n,), on the scale of the ratings that were learnt from.

        Args:
            user: With id, profile and history, each of which may be missing.
            candidates: What to rate, with the vectors of the encoder that the reranker was fitted with.

        Raises:
            DimensionMismatchError: for vectors of another length.
            NotFittedError: before ``fit`` or ``load``.
        """
        preprocessor, head = self._parts()
        if not len(candidates):
            return np.zeros(0, np.float32)
        vectors = self._vectors(candidates.vectors, head, "item")
        query = self._vectors(_row(candidates.user_vector, vectors.shape[1]), head, "user")
        rows = preprocessor.items.indexes(item.item_id for item in candidates).astype(np.int64)
        valid = preprocessor.schema.drop_invalid_features
        records = [valid(Item(item.item_id, item.metadata)).features for item in candidates]
        items = head.items(rows, preprocessor.item_space.rows(records), vectors)
        made, numbers = self._user(preprocessor, head, user, query)
        products = vectors @ query[0] / np.float32(head.scale.products)
        pairs = statistics(np.repeat(numbers, len(rows), axis=0), rows, self._items, products)
        return head.ratings(np.repeat(made, len(rows), axis=0), items, pairs)

    def _user(
        self, preprocessor: Preprocessor, head: Head, user: User, query: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rated = [(event.item_id, event.rating) for event in user.history if event.rating is not None]
        rated = [pair for pair in rated if pair[0] in preprocessor.items][-self.settings.history :]
        rows = preprocessor.items.indexes(key for key, _ in rated).astype(np.int64)
        # A rating from another scale would be taken for an unheard-of enthusiasm.
        given = np.clip([rating for _, rating in rated], head.scale.low, head.scale.top).astype(np.float32)
        histories, numbers = past(rows, given, np.array([len(rated)]), self._items, head.scale.mean)
        ids = preprocessor.users.indexes([user.id]).astype(np.int64)
        profile = preprocessor.user_space.rows([preprocessor.schema.drop_invalid_features(user).features])
        return head.users(ids, profile, histories, query), numbers

    def _vectors(self, vectors: NDArray[np.float32], head: Head, side: str) -> NDArray[np.float32]:
        wanted = len(head.weights[f"{side}_vectors"])
        if vectors.shape[1] != wanted:
            raise DimensionMismatchError(
                f"the {side} vectors have {vectors.shape[1]} numbers, the encoder that this "
                f"RatingReranker was fitted with makes {wanted}",
                "fit it with the encoder that serves",
            )
        return vectors

    # -- learning

    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        preparation, training = _training()
        training_data = preparation.prepare(data, encoder, self.settings, self.seed, progress)
        head, errors = training.train(training_data, self.settings, self.seed, self.threads, progress)
        self._take(training_data.preprocessor, head, training_data.items)
        self._encoder, self._errors = encoder.fingerprint, tuple(errors)

    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        rated = self.predict(user, candidates).tolist()
        scored = [replace(item, score=rating) for item, rating in zip(candidates, rated)]
        return sorted(scored, key=lambda item: -item.score)

    # -- saving

    @override
    def _save(self, directory: Path) -> None:
        preprocessor, head = self._parts()
        values = {
            "depth": self._depth,
            "seed": self.seed,
            "settings": self.settings.to_json(),
            "scale": asdict(head.scale),
            "language": preprocessor.to_json(),
            "encoder_fingerprint": self._encoder,
            "errors": list(self._errors),
        }
        save_parts(directory, self.name, values, self._arrays(head), "reranker")

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        values, arrays = load_parts(directory, cls.name, "reranker")
        loaded = cls(values["depth"], seed=values["seed"], settings=RatingSettings.from_json(values["settings"]))
        weights = {name.removeprefix("weight/"): array for name, array in arrays.items() if name.startswith("weight/")}
        items = Statistics(arrays["residuals"], arrays["counts"])
        loaded._take(Preprocessor.from_json(values["language"]), Head(weights, Scale(**values["scale"])), items)
        loaded._encoder, loaded._errors = values["encoder_fingerprint"], tuple(values["errors"])
        return loaded

    @override
    def _fingerprint(self) -> str:
        preprocessor, head = self._parts()
        arrays = self._arrays(head)
        said = [
            self.name,
            self._depth,
            self.settings.history,
            asdict(head.scale),
            preprocessor.to_json(),
            sorted(arrays),
        ]
        return array_digest(said, *(arrays[name] for name in sorted(arrays)))

    def _take(self, preprocessor: Preprocessor, head: Head, items: Statistics) -> None:
        _check_shapes(preprocessor, head, items)
        self._preprocessor, self._head, self._items = preprocessor, head, items

    def _parts(self) -> tuple[Preprocessor, Head]:
        if self._preprocessor is None or self._head is None:
            raise NotFittedError("this RatingReranker is not fitted", "call fit(data, encoder)")
        return self._preprocessor, self._head

    def _arrays(self, head: Head) -> dict[str, NDArray[np.float32]]:
        weights = {f"weight/{name}": array for name, array in head.weights.items()}
        return {"residuals": self._items.residuals, "counts": self._items.counts, **weights}


def _training() -> tuple[Any, Any]:
    """The modules that only fitting needs, one of which needs the extra."""
    require_training("training a RatingReranker")
    from vecrec.rerankers.rating import training
    from vecrec.rerankers.rating import training_data as preparation

    return preparation, training


def _row(vector: NDArray[np.float32] | None, dim: int) -> NDArray[np.float32]:
    return np.zeros((1, dim), np.float32) if vector is None else vector[None].astype(np.float32)


def _check_shapes(preprocessor: Preprocessor, head: Head, items: Statistics) -> None:
    rows = {
        "user_ids": preprocessor.users.size,
        "item_ids": preprocessor.items.size,
        "user_features": preprocessor.user_space.size,
        "item_features": preprocessor.item_space.size,
        "histories": 2 * preprocessor.items.size,
    }
    for name, array in head.weights.items():
        if len(array) != rows.get(name, len(array)) or not np.isfinite(array).all():
            raise InvalidDataError(f"the weights {name!r} of shape {array.shape} do not fit", "the files were changed")
    if len(items.residuals) != preprocessor.items.size or len(items.counts) != preprocessor.items.size:
        raise InvalidDataError(
            f"there are {len(items.counts)} statistics for {preprocessor.items.size} items", "save again"
        )
