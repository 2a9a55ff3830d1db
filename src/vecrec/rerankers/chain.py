"""Several second stages, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import Self, override

from vecrec._internal.storage import array_digest, load_values, save_values
from vecrec.errors import InvalidDataError, shown
from vecrec.recommendations import Recommendation
from vecrec.registry import find_part
from vecrec.rerankers.base import Candidates, Reranker
from vecrec.types import User

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.encoders.base import Encoder
    from vecrec.progress import Progress

__all__ = ["ChainReranker"]


class ChainReranker(Reranker):
    """Passes the result of each reranker to the next, such as predicted ratings to maximal marginal relevance.

    Every stage sees the vectors as well. To be kept in a release, each stage must be registered by entry point.

    Args:
        stages: At least one; the last one's order and scores are served.

    Raises:
        InvalidDataError: for a value that is not a list of at least one reranker.
    """

    name: ClassVar[str] = "chain"

    def __init__(self, stages: Sequence[Reranker]) -> None:
        self.stages = _checked(stages)
        """The rerankers, in the order of their calls."""
        self._one_encoder()

    @property
    @override
    def depth(self) -> int:
        return max(stage.depth for stage in self.stages)

    @property
    @override
    def is_fitted(self) -> bool:
        return all(stage.is_fitted for stage in self.stages)

    @property
    @override
    def encoder_fingerprint(self) -> str | None:
        return self._one_encoder()

    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        for stage in self.stages:
            stage.fit(data, encoder, progress=progress)

    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        for stage in self.stages:
            candidates = candidates.reordered(stage.rerank(user, candidates))
        return candidates

    @override
    def _save(self, directory: Path) -> None:
        for number, stage in enumerate(self.stages):
            stage.save(directory / str(number))
        names: list[Any] = [stage.name for stage in self.stages]
        save_values(directory, self.name, {"stages": names}, "reranker")

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        value = load_values(directory, cls.name, "reranker")
        kinds: list[Any] = [find_part("vecrec.rerankers", name) for name in value["stages"]]
        return cls([kind.load(directory / str(number)) for number, kind in enumerate(kinds)])

    @override
    def _fingerprint(self) -> str:
        return array_digest([self.name, [[stage.name, stage.fingerprint] for stage in self.stages]])

    def _one_encoder(self) -> str | None:
        found = {stage.encoder_fingerprint for stage in self.stages if stage.is_fitted} - {None}
        if len(found) > 1:
            raise InvalidDataError("the stages have learnt from the vectors of different encoders", "fit them together")
        return next(iter(found), None)


def _checked(stages: Any) -> tuple[Reranker, ...]:
    if isinstance(stages, (str, bytes)) or not isinstance(stages, Sequence) or not stages:
        raise InvalidDataError(f"stages is {shown(stages)}", "give a list of at least one reranker")
    for stage in stages:
        if not isinstance(stage, Reranker):
            raise InvalidDataError(f"{shown(stage)} is not a reranker", "give objects such as MMRReranker()")
    return tuple(stages)
