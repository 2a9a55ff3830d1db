"""A custom encoder: it scores an item by the genres that the user liked before. `tests/examples` runs the kit."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec import Item, User
from vecrec.data import Dataset, Schema
from vecrec.encoders import Encoder
from vecrec.ids import encode_id
from vecrec.progress import Progress
from vecrec.records import record_digest


class GenreEncoder(Encoder):
    """Vectors with one coordinate for each genre, and a last one for popularity, which ranks items for visitors.

    Args:
        field: The field of the items that holds a genre or a list of genres.
        genres: Its values; others are ignored.
    """

    name = "genre"

    def __init__(self, field: str, genres: Iterable[str]) -> None:
        self.field, self.genres = field, tuple(genres)
        self._schema_read: Schema | None = None
        self._items: dict[str, list[float]] = {}

    @property
    @override
    def dim(self) -> int:
        return len(self.genres) + 1

    @property
    @override
    def is_fitted(self) -> bool:
        return self._schema_read is not None

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        counts = Counter(event.item_id for event in data.events())
        self._schema_read = data.schema
        self._items = {
            encode_id(item.id): [*self._marks(item), counts[item.id] / data.n_events]
            for item in data.items()
            if item.id is not None
        }

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        return np.array([self._vector(item) for item in items], np.float32).reshape(-1, self.dim)

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        vectors = np.zeros((len(users), self.dim), np.float32)
        for vector, user in zip(vectors, users):
            liked = [self._vector(Item(event.item_id)) for event in user.history]
            if liked:
                vector[:] = np.mean(liked, axis=0)
            vector[-1] = 1  # the popularity of an item counts a little for everybody
        return vectors

    def _vector(self, item: Item) -> list[float]:
        known = self._items.get(encode_id(item.id)) if item.id is not None else None
        if self.field not in item.features:
            return known or [0.0] * self.dim
        return [*self._marks(item), known[-1] if known else 0.0]

    def _marks(self, item: Item) -> list[float]:
        held = item.features.get(self.field)
        values = held if isinstance(held, list) else [held]
        return [float(genre in values) for genre in self.genres]

    @override
    def _schema(self) -> Schema:
        assert self._schema_read is not None  # the public property has checked that it is fitted
        return self._schema_read

    def _state(self) -> dict[str, object]:
        return {"field": self.field, "genres": list(self.genres), "items": self._items}

    @override
    def _fingerprint(self) -> str:
        return record_digest(json.loads(json.dumps(self._state())))  # all that the vectors depend on

    @override
    def _save(self, directory: Path) -> None:
        (directory / "genres.json").write_text(json.dumps({**self._state(), "schema": self._schema().to_json()}))

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        state = json.loads((directory / "genres.json").read_text())
        encoder = cls(state["field"], state["genres"])
        encoder._items, encoder._schema_read = state["items"], Schema.from_json(state["schema"])
        return encoder
