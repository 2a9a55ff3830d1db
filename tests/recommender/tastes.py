"""A tiny world whose right answers are plain: users have a taste, items have one, and equal tastes meet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec import Item, User
from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema, Text
from vecrec.encoders.base import Encoder
from vecrec.ids import Id, decode_id, encode_id

if TYPE_CHECKING:
    from vecrec.progress import Progress

TASTES = ("crime", "love", "space", "war")

SCHEMA = Schema(
    items=(
        MultiCategorical("tastes", filterable=True),
        Numeric("year", dtype="integer", filterable=True),
        Text("title"),
    ),
    users=(Categorical("taste", values=TASTES),),
)


def world(n_users: int = 40, n_items: int = 60, schema: Schema = SCHEMA) -> Dataset:
    """Item i has the taste i % 4 and the year 1980 + i; user u likes items of the taste u % 4, a dozen of them."""
    events = [(user, 4 * n + user % 4) for user in range(n_users) for n in range(n_items // 4 - 3)]
    return Dataset(
        {
            "user_id": [user for user, _ in events],
            "item_id": [item for _, item in events],
            "time": [1_000 + n for n in range(len(events))],
        },
        items={
            "item_id": list(range(n_items)),
            "title": [f"Movie {item}" for item in range(n_items)],
            "tastes": [[TASTES[item % 4]] for item in range(n_items)],
            "year": [1980 + item for item in range(n_items)],
        },
        users={"user_id": list(range(n_users)), "taste": [TASTES[user % 4] for user in range(n_users)]},
        schema=schema,
    )


class TasteEncoder(Encoder):
    """Scores by common tastes, with a small preference for late years, so that no two scores are equal."""

    name: ClassVar[str] = "taste"

    def __init__(self, twist: float = 0.0) -> None:
        """``twist`` turns all vectors, so that two encoders can be told apart."""
        self.twist = twist
        self._tastes: dict[Id, list[str]] = {}
        self._learnt: Schema | None = None

    @property
    @override
    def dim(self) -> int:
        return len(TASTES) + 1

    @property
    @override
    def is_fitted(self) -> bool:
        return self._learnt is not None

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        self._learnt = data.schema
        self._tastes = {item.id: _tastes(item.features.get("tastes")) for item in data.items() if item.id is not None}

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        vectors = np.zeros((len(items), self.dim), np.float32)
        for row, item in zip(vectors, items):
            row[:4] = self._one_hot(_tastes(item.features.get("tastes")))
            year = item.features.get("year")
            row[4] = (year if isinstance(year, (int, float)) else 1900) / 1e5
        return vectors

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        vectors = np.zeros((len(users), self.dim), np.float32)
        for row, user in zip(vectors, users):
            likes = [taste for event in user.history for taste in self._tastes.get(event.item_id, [])]
            row[:4] = self._one_hot([*likes, *_tastes([user.features.get("taste")])])
            row[4] = 1.0
        return vectors

    @override
    def _save(self, directory: Path) -> None:
        tastes = {encode_id(key): value for key, value in self._tastes.items()}
        text = json.dumps({"twist": self.twist, "tastes": tastes, "schema": self.schema.to_json()})
        (directory / "taste.json").write_text(text)

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        value = json.loads((directory / "taste.json").read_text())
        loaded = cls(value["twist"])
        loaded._tastes = {decode_id(key): tastes for key, tastes in value["tastes"].items()}
        loaded._learnt = Schema.from_json(value["schema"])
        return loaded

    @override
    def _fingerprint(self) -> str:
        return f"{self.twist}{self._tastes}"

    @override
    def _schema(self) -> Schema:
        assert self._learnt is not None
        return self._learnt

    def _one_hot(self, tastes: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array([tastes.count(taste) for taste in TASTES], np.float32) + self.twist
        return counts / max(float(counts.max()), 1.0)


def _tastes(value: object) -> list[str]:
    return [taste for taste in value if isinstance(taste, str)] if isinstance(value, list) else []
