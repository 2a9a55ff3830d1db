"""What operations on the whole catalogue or on a user tell."""

from __future__ import annotations

from dataclasses import dataclass

from vecrec.ids import Id

__all__ = ["Receipt", "Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """What differs between the stores. True when nothing does: ``if not rec.verify(): rec.repair()``."""

    records: int = 0
    """How many items have a record."""
    vectors: int = 0
    """How many items have a vector."""
    unsearchable: tuple[Id, ...] = ()
    """Items with a record and no vector."""
    orphaned: tuple[Id, ...] = ()
    """Items with a vector and no record."""
    stale: tuple[Id, ...] = ()
    """Items whose vector was made from another state of the record."""
    pending: tuple[Id, ...] = ()
    """Items marked by a change that did not end, or by a reader that missed a record."""
    unfinished: tuple[str, ...] = ()
    """Releases that a build which did not end has left, and that the next one removes; no difference by itself."""
    warnings: tuple[str, ...] = ()
    """What endangers the stores' data in the way that their engines are configured; no difference by itself."""

    def __bool__(self) -> bool:
        return not self.ids

    def __str__(self) -> str:
        head = f"{self.records:,} records, {self.vectors:,} vectors: "
        found = [
            f"{len(ids):,} {name} ({', '.join(map(repr, ids[:5]))}{', ...' if len(ids) > 5 else ''})"
            for name in ("unsearchable", "orphaned", "stale", "pending")
            if (ids := getattr(self, name))
        ]
        verdict = "; ".join(found) + "; repair(full=True) mends them" if found else "they agree"
        left = [f"left by a build that did not end: {', '.join(self.unfinished)}"] if self.unfinished else []
        return "\n".join([head + verdict, *left, *self.warnings])

    @property
    def ids(self) -> list[Id]:
        """All the items that need mending, each once."""
        return list(dict.fromkeys(self.unsearchable + self.orphaned + self.stale + self.pending))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `forget_user` has removed, and what it has kept."""

    user_id: Id
    """Whose it was."""
    profile: bool
    """Whether there was a stored profile."""
    events: int
    """How many events there were."""
    remembered: bool = True
    """Whether a keyed hash of the id is kept, by which `fit` leaves out what an older data set says about the user."""
