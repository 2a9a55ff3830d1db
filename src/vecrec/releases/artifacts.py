"""What a release keeps beside its encoder: the popular items, and golden vectors to check the encoder with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.files import read_json, write_json
from vecrec._internal.storage import load_arrays, save_arrays
from vecrec.encoders.base import Encoder
from vecrec.errors import ReleaseError
from vecrec.ids import Id, decode_id, encode_id
from vecrec.types import Item, User

if TYPE_CHECKING:
    from vecrec.data import Feature, Schema

__all__ = ["Golden", "Popularity", "SeenValues", "ValueCollector"]

_GOLDEN_TOLERANCE = 1e-4
_USERS = 32
_WATCHED = ("categorical", "multi_categorical", "numeric")
_MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class Popularity:
    """Items by how many people chose them, most first, with their count as a share of the first one's."""

    ids: tuple[Id, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, counts: Mapping[Id, float], most: int = 10_000) -> Popularity:
        """The ``most`` popular items; equal counts keep the mapping's order."""
        ranked = sorted((key for key in counts if counts[key] > 0), key=lambda key: -counts[key])[:most]
        top = counts[ranked[0]] if ranked else 1
        return cls(tuple(ranked), tuple(counts[key] / top for key in ranked))

    def save(self, path: Path) -> None:
        """Write it as a JSON file."""
        write_json(path, [[encode_id(key), share] for key, share in zip(self.ids, self.shares)])

    @classmethod
    def load(cls, path: Path) -> Popularity:
        """Read what `save` wrote."""
        rows = read_json(path)
        return cls(tuple(decode_id(row[0]) for row in rows), tuple(row[1] for row in rows))


@dataclass(frozen=True, slots=True)
class Golden:
    """Users and items with the vectors that the encoder gave them when it was saved: any process must get them again.

    The users are made up, from the values that the schema declares and from golden items: nothing that is stored about
    a person may stay in the artifacts when they are forgotten.
    """

    users: list[User]
    items: list[Item]
    user_vectors: NDArray[np.float32]
    """Shape (n_users, dim)."""
    item_vectors: NDArray[np.float32]
    """Shape (n_items, dim)."""

    @classmethod
    def of(cls, encoder: Encoder, items: list[Item]) -> Golden:
        """The vectors that an encoder gives some items, and made-up users with these items in their histories."""
        from vecrec.data import Categorical  # what serves does without the modules of data sets

        closed = [
            (each.name, each.values) for each in encoder.schema.users if isinstance(each, Categorical) and each.values
        ]
        ids = [item.id for item in items if item.id is not None]
        users = [
            User(
                None,
                {name: values[number % len(values)] for name, values in closed if number % 3},
                [*ids, *ids][number : number + number % 8],
            )
            for number in range(_USERS)
        ]
        return cls(users, items, encoder.encode_users(users), encoder.encode_items(items))

    def save(self, directory: Path) -> None:
        """Write ``golden.json`` and ``golden.npz``."""
        users = [[dict(user.features), [encode_id(event.item_id) for event in user.history]] for user in self.users]
        items = [[encode_id(item.id), dict(item.features)] for item in self.items if item.id is not None]
        write_json(directory / "golden.json", {"users": users, "items": items})
        save_arrays(directory / "golden.npz", {"users": self.user_vectors, "items": self.item_vectors})

    @classmethod
    def load(cls, directory: Path) -> Golden:
        """Read what `save` wrote."""
        value = read_json(directory / "golden.json")
        users = [User(None, features, [decode_id(key) for key in history]) for features, history in value["users"]]
        items = [Item(decode_id(key), features) for key, features in value["items"]]
        arrays = load_arrays(directory / "golden.npz")
        return cls(users, items, arrays["users"], arrays["items"])

    def check(self, encoder: Encoder) -> float:
        """Encode the users and items again.

        Returns:
            The largest difference, as a share of the largest value.

        Raises:
            ReleaseError: when the encoder gives other vectors now.
        """
        largest = 0.0
        for what, held, now in (
            ("users", self.user_vectors, encoder.encode_users(self.users)),
            ("items", self.item_vectors, encoder.encode_items(self.items)),
        ):
            worst = float(np.abs(held - now).max(initial=0.0)) / max(float(np.abs(held).max(initial=0.0)), 1.0)
            largest = max(largest, worst)
            if worst > _GOLDEN_TOLERANCE:
                raise ReleaseError(
                    f"the encoder gives the golden {what} other vectors than when it was saved (by {worst:.2g})",
                    "its files or its code have changed; roll back or fit again",
                )
        return largest


