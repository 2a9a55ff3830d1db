"""What a diagnosis gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "Severity"]

Severity = Literal["error", "warning", "hint"]
"""Whether it does harm already, may do so, or can be done better."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    severity: Severity
    """How bad it is."""
    subject: str
    """What it is about, such as ``"items"`` or ``"metadata store"``."""
    problem: str
    """What is wrong, with figures."""
    cure: str
    """What to do."""

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)
