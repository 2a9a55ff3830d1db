"""What a release is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vecrec.errors import ReleaseError

__all__ = ["FORMAT", "Release"]

FORMAT = 1
"""The layout of a release's directory; a reader refuses a newer one."""


@dataclass(frozen=True, slots=True)
class Release:
    """A trained generation: encoder, second stage if any, the collection of the item vectors, checks. Never changed."""

    id: str
    """Sorts by the time of its making."""
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
    """The features, as `vecrec.data.Schema.to_json` gives them."""
    data_digest: str
    """What it was trained on; empty where only the stores knew."""
    counts: Mapping[str, int]
    """How many items, users and events there were."""
    checks: Mapping[str, float | int | None]
    """What was measured before it went live."""
    versions: Mapping[str, str]
    """The Python and the packages that made it."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each of its files."""
    reranker: str = ""
    """The name that its second stage is registered under; empty where it has none."""
    reranker_fingerprint: str = ""
    """The second stage's fingerprint."""
    format: int = FORMAT
    """The layout of its directory."""

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Release:
        """The release of a manifest.

        Raises:
            ReleaseError: for a manifest of a newer layout, or none at all.
        """
        if not isinstance(value, dict) or not isinstance(value.get("format"), int):
            raise ReleaseError("the manifest of the release is damaged", "roll back to another release or fit again")
        if value["format"] > FORMAT:
            raise ReleaseError(
                f"the release has the layout {value['format']}, this vecrec knows {FORMAT}", "upgrade vecrec"
            )
        names = {each.name for each in fields(cls)}
        try:
            return cls(**{name: item for name, item in value.items() if name in names})
        except TypeError as error:
            raise ReleaseError(f"the manifest of the release is damaged ({error})", "roll back or fit again") from error
