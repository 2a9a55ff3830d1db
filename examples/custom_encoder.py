"""An encoder of one's own: what share of a user's history has each value of one feature. `tests/examples` proves it."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vecrec import Item, User
from vecrec.data import Dataset, Schema
from vecrec.encoders import Encoder
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.progress import Progress
from vecrec.records import record_digest


class ShareEncoder(Encoder):
    """Scores an item by the share of its value in the user's history, and a little by its popularity.

    Args:
        values: The values of the feature, one dimension each.
        feature: The name of a categorical feature of the items.
    """

    name: ClassVar[str] = "share"
    FILE = "share.json"
    _learnt: Schema | None = None

    def __init__(self, values: Sequence[str], feature: str = "genre") -> None:
        self.values, self.feature = values, feature  # under the arguments' names: get_params and repr read them
        self._places = {value: place for place, value in enumerate(values)}

    @property
    @override
    def dim(self) -> int:
        return len(self.values) + 1

    @property
    @override
    def is_fitted(self) -> bool:
        return self._learnt is not None

    def _fit(self, data: Dataset, progress: Progress) -> None:
        counts = Counter(event.item_id for event in data.events())
        values = {item.id: item.features.get(self.feature) for item in data.items()}
        self._take(data.schema, {key: [values[key], counts[key]] for key in data.item_ids})

    def _take(self, schema: Schema, items: dict[Any, Any]) -> None:
        self._learnt, self._items = schema, items

    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        vectors = np.zeros((len(items), self.dim), np.float32)
        for vector, item in zip(vectors, items):
            value, count = self._items.get(item.id, (None, 0))  # an unknown id is not an error
            self._add(vector, item.features.get(self.feature, value))
            vector[-1] = 0.01 * np.log1p(count)
        return vectors

    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        vectors = np.zeros((len(users), self.dim), np.float32)
        for vector, user in zip(vectors, users):
            known = [self._items[event.item_id][0] for event in user.history if event.item_id in self._items]
            for value in known:
                self._add(vector, value, 1 / len(known))
            vector[-1] = 1  # a visitor without a history gets popular items
        return vectors

    def _add(self, vector: NDArray[np.float32], value: Any, weight: float = 1.0) -> None:
        if value in self._places:
            vector[self._places[value]] += weight

    def _state(self) -> dict[str, Any]:
        return {"params": self.get_params(), "items": [[key, *held] for key, held in self._items.items()]}

    def _save(self, directory: Path) -> None:
        state = self._state() | {"format": 1, "schema": self._schema().to_json()}
        (directory / self.FILE).write_text(json.dumps(state), encoding="utf-8")

    @classmethod
    def _load(cls, directory: Path) -> "ShareEncoder":
        state = json.loads((directory / cls.FILE).read_text(encoding="utf-8"))
        if state["format"] > 1:
            raise InvalidDataError(f"{directory} has the format {state['format']}", "upgrade the package")
        loaded = cls(**state["params"])
        loaded._take(Schema.from_json(state["schema"]), {key: held for key, *held in state["items"]})
        return loaded

    def _fingerprint(self) -> str:
        return record_digest(self._state())  # of all that the vectors depend on, and of nothing else

    def _schema(self) -> Schema:
        if self._learnt is None:
            raise NotFittedError("this ShareEncoder is not fitted", "call fit(data)")
        return self._learnt