@dataclass(frozen=True, slots=True)
class SeenValues:
    """What values the features had when a release was made, to tell from them what comes in later.

    Of numbers it knows the lowest and the highest, of categories all values; of those with over 10,000, and of texts,
    dates and embeddings, nothing. It holds values and no owners.
    """

    sides: Mapping[str, Mapping[str, tuple[float, float] | frozenset[Any]]] = field(default_factory=dict)
    """By ``"items"`` and ``"users"``, by the feature's name."""

    def compare(self, side: str, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The features of a record, each with what is new about it.

        Yields:
            The name, and ``"unknown"`` for a value that was not seen, ``"range"`` for a number lower or higher than
            all that were, or nothing. Features that are missing, or of which nothing is known, do not occur.
        """
        for name, seen in self.sides.get(side, {}).items():
            value = record.get(name)
            if isinstance(seen, frozenset):
                parts = value if isinstance(value, list) else [] if value is None else [value]
                if parts:
                    yield name, "" if seen.issuperset(parts) else "unknown"
            elif isinstance(value, (int, float)):
                yield name, "" if seen[0] <= value <= seen[1] else "range"

    def save(self, path: Path) -> None:
        """Write it as a JSON file."""
        plain = {
            side: {
                name: {"values": sorted(seen, key=str)} if isinstance(seen, frozenset) else {"range": [*seen]}
                for name, seen in features.items()
            }
            for side, features in self.sides.items()
        }
        write_json(path, plain)

    @classmethod
    def load(cls, path: Path) -> SeenValues:
        """Read what `save` wrote; nothing where there is no file, as in older releases."""
        sides: Any = read_json(path) or {}
        return cls(
            {
                side: {
                    name: frozenset(each["values"]) if "values" in each else (each["range"][0], each["range"][1])
                    for name, each in features.items()
                }
                for side, features in sides.items()
            }
        )


class ValueCollector:
    """Collects the `SeenValues` of a schema from records as they go by."""

    def __init__(self, schema: Schema) -> None:
        sides: dict[str, tuple[Feature, ...]] = {"items": schema.items, "users": schema.users}
        self._values: dict[tuple[str, str], set[Any] | None] = {}
        self._ranges: dict[tuple[str, str], tuple[float, float]] = {}
        self._kinds = {
            side: [(each.name, each.kind) for each in features if each.kind in _WATCHED]
            for side, features in sides.items()
        }

    def see(self, side: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Take records into account."""
        for record in records:
            for name, kind in self._kinds[side]:
                value = record.get(name)
                if kind != "numeric":
                    self._add((side, name), value if isinstance(value, list) else [] if value is None else [value])
                elif isinstance(value, (int, float)):
                    low, high = self._ranges.get((side, name), (value, value))
                    self._ranges[side, name] = min(low, value), max(high, value)

    def _add(self, key: tuple[str, str], values: Sequence[Any]) -> None:
        held = self._values.setdefault(key, set())
        if held is not None:
            held.update(values)
            if len(held) > _MOST_VALUES:
                self._values[key] = None

    def seen(self) -> SeenValues:
        """What was seen."""
        found: dict[str, dict[str, tuple[float, float] | frozenset[Any]]] = {side: {} for side in self._kinds}
        for (side, name), values in self._values.items():
            if values:
                found[side][name] = frozenset(values)
        for (side, name), limits in self._ranges.items():
            found[side][name] = limits
        return SeenValues(found)
