"""The contract of an encoder. `vecrec.testing.EncoderTests` holds a test for each promise made here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.files import reading, writing
from vecrec._internal.tables import html_facts
from vecrec._internal.validation import instance, sequence_of
from vecrec.encoders.parts import UserParts, by_permutations, named
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.learning.base import FittedPart
from vecrec.learning.events import LearningReport
from vecrec.learning.sketch import PairSketch
from vecrec.progress import ProgressLike, Step, showing
from vecrec.records import JSON
from vecrec.types import Item, User

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["Encoder"]

_SKETCH = "learnt_from.npy"


class Encoder(FittedPart):
    """Turns users and items into vectors of one space, whose inner product is the score.

    The public methods check what they are given, the same way for every encoder, and hand plain values to the methods
    with a leading underscore, which an encoder implements. What they promise:

    - The score of a pair is the inner product of its two vectors: in training, in the vector store and in the result.
    - Vectors are float32, finite, of length ``dim``, in the order of what was given; one by one or in a batch they
      are the same to 1e-5.
    - An unknown or missing id, feature or history is not an error: what is known decides. An unknown
      visitor gets a vector.
    - A feature value outside its schema (another type; a value outside a closed list) is refused.
    - Nothing is learnt from an unknown order of events (`vecrec.data.Dataset.order`): the rows may stand in any order,
      and an encoder fitted on such data reads histories as sets, also after ``load``.
    - Equal data, settings and seed give equal vectors, in every process, whatever its PYTHONHASHSEED.
    - ``save`` and ``load`` keep the vectors. Files hold no pickle, and ``load`` does not import the training framework.
    - ``fingerprint`` changes when, and only when, the vectors would.
    - The parts of ``explain_user`` and their residual add up to the user's vector; an event that says nothing has no
      part or one of zero, and an encoder that calls its parts exact leaves no residual.
    """

    name: ClassVar[str]
    """Its name in the entry point group ``vecrec.encoders``, by which a release finds the class again."""
    learnt_from: PairSketch | None = None
    """A sketch of the users and items of the events that it was fitted on; ``None`` where that is unknown. An
    evaluation notices by it a model that knows the answers."""

    learning_report: LearningReport | None = None
    """What the last `fit` learnt from; ``None`` for an encoder that was loaded."""

    def _repr_html_(self) -> str:
        learnt = self.learning_report or ("fitted" if self.is_fitted else "nothing yet")
        settings = {name: repr(value) for name, value in self.get_params(deep=False).items()}
        return html_facts({"encoder": type(self).__name__, **settings, "has learnt": learnt})

    @property
    def reads_weights(self) -> bool:
        """Whether events count by the weights of the feedback policy. An encoder that keeps this promise overrides it.

        The promise: an item whose events weigh more ranks higher, and weights that are all multiplied by one number
        change nothing.
        """
        return False

    @property
    @abstractmethod
    def dim(self) -> int:
        """The length of every vector."""

    @property
    def metric(self) -> str:
        """How the vectors compare, as a `vecrec.vector_stores.base.Metric`."""
        return "ip"

    @property
    def schema(self) -> Schema:
        """The features that the encoder was fitted with.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        return self._schema()

    def fit(self, data: Dataset, *, progress: ProgressLike = None) -> Self:
        """Learn from a data set, forgetting what was learnt before.

        Args:
            data: Interactions, items and users.
            progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence. The first step, of
                the stage ``"fit"``, is the `learning_report`.

        Raises:
            InvalidDataError: for a data set without events, and for anything else than a data set.
        """
        _check_data(data)
        if data.n_events == 0:
            raise InvalidDataError("the data set has no events", "give one with at least one event")
        with showing(progress) as show:
            learnable = self._learnable(data)
            report = LearningReport.of(learnable, data.n_events, reads_weights=self.reads_weights)
            show(Step("fit", report.n_events, report.n_given, report.assumptions))
            self._fit(learnable, show)
            self.learning_report = replace(report, chosen=self._chosen())
            self.learnt_from = PairSketch.of(data)
        return self

    def refreshed(self, data: Dataset, *, progress: ProgressLike = None) -> Self:
        """A copy that has learnt from later events what costs a small part of a training.

        What that is depends on the encoder; see its class. One that learns nothing in this way returns itself. No item
        or user becomes known by it.

        Args:
            data: All events, also those that `fit` has learnt from.
            progress: As for `fit`.

        Raises:
            InvalidDataError: for anything else than a data set.
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        _check_data(data)
        positive = data.positive()
        if not positive.n_events:
            return self
        with showing(progress) as show:
            found = self._refreshed(positive, show)
        if found is not self:
            found.learning_report, found.learnt_from = self.learning_report, PairSketch.of(data)
        return found

    def _refreshed(self, data: Dataset, progress: Progress) -> Self:
        """What `refreshed` returns, from the positive events."""
        return self

    def _chosen(self) -> dict[str, JSON]:
        """What `fit` has decided by the data, for the `learning_report`."""
        return {}

    def save(self, directory: str | Path) -> None:
        """Write what was learnt, and the sketch of what it was learnt from; see `FittedPart.save`."""
        super().save(directory)
        if self.learnt_from is not None:
            with writing(Path(directory)):
                np.save(Path(directory) / _SKETCH, self.learnt_from.to_bytes(), allow_pickle=False)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` has written; see `FittedPart.load`."""
        loaded = super().load(directory)
        path = Path(directory) / _SKETCH
        if path.exists():
            with reading(f"{path} is damaged", "save the encoder again"):
                # Mapped, since a header may ask for any amount of memory.
                held = np.load(path, mmap_mode="r", allow_pickle=False)
                loaded.learnt_from = PairSketch.from_bytes(np.array(held, np.uint8))
        return loaded

    def _learnable(self, data: Dataset) -> Dataset:
        """The data set with the events to learn from: the positive ones.

        An encoder that predicts ratings, or learns from negative events as negative, overrides it.

        Raises:
            InvalidDataError: when there is no such event.
        """
        positive = data.positive()
        if not positive.n_events:
            problem = f"none of the {data.n_events:,} events is positive"
            raise InvalidDataError(problem, "give Dataset a FeedbackPolicy that says which kinds and ratings are")
        return positive

    def encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """The items' vectors, shape (n, dim); n may be 0.

        Raises:
            InvalidDataError: for something else than items, or a feature value outside the schema.
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        checked = sequence_of(items, Item)
        for item in checked:
            self._schema().check_item(item)
        return self._checked(self._encode_items(checked), len(checked))

    def encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        """The users' vectors, shape (n, dim); n may be 0.

        Raises:
            InvalidDataError: for something else than users, or a feature value outside the schema.
            NotFittedError: before ``fit`` or ``load``.
        """
        if not self.is_fitted:
            self._check_fitted()  # which raises
        checked = sequence_of(users, User)
        for user in checked:
            if user.features:
                self._schema().check_user(user)
        return self._checked(self._encode_users(checked), len(checked))

    def explain_user(self, user: User) -> UserParts:
        """What a user's vector is made of: parts by event, by feature and the like, whose sum is the vector.

        The inner product of a part with an item's vector is its share of the item's score. By default parts are found
        by asking `encode_users` for the user with less and less of what is known; an encoder whose vector is a sum
        overrides ``_explain_user`` and tells its terms. What the parts lack to the vector is computed here.

        Raises:
            InvalidDataError: for something else than a user, or a feature value outside the schema.
            NotFittedError: before ``fit`` or ``load``.
        """
        whole = self.encode_users([user])[0]
        found = self._explain_user(user)
        self._checked(found.vectors, len(found.parts))
        return named(replace(found, residual=whole - found.vectors.sum(axis=0)), self.name)

    def _explain_user(self, user: User) -> UserParts:
        return by_permutations(self.encode_users, user, self.knows)

    def knows(self, item_id: Id) -> bool:
        """Whether an event with this item, in a user's history, can change the user's vector.

        An encoder that has learnt which items there are overrides it. By default any item may tell something.
        """
        return True

    # -- what an encoder implements

    @abstractmethod
    def _fit(self, data: Dataset, progress: Progress) -> None: ...

    @abstractmethod
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]: ...

    @abstractmethod
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]: ...

    @abstractmethod
    def _schema(self) -> Schema:
        """The schema; only called once the encoder is fitted."""

    def _checked(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        # An encoder of a third party is not trusted here: a bad vector would be found much later, in a store.
        if vectors.dtype != np.float32 or vectors.shape != (count, self.dim) or not np.isfinite(vectors).all():
            raise InvalidDataError(
                f"{type(self).__name__} gave vectors of shape {vectors.shape} and type {vectors.dtype}, "
                f"or NaN among them; expected finite float32 of shape {(count, self.dim)}"
            )
        return vectors


def _check_data(data: Dataset) -> None:
    from vecrec.data import Dataset  # what only encodes does without it

    instance(data, "data", Dataset)
