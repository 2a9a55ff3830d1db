"""The result of a diagnosis."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "Severity"]

Severity = Literal["error", "warning", "hint"]
"""Harmful already, possibly harmful, or an improvement."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with its cure."""

    severity: Severity
    """How serious it is."""
    subject: str
    """What it is about, such as ``"items"`` or ``"metadata store"``."""
    problem: str
    """What is wrong, with figures."""
    cure: str
    """What to do about it."""

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)
