"""Encoders that break one promise each."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from tests.testing.wrong import caught_by
from vecrec.data import Dataset, Schema
from vecrec.encoders import ContentEncoder
from vecrec.encoders.parts import Part, UserParts
from vecrec.errors import InvalidDataError
from vecrec.feedback import FeedbackPolicy
from vecrec.progress import Progress, ProgressLike, silent
from vecrec.records import JSON
from vecrec.types import Item, User


@caught_by("test_vectors_are_finite_float32_of_length_dim")
class MetricUnknown(ContentEncoder):
    @property
    @override
    def metric(self) -> str:
        return "l2"


@caught_by("test_vectors_are_finite_float32_of_length_dim")
class SomeNaN(ContentEncoder):
    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        vectors = super()._encode_items(items)
        empty = [item.id is None and not item.features for item in items]
        vectors[empty] = np.nan
        return vectors

    @override
    def _checked(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        return vectors


@caught_by("test_one_by_one_or_in_a_batch_they_are_the_same")
class CentredByBatch(ContentEncoder):
    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        vectors = super()._encode_items(items)
        return vectors - vectors.mean(axis=0) if len(vectors) else vectors


@caught_by("test_one_by_one_or_in_a_batch_they_are_the_same")
class SortsItsInput(ContentEncoder):
    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return super()._encode_users(sorted(users, key=lambda user: str(user.id)))


@caught_by("test_nothing_gives_an_empty_matrix")
class NothingHasNoShape(ContentEncoder):
    @override
    def encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return super().encode_users(users) if len(users) else np.zeros(0, np.float32)


@caught_by("test_unknown_ids_features_and_histories_are_no_error")
class UnknownIdFails(ContentEncoder):
    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        for user in users:
            for event in user.history:
                self._items[event.item_id]
        return super()._encode_users(users)


@caught_by("test_unknown_ids_features_and_histories_are_no_error")
class HugeNumberOverflows(ContentEncoder):
    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        lengths: list[Any] = [item.features.get("length") or 0 for item in items]
        return super()._encode_items(items) + 0 * np.array(lengths, float).astype(np.float32)[:, None]


@caught_by("test_a_visitor_gets_a_vector")
class VisitorIsZero(ContentEncoder):
    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        known = [bool(user.history or user.features) for user in users]
        return super()._encode_users(users) * np.array(known, np.float32)[:, None]


@caught_by("test_what_is_known_decides")
class IgnoresTheProfile(ContentEncoder):
    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return super()._encode_users([User(user.id, {}, user.history) for user in users])


@caught_by("test_what_is_known_decides")
class IgnoresItemFeatures(ContentEncoder):
    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        return super()._encode_items([Item(item.id) for item in items])


@caught_by("test_the_history_changes_the_vector")
class IgnoresTheHistory(ContentEncoder):
    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return super()._encode_users([User(user.id, user.features) for user in users])


@caught_by("test_the_history_changes_the_vector")
class IgnoresTheOrder(ContentEncoder):
    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        ordered = [sorted(user.history, key=lambda event: str(event.item_id)) for user in users]
        return super()._encode_users([User(u.id, u.features, history) for u, history in zip(users, ordered)])


@caught_by("test_features_outside_the_schema_are_refused")
class FeaturesUnchecked(ContentEncoder):
    @override
    def encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return self._encode_users([User(user.id, {}, user.history) for user in users])


@caught_by("test_what_is_no_item_or_user_is_refused")
class IdsAreItems(ContentEncoder):
    @override
    def encode_items(self, items: Sequence[Any]) -> NDArray[np.float32]:
        return super().encode_items([Item(item) if isinstance(item, str) else item for item in items])


@caught_by("test_the_input_is_not_changed")
class FillsInFeatures(ContentEncoder):
    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        for item in items:
            cast("dict[str, JSON]", item.features).setdefault("genre", None)
        return super()._encode_items(items)


@caught_by("test_the_vectors_belong_to_the_caller")
class GivesItsOwnArray(ContentEncoder):
    def __init__(self, dim: int = 256, seed: int = 0) -> None:
        super().__init__(dim, seed)
        self._given: dict[str, NDArray[np.float32]] = {}

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return self._given.setdefault(repr(users), super()._encode_users(users))


@caught_by("test_an_encoder_that_has_learnt_nothing_says_so")
class UnfittedGivesZeros(ContentEncoder):
    @override
    def encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        return super().encode_items(items) if self.is_fitted else np.zeros((len(items), self.dim), np.float32)


@caught_by("test_fit_gives_the_encoder_itself")
class FitGivesNothing(ContentEncoder):
    @override
    def fit(self, data: Dataset, *, progress: ProgressLike = None) -> Self:
        if self.is_fitted or self._fits:
            super().fit(data)
            return None  # type: ignore[return-value]
        type(self)._fits += 1
        return super().fit(data)

    _fits: ClassVar[int] = 0  # the first is the kit's own preparation


@caught_by("test_learning_from_nothing_is_refused")
class LearnsFromNothing(ContentEncoder):
    @override
    def fit(self, data: Dataset, *, progress: ProgressLike = None) -> Self:
        self._fit(data, silent)
        return self


@caught_by("test_equal_data_and_seed_give_equal_vectors")
class SeedsItself(ContentEncoder):
    _turn = itertools.count()

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        self.seed += next(self._turn)
        super()._fit(data, progress)


@caught_by("test_another_process_gives_equal_vectors")
class HashesWithPython(ContentEncoder):
    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        twist = [hash(str(item.id)) % 97 / 97 for item in items]
        return (super()._encode_items(items) + np.array(twist, np.float32)[:, None]).astype(np.float32)


@caught_by("test_fit_forgets_what_was_learnt_before")
class NeverForgets(ContentEncoder):
    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        before = self._mean
        super()._fit(data, progress)
        self._mean = (self._mean + before).astype(np.float32)


@caught_by("test_a_refresh_leaves_the_encoder_as_it_was")
class RefreshesItself(ContentEncoder):
    @override
    def _refreshed(self, data: Dataset, progress: Progress) -> Self:
        self._fit(data, progress)
        return self


@caught_by("test_the_fingerprint_is_32_hexadecimal_digits")
class FingerprintOfTheMoment(ContentEncoder):
    _turn = itertools.count()

    @override
    def _fingerprint(self) -> str:
        return f"{next(self._turn):032x}"


@caught_by("test_the_fingerprint_changes_with_the_vectors")
class FingerprintOfTheSettings(ContentEncoder):
    @override
    def _fingerprint(self) -> str:
        return f"{self.dim * 1000 + self.seed:032x}"


@caught_by("test_the_name_of_the_data_does_not_matter")
class FingerprintOfTheName(ContentEncoder):
    _label = ""

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        self._label = data.name
        super()._fit(data, progress)

    @override
    def _fingerprint(self) -> str:
        return f"{len(self._label):02x}{super()._fingerprint()[2:]}"


@caught_by("test_another_seed_gives_another_encoder")
class IgnoresItsSeed(ContentEncoder):
    def __init__(self, dim: int = 256, seed: int = 0) -> None:
        super().__init__(dim)


@caught_by("test_nothing_is_learnt_from_an_unknown_order")
class ReadsTheOrderOfSets(ContentEncoder):
    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        super()._fit(data, progress)
        self._ordered = True


@caught_by("test_nothing_is_learnt_from_an_unknown_order")
class ForgetsThatTheyAreSets(ContentEncoder):
    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        loaded = super()._load(directory)
        loaded._ordered = True
        return loaded


@caught_by("test_it_reports_what_it_learns_from")
class ReportsNothing(ContentEncoder):
    @override
    def fit(self, data: Dataset, *, progress: ProgressLike = None) -> Self:
        super().fit(data)
        return self


@caught_by("test_an_item_whose_events_weigh_more_rises")
class IgnoresWeights(ContentEncoder):
    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        super()._fit(data.with_feedback(FeedbackPolicy()), progress)


@caught_by("test_an_item_whose_events_weigh_more_rises")
class ReadsTheScaleOfWeights(ContentEncoder):
    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        super()._fit(data, progress)
        if data.weights is not None:
            self._mean = (self._mean * data.weights.max()).astype(np.float32)


@caught_by("test_a_loaded_encoder_gives_the_same_vectors")
class ForgetsOnLoading(ContentEncoder):
    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        loaded = super()._load(directory)
        loaded._mean = np.zeros_like(loaded._mean)
        return loaded


@caught_by("test_a_loaded_encoder_gives_the_same_vectors")
class ForgetsTheSchema(ContentEncoder):
    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        loaded = super()._load(directory)
        loaded._learnt = Schema(loaded.schema.items, loaded.schema.users[:2])
        return loaded


@caught_by("test_loading_needs_no_training_framework")
class ImportsTheFramework(ContentEncoder):
    """The suite calls the module ``tabnanny`` a training framework."""

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        import tabnanny  # noqa: F401

        return super()._load(directory)


@caught_by("test_a_loaded_encoder_can_be_saved_again")
class CannotBeSavedTwice(ContentEncoder):
    @override
    def _save(self, directory: Path) -> None:
        if self._loaded:
            raise InvalidDataError("this encoder was loaded, so it is saved already")
        super()._save(directory)

    _loaded = False

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        loaded = super()._load(directory)
        loaded._loaded = True
        return loaded


@caught_by("test_the_files_hold_no_pickle")
class SavesAPickle(ContentEncoder):
    @override
    def _save(self, directory: Path) -> None:
        super()._save(directory)
        (directory / "vocabulary.bin").write_bytes(pickle.dumps(self._tokens))


@caught_by("test_the_files_hold_no_pickle")
class SavesObjects(ContentEncoder):
    @override
    def _save(self, directory: Path) -> None:
        super()._save(directory)
        np.savez(directory / "more.npz", ids=np.array(list(self._items), object))


@caught_by("test_a_directory_without_an_encoder_is_refused")
class LoadsFromNowhere(ContentEncoder):
    @classmethod
    @override
    def load(cls, directory: str | Path) -> Self:
        return super().load(directory) if Path(directory).is_dir() else cls()


@caught_by("test_damaged_files_are_refused")
class RawErrorWhenDamaged(ContentEncoder):
    @classmethod
    @override
    def load(cls, directory: str | Path) -> Self:
        try:
            return super().load(directory)
        except InvalidDataError as error:
            raise EOFError("ran out of input") from error


@caught_by("test_its_name_finds_it_again")
class InheritsItsName(ContentEncoder):
    """A release that holds it would be loaded as its base class."""


@caught_by("test_its_name_finds_it_again")
class NoName(ContentEncoder):
    name: ClassVar[str] = ""


@caught_by("test_parts_and_residual_add_up_to_the_vector")
class CallsItselfExact(ContentEncoder):
    @override
    def _explain_user(self, user: User) -> UserParts:
        found = super()._explain_user(user)
        return UserParts(found.parts, found.vectors * np.float32(0.5), found.residual, "exact")


@caught_by("test_parts_say_where_they_come_from")
class CountsEventsFromTheEnd(ContentEncoder):
    @override
    def _explain_user(self, user: User) -> UserParts:
        found = super()._explain_user(user)
        parts = [replace(each, place=each.place - len(user.history)) if each.place else each for each in found.parts]
        return UserParts(tuple(parts), found.vectors, found.residual, found.method)


@caught_by("test_what_says_nothing_has_no_part")
class SharesEqually(ContentEncoder):
    @override
    def _explain_user(self, user: User) -> UserParts:
        whole = self._encode_users([user])[0]
        parts = tuple(Part("event", place=place) for place in range(len(user.history)))
        return UserParts(parts, np.tile(whole / max(len(parts), 1), (len(parts), 1)), whole, "linearised")


@caught_by("test_a_value_outside_the_schema_has_no_parts")
class ExplainsAnything(ContentEncoder):
    @override
    def explain_user(self, user: User) -> UserParts:
        return super().explain_user(User(user.id, {}, user.history))
