"""What a release is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from vecrec._internal.tables import html_facts
from vecrec.errors import ReleaseError, shown

__all__ = ["FORMAT", "Release"]

FORMAT = 1
"""The layout of a release's directory; a reader refuses a newer one."""


_KINDS: dict[str, type] = {
    **dict.fromkeys(("id", "name", "created_at", "collection", "encoder", "fingerprint", "metric", "data_digest"), str),
    **dict.fromkeys(("reranker", "reranker_fingerprint", "refreshed_from"), str),
    **dict.fromkeys(("schema", "counts", "checks", "versions", "checksums", "feedback"), dict),
    "text_ids": list,
    "dim": int,
}


@dataclass(frozen=True, slots=True, repr=False)
class Release:
    """A trained generation that never changes: encoder, second stage if any, collection of the item vectors, checks."""

    id: str
    """It sorts by the time at which the release was made."""
    name: str
    """The recommender that it belongs to."""
    created_at: str
    """When it was made, ISO 8601 in UTC."""
    collection: str
    """The vector store's collection with its item vectors."""
    encoder: str
    """The name that the encoder is registered under."""
    fingerprint: str
    """The encoder's fingerprint."""
    dim: int
    """The length of the vectors."""
    metric: str
    """How the vectors compare."""
    schema: Mapping[str, Any]
    """The features, as `vecrec.data.Schema.to_json` returns them."""
    data_digest: str
    """What it was trained on; empty where it was published from the stores."""
    counts: Mapping[str, int]
    """How many items, users and events there were."""
    checks: Mapping[str, float | int | None]
    """What was measured before it went live."""
    versions: Mapping[str, str]
    """The Python and the packages that made it."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each of its files."""
    reranker: str = ""
    """The name that its second stage is registered under; empty where there is none."""
    reranker_fingerprint: str = ""
    """The second stage's fingerprint."""
    feedback: Mapping[str, Any] = field(default_factory=dict)
    """What events mean, as `vecrec.FeedbackPolicy.to_json` returns it; empty for the default policy."""
    undated: str = ""
    """The order in which events without times are stored: ``"rows"`` or ``"unknown"``; empty where there are none."""
    learnt_until: float | None = None
    """The moment of the data that it was trained on, in seconds since 1970: its encoder has learnt no later event."""
    counted_until: float | None = None
    """The moment up to which `vecrec.Recommender.refresh` has counted events, in seconds since 1970; ``None`` where it
    has not refreshed this encoder."""
    refreshed_from: str = ""
    """The fingerprint of the encoder as it was trained, where `vecrec.Recommender.refresh` has changed it since."""
    text_ids: Sequence[str] = field(default_factory=list)
    """Of which of ``"items"`` and ``"users"`` every id is a text, so that an id that is written without a type, as in a
    path or on the command line, is one too."""
    format: int = FORMAT
    """The layout of its directory."""

    def learned_until(self) -> float:
        """The moment after which no event can have been learnt or counted, in seconds since 1970."""
        known = [moment for moment in (self.learnt_until, self.counted_until) if moment is not None]
        if known:
            return max(known)
        return datetime.fromisoformat(self.created_at).timestamp() + 1  # which has whole seconds

    def __repr__(self) -> str:
        return f"<Release {self.id} of {self.name!r}: {self._encoder()}, {self._counts()}>"

    def _repr_html_(self) -> str:
        checks = {
            f"check: {name.replace('_', ' ')}": "not measured" if value is None else f"{value:.4g}"
            for name, value in self.checks.items()
        }
        return html_facts(
            {
                "release": self.id, "of": self.name, "made at": self.created_at, "encoder": self._encoder(),
                "second stage": self.reranker or "none", "made from": self._counts(), **checks,
            }
        )  # fmt: skip

    def _encoder(self) -> str:
        return f"{self.encoder}, dimension {self.dim}"

    def _counts(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in self.counts.items()) or "nothing counted"

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Release:
        """The release of a manifest.

        Raises:
            ReleaseError: for a manifest of a newer layout, or an invalid one.
        """
        if not isinstance(value, dict) or not isinstance(value.get("format"), int):
            raise ReleaseError("the manifest of the release is damaged", "roll back to another release or fit again")
        if value["format"] > FORMAT:
            raise ReleaseError(
                f"the release has the layout {value['format']}, this vecrec knows {FORMAT}", "upgrade vecrec"
            )
        names = {each.name for each in fields(cls)}
        for name, kind in _KINDS.items():
            if name in value and not isinstance(value[name], kind):
                raise ReleaseError(
                    f"the manifest of the release is damaged ({name} is {shown(value[name])})", "roll back or fit again"
                )
        try:
            return cls(**{name: item for name, item in value.items() if name in names})
        except TypeError as error:
            raise ReleaseError(f"the manifest of the release is damaged ({error})", "roll back or fit again") from error
