"""What was trained, kept until a release of it is live: a check, an index or a store may fail after hours of work."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

from vecrec._internal.files import read_json, write_json
from vecrec.encoders.base import Encoder
from vecrec.encoders.fold_in import FoldedItems
from vecrec.encoders.successors import Successors
from vecrec.errors import ReleaseError
from vecrec.feedback import FeedbackPolicy
from vecrec.recommender.live import Given, class_of
from vecrec.releases import Archive
from vecrec.rerankers.base import Reranker

__all__ = ["Origin", "Trained"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What an encoder was trained on."""

    data_digest: str
    """The digest of the data set."""
    learnt_until: float
    """The moment of the data, in seconds since 1970."""
    undated: str
    """The order of events without times, as the manifest has it."""
    policy: FeedbackPolicy
    """What events mean."""
    since: float | None = None
    """The moment after which events were held out; ``None`` where none were."""
    held_out: frozenset[str] = frozenset()
    """The keyed hashes of the users whose latest events were held out."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What was trained for a release."""

    encoder: Encoder
    """Fitted."""
    reranker: Reranker | None
    """The second stage, fitted with the encoder; ``None`` for none."""
    successors: Successors
    """What follows what, weighed beside the encoder."""
    folded: FoldedItems = field(default_factory=FoldedItems)
    """What events say of items that the encoder has not learnt."""
    refreshed_from: str = ""
    """The fingerprint of the encoder as it was trained, where a refresh has changed it since."""


class Trained:
    """The one encoder, and second stage, that was trained last and is not live yet, beside the releases."""

    def __init__(self, archive: Archive, given: Given) -> None:
        self._directory, self._given = archive.path / "trained", given
        self._unfinished = archive.path / "trained.unfinished"

    def keep(self, parts: Parts, origin: Origin) -> None:
        """Write them; what was kept before is removed."""
        encoder, reranker = parts.encoder, parts.reranker
        shutil.rmtree(self._unfinished, ignore_errors=True)
        encoder.save(self._unfinished / "encoder")
        if reranker is not None:
            reranker.save(self._unfinished / "reranker")
        if parts.successors.weight:
            parts.successors.save(self._unfinished)
        value = {
            "encoder": encoder.name,
            "reranker": "" if reranker is None else reranker.name,
            "data_digest": origin.data_digest,
            "learnt_until": origin.learnt_until,
            "undated": origin.undated,
            "feedback": origin.policy.to_json(),
            "since": origin.since,
            "held_out": sorted(origin.held_out),
        }
        write_json(self._unfinished / "trained.json", value)
        self.discard()
        self._unfinished.rename(self._directory)

    def find(self) -> tuple[Parts, Origin]:
        """What was kept.

        Raises:
            ReleaseError: when there is nothing, or it cannot be read.
        """
        try:
            value: Any = read_json(self._directory / "trained.json")
            if value is None:
                raise ReleaseError(f"{self._directory} holds nothing that was trained", "call fit(data)")
            encoder: Encoder = class_of("vecrec.encoders", value["encoder"], self._given.encoder).load(
                self._directory / "encoder"
            )
            reranker = None
            if value["reranker"]:
                kind = class_of("vecrec.rerankers", value["reranker"], self._given.reranker)
                reranker = kind.load(self._directory / "reranker")
            parts = Parts(encoder, reranker, Successors.load(self._directory))
            origin = Origin(
                value["data_digest"], value["learnt_until"], value["undated"],
                FeedbackPolicy.from_json(value["feedback"]), value["since"], frozenset(value["held_out"]),
            )  # fmt: skip
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ReleaseError(f"{self._directory} is damaged ({error})", "call fit(data) again") from error
        return parts, origin

    def discard(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self._directory, ignore_errors=True)
