"""For each item a bounded list of other items with weights, read from its files in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.files import read_json, write_json
from vecrec.errors import ReleaseError
from vecrec.ids import Id, decode_id, encode_id

if TYPE_CHECKING:
    from vecrec.data.room import Room

__all__ = ["MOST", "ItemLists"]

MOST = 50
"""The most items of a list."""


@dataclass(frozen=True)
class ItemLists:
    """A list of items with weights for each item, best first."""

    ids: Sequence[Id]
    """The items."""
    places: NDArray[np.int32]
    """The rows of the items of each list, -1 where there are no more, shape (n, `MOST`)."""
    weights: NDArray[np.float16]
    """Their weights, shape (n, `MOST`)."""

    @classmethod
    def none(cls) -> Self:
        """No lists."""
        return cls.blank([])

    @classmethod
    def blank(cls, ids: Sequence[Id], room: Room | None = None) -> Self:
        """Empty lists, to be filled in by `put`; in memory where there is no room for them elsewhere."""
        make: Callable[..., NDArray[Any]] = np.empty if room is None else room.empty
        places, weights = (make(len(ids) * MOST, kind).reshape(-1, MOST) for kind in (np.int32, np.float16))
        places[:], weights[:] = -1, 0
        return cls(ids, places, weights)

    def put(self, row: int, others: NDArray[np.int64], weights: NDArray[np.floating]) -> None:
        """Fill in the list of one item with the `MOST` of largest weight; of equal ones the first.

        Args:
            row: The item's.
            others: Rows of other items, shape (n,).
            weights: Theirs, shape (n,).
        """
        best = np.argsort(-weights, kind="stable")[:MOST]
        self.places[row, : len(best)], self.weights[row, : len(best)] = others[best], weights[best]

    def near(self, item_id: Id) -> dict[Id, float]:
        """The list of an item, best first; empty for an item without one."""
        row = self.rows.get(item_id)
        if row is None:
            return {}
        found = zip(self.places[row].tolist(), self.weights[row].tolist())
        return {self.ids[place]: weight for place, weight in found if place >= 0}

    @cached_property
    def rows(self) -> dict[Id, int]:
        """The row of each item."""
        return {key: row for row, key in enumerate(self.ids)}

    # -- kept in a release

    def save(self, directory: Path, name: str) -> None:
        """Write ``NAMEs.json`` with the ids, ``NAMEs.npy`` with the places and ``NAME_weights.npy``."""
        write_json(directory / f"{name}s.json", [encode_id(key) for key in self.ids])
        np.save(directory / f"{name}s.npy", self.places)
        np.save(directory / f"{name}_weights.npy", self.weights)

    @classmethod
    def load(cls, directory: Path, name: str) -> Self:
        """Map what `save` wrote into memory; no lists where there are no files, as in older releases.

        Raises:
            ReleaseError: when the files do not belong together.
        """
        keys = read_json(directory / f"{name}s.json")
        if keys is None:
            return cls.none()
        files = f"{name}s.npy", f"{name}_weights.npy"
        places, weights = (np.load(directory / file, mmap_mode="r", allow_pickle=False) for file in files)
        if not places.shape == weights.shape == (len(keys), MOST):
            raise ReleaseError(f"the {name}s in {directory} do not belong together", "roll back or fit again")
        return cls([decode_id(key) for key in keys], places, weights)
