"""Rerankers that break one promise each."""

from __future__ import annotations

import itertools
import math
import os
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import Self, override

from tests.testing.references import BestRated
from tests.testing.wrong import caught_by
from vecrec.data import Dataset
from vecrec.encoders import Encoder
from vecrec.errors import InvalidDataError
from vecrec.progress import Progress, ProgressLike, silent
from vecrec.recommendations import Recommendation
from vecrec.rerankers import Candidates
from vecrec.types import User


@caught_by("test_it_gives_candidates_only_each_once")
class MakesThingsUp(BestRated):
    @override
    def rerank(self, user: User, candidates: Candidates) -> list[Recommendation]:
        found = super().rerank(user, candidates)
        return [*found, Recommendation(len(found) + 1, "made up", 0.0, {})]


@caught_by("test_it_gives_candidates_only_each_once")
class RepeatsTheFirst(BestRated):
    @override
    def rerank(self, user: User, candidates: Candidates) -> list[Recommendation]:
        found = super().rerank(user, candidates)
        return [*found, *(replace(item, rank=len(found) + 1) for item in found[:1])]


@caught_by("test_it_gives_candidates_only_each_once")
class FailsOnStrangers(BestRated):
    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        assert self._means is not None
        return sorted(candidates, key=lambda item: -(self._means or {})[item.item_id])


@caught_by("test_scores_are_finite_and_ranks_count_from_1")
class InfiniteScores(BestRated):
    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        return [replace(item, score=math.log(item.score) if item.score > 0 else -math.inf) for item in candidates]


@caught_by("test_scores_are_finite_and_ranks_count_from_1")
class KeepsTheOldRanks(BestRated):
    @override
    def rerank(self, user: User, candidates: Candidates) -> list[Recommendation]:
        return list(self._rerank(user, candidates))


@caught_by("test_something_is_kept")
class DropsEverything(BestRated):
    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        return [item for item in super()._rerank(user, candidates) if item.score > 1_000]


@caught_by("test_its_depth_is_a_count")
class EndlessDepth(BestRated):
    @property
    @override
    def depth(self) -> int:
        return 0


@caught_by("test_its_depth_is_a_count")
class DepthOfTheData(BestRated):
    @property
    @override
    def depth(self) -> int:
        return 1 + len(self._means or {})


@caught_by("test_equal_candidates_give_equal_orders")
class RemembersWhoAsked(BestRated):
    _turn = itertools.count()

    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        return [replace(item, score=float(next(self._turn))) for item in candidates]


@caught_by("test_the_input_is_not_changed")
class WritesIntoTheVectors(BestRated):
    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        vectors = candidates.vectors
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
        vectors += 1
        return super()._rerank(user, candidates)


@caught_by("test_the_input_is_not_changed")
class WritesIntoTheRecords(BestRated):
    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        for item in candidates:
            item.metadata["seen"] = True
        return super()._rerank(user, candidates)


@caught_by("test_what_is_no_user_or_no_candidates_is_refused")
class TakesAnything(BestRated):
    @override
    def rerank(self, user: User, candidates: Any) -> list[Recommendation]:
        return super().rerank(user, candidates if isinstance(candidates, Candidates) else Candidates([], 1))


@caught_by("test_one_that_has_learnt_nothing_says_so")
class AlwaysReady(BestRated):
    @property
    @override
    def is_fitted(self) -> bool:
        return True


@caught_by("test_fit_gives_the_reranker_itself")
class FitGivesACopy(BestRated):
    @override
    def fit(self, data: Dataset, encoder: Encoder, *, progress: ProgressLike = None) -> Self:
        return type(self)(self._seed)._fitted(data, encoder)

    def _fitted(self, data: Dataset, encoder: Encoder) -> Self:
        return super().fit(data, encoder)


@caught_by("test_it_cannot_learn_from_nothing")
class LearnsFromNothing(BestRated):
    @override
    def fit(self, data: Dataset, encoder: Encoder, *, progress: ProgressLike = None) -> Self:
        self._fit(data, encoder, silent)
        return self


@caught_by("test_equal_data_and_seed_give_equal_orders")
class ChanceOfItsOwn(BestRated):
    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        super()._fit(data, encoder, progress)
        noise = np.random.default_rng().random(data.n_items).tolist()
        self._means = {key: mean + extra for (key, mean), extra in zip((self._means or {}).items(), noise)}


