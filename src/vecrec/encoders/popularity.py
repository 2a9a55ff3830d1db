"""The baseline that any model has to beat: the same popular items for every user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec.encoders.base import Encoder
from vecrec.encoders.parts import Part, UserParts, collected
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.ids import Id
from vecrec.learning.events import weighted_popularity
from vecrec.types import Item, User

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["PopularityEncoder"]


class PopularityEncoder(Encoder):
    """Scores an item by the logarithm of one plus how many users chose it, for every user alike.

    Its vectors have two dimensions, the fewest that every vector store takes: ``(1, 0)`` for every user and
    ``(log(1 + users), 0)`` for an item. Each user counts once, by the weight of the heaviest event with the item.
    """

    name: ClassVar[str] = "popularity"

    def __init__(self) -> None:
        self._counts: dict[Id, float] = {}
        self._learnt: Schema | None = None

    @property
    @override
    def dim(self) -> int:
        return 2

    @property
    @override
    def reads_weights(self) -> bool:
        return True

    @property
    @override
    def is_fitted(self) -> bool:
        return self._learnt is not None

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        self._counts = {key: count for key, count in zip(data.item_ids, weighted_popularity(data).tolist()) if count}
        self._learnt = data.schema

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        vectors = np.zeros((len(items), 2), np.float32)
        vectors[:, 0] = np.log1p([0 if item.id is None else self._counts.get(item.id, 0) for item in items])
        return vectors

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return np.tile(np.array([1, 0], np.float32), (len(users), 1))

    @override
    def _explain_user(self, user: User) -> UserParts:
        return collected({Part("base"): np.array([1, 0], np.float32)}, 2)

    @override
    def _save(self, directory: Path) -> None:
        values = {"schema": self.schema.to_json(), "items": list(self._counts)}
        save_parts(directory, self.name, values, {"counts": np.array(list(self._counts.values()))})

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        from vecrec.data import Schema

        values, arrays = load_parts(directory, cls.name)
        if len(values["items"]) != len(arrays["counts"]):
            raise InvalidDataError(f"{directory} has {len(values['items'])} items and {len(arrays['counts'])} counts")
        loaded = cls()
        loaded._counts = dict(zip(values["items"], arrays["counts"].tolist()))
        loaded._learnt = Schema.from_json(values["schema"])
        return loaded

    @override
    def _fingerprint(self) -> str:
        return array_digest([self.name, list(self._counts.items())])

    @override
    def _schema(self) -> Schema:
        if self._learnt is None:
            raise NotFittedError("this PopularityEncoder is not fitted", "call fit(data)")
        return self._learnt
