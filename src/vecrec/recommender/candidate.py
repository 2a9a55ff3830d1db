"""A release before it goes live, as the caller's own checks see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from typing_extensions import Unpack

from vecrec._internal.validation import number
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError, ReleaseError, shown
from vecrec.ids import Id, check_ids
from vecrec.recommendations import Recommendations
from vecrec.recommender.live import LoadedRelease
from vecrec.recommender.pipeline import Pipeline
from vecrec.recommender.request import RecommendOptions, Request
from vecrec.releases import Release

__all__ = ["Candidate", "Check", "run_checks"]


class Candidate:
    """A release that is built and not live: a check asks it what it would serve."""

    def __init__(self, built: LoadedRelease, pipeline: Pipeline) -> None:
        """The package makes it; a check is given one."""
        self._built, self._pipeline = built, pipeline

    @property
    def release(self) -> Release:
        """Its manifest, with the figures of vecrec's own checks in ``checks``."""
        return self._built.release

    @property
    def encoder(self) -> Encoder:
        """Its encoder."""
        return self._built.encoder

    def recommend(self, user_id: Id, k: int = 10, **options: Unpack[RecommendOptions]) -> Recommendations:
        """What `Recommender.recommend` would return if it were live."""
        return self.recommend_many([user_id], k, **options)[0]

    def recommend_many(
        self, user_ids: Sequence[Id], k: int = 10, **options: Unpack[RecommendOptions]
    ) -> list[Recommendations]:
        """What `Recommender.recommend_many` would return if it were live."""
        return self._pipeline.for_ids(self._built, check_ids(user_ids, "user id"), Request.of(k, options))


Check: TypeAlias = Callable[[Candidate], "bool | float | None"]
"""A check of the caller's: it refuses by ``False`` or by any exception, and keeps a number in the manifest."""


def run_checks(checks: Sequence[Check], candidate: Candidate) -> dict[str, float]:
    """Run the caller's checks; returns the numbers that they gave, by the checks' names.

    Raises:
        ReleaseError: when one of them refuses the release.
    """
    found: dict[str, float] = {}
    for check in checks:
        name = getattr(check, "__name__", type(check).__name__)
        try:
            answer = check(candidate)
        except Exception as error:  # whatever the caller's code raises refuses the release
            raise ReleaseError(f"the check {name} refused the release ({error!r})", "see the check") from error
        if answer is False:
            raise ReleaseError(f"the check {name} refused the release", "see the check")
        if answer is not None and answer is not True:
            found[name] = number(answer, f"what the check {name} returned")
    return found


def checked(checks: object) -> list[Check]:
    """The caller's checks.

    Raises:
        InvalidDataError: for something that is not a list of callables.
    """
    if callable(checks) or not isinstance(checks, Sequence) or not all(map(callable, checks)):
        raise InvalidDataError(f"checks is {shown(checks)}", "give a list of functions that take the candidate")
    return list(checks)