@caught_by("test_fit_forgets_what_was_learnt_before")
class NeverForgets(BestRated):
    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        before = self._means or {}
        super()._fit(data, encoder, progress)
        self._means = {key: mean + before.get(key, 0.0) for key, mean in (self._means or {}).items()}


@caught_by("test_the_fingerprint_is_32_hexadecimal_digits")
class FingerprintInWords(BestRated):
    @override
    def _fingerprint(self) -> str:
        return f"best rated {super()._fingerprint()}"


@caught_by("test_the_fingerprint_changes_with_the_order")
class FingerprintOfTheSeed(BestRated):
    @override
    def _fingerprint(self) -> str:
        return f"{self._seed:032x}"


@caught_by("test_the_fingerprint_changes_with_the_order")
class FingerprintOfTheName(BestRated):
    _label = ""

    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        self._label = data.name
        super()._fit(data, encoder, progress)

    @override
    def _fingerprint(self) -> str:
        return f"{len(self._label):02x}{super()._fingerprint()[2:]}"


@caught_by("test_another_seed_gives_another_order")
class IgnoresItsSeed(BestRated):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()


@caught_by("test_it_says_whose_vectors_it_has_learnt_from")
class HidesItsEncoder(BestRated):
    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        super()._fit(data, encoder, progress)
        lengths = encoder.encode_items(list(data.items())) @ np.arange(encoder.dim, dtype=np.float32)
        self._means = dict(zip(data.item_ids, lengths.tolist()))


@caught_by("test_it_says_whose_vectors_it_has_learnt_from")
class NamesAnotherEncoder(BestRated):
    @property
    @override
    def encoder_fingerprint(self) -> str | None:
        return "0" * 32


@caught_by("test_a_loaded_reranker_gives_the_same_order")
class ForgetsOnLoading(BestRated):
    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        loaded = super()._load(directory)
        loaded._means = dict.fromkeys(loaded._means or {}, 0.0)
        return loaded


@caught_by("test_another_process_learns_the_same")
class LearnsItsHashSeed(BestRated):
    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        super()._fit(data, encoder, progress)
        extra = float(os.environ.get("PYTHONHASHSEED") == "12345")
        self._means = {key: mean + extra for key, mean in (self._means or {}).items()}


@caught_by("test_loading_needs_no_training_framework")
class ImportsTheFramework(BestRated):
    """The suite calls the module ``tabnanny`` a training framework."""

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        import tabnanny  # noqa: F401

        return super()._load(directory)


@caught_by("test_a_loaded_reranker_can_be_saved_again")
class CannotBeSavedTwice(BestRated):
    _loaded = False

    @override
    def _save(self, directory: Path) -> None:
        if self._loaded:
            raise InvalidDataError("this reranker was loaded, so it is saved already")
        super()._save(directory)

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        loaded = super()._load(directory)
        loaded._loaded = True
        return loaded


@caught_by("test_one_that_has_learnt_nothing_is_not_saved")
class SavesNothing(BestRated):
    @override
    def save(self, directory: str | Path) -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        self._save(Path(directory))


@caught_by("test_the_files_hold_no_pickle")
class SavesAPickle(BestRated):
    @override
    def _save(self, directory: Path) -> None:
        super()._save(directory)
        (directory / "means.bin").write_bytes(pickle.dumps(self._means))


@caught_by("test_a_directory_without_a_reranker_is_refused")
class LoadsFromNowhere(BestRated):
    @classmethod
    @override
    def load(cls, directory: str | Path) -> Self:
        return super().load(directory) if (Path(directory) / "reranker.json").is_file() else cls()


@caught_by("test_damaged_files_are_refused")
class RawErrorWhenDamaged(BestRated):
    @classmethod
    @override
    def load(cls, directory: str | Path) -> Self:
        try:
            return super().load(directory)
        except InvalidDataError as error:
            raise EOFError("ran out of input") from error


@caught_by("test_its_name_finds_it_again")
class NoName(BestRated):
    name: ClassVar[str] = ""


@caught_by("test_its_name_finds_it_again")
class TakesAnothersName(BestRated):
    """A release that holds it would be loaded as the registered one."""

    name: ClassVar[str] = "mmr"
