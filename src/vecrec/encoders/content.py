"""The plain reference encoder: items are what they are made of, users are what they liked. Nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec._internal.validation import dimension, integer
from vecrec.encoders.base import Encoder
from vecrec.encoders.parts import Part, UserParts, collected
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.ids import Id, encode_id
from vecrec.learning.events import event_weights, weighted_popularity
from vecrec.learning.tokens import Floats, direction, references, tokens, unit
from vecrec.progress import Step
from vecrec.records import JSON
from vecrec.types import Event, Item, User

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["ContentEncoder"]

_ID_WEIGHT = 0.2  # enough to tell two items of equal features apart, too little to outweigh a feature
_PROFILE_WEIGHT = 0.5  # beside a history of weight 1
_DECAY = 0.9  # how much less an event counts than the one after it
_DISLIKE = -0.5  # how much an event counts that was rated below the middle


class ContentEncoder(Encoder):
    """Adds up a pseudo-random direction for each thing that is known of an item.

    - **Items.** Every value of a categorical feature, every word of a text and every neighbourhood of a number has a
      direction that is derived from its name and the seed by a hash, so equal values meet in every process. An item's
      vector is their sum, with a little of the id's own direction, scaled to length 1.
    - **Users.** The mean of the vectors of the items in the history, those rated below the middle counting against,
      and the latest most where the order of events is known; and for each value of the profile, the mean of what people
      with that value chose. A visitor gets the mean of everything that was chosen. In these means of the data events
      count by their weights. The id of a user says nothing.

    It needs no training framework, learns in one pass and is the reference that trained encoders are compared with.

    Args:
        dim: The length of every vector. Unrelated items have a score of about 0, give or take ``1 / sqrt(dim)``.
        seed: Another seed gives other directions.

    Raises:
        InvalidDataError: for a dimension below 1 or a seed that is not an integer of at least 0.
    """

    name: ClassVar[str] = "content"

    def __init__(self, dim: int = 256, seed: int = 0) -> None:
        self._dim = dim = dimension(dim)
        self.seed = integer(seed, "seed", low=0)
        """Where the directions come from."""
        self._learnt: Schema | None = None
        self._edges: dict[str, list[float]] = {}  # of each numeric feature, by "item year" or "user age"
        self._middle: float | None = None  # the middle rating
        self._ordered = True  # whether the order of a history counts
        self._items: dict[Id, int] = {}  # rows of _item_vectors
        self._tokens: dict[str, int] = {}  # rows of _token_vectors
        self._item_vectors = self._token_vectors = np.zeros((0, dim), np.float32)
        self._mean = np.zeros(dim, np.float32)

    @property
    @override
    def dim(self) -> int:
        return self._dim

    @property
    @override
    def reads_weights(self) -> bool:
        return True

    @property
    @override
    def is_fitted(self) -> bool:
        return self._learnt is not None

    # -- learning

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        schema = data.schema
        self._learnt, self._ordered = schema, data.order != "unknown"
        self._edges = references("item", schema.items, data.item_features)
        self._edges |= references("user", schema.users, data.user_features)
        rated = np.empty(0) if data.ratings is None else data.ratings[~np.isnan(data.ratings)]
        self._middle = float(np.median(rated)) if len(rated) else None
        self._items = {key: row for row, key in enumerate(data.item_ids)}
        self._item_vectors = self._encode_items(list(data.items()))
        progress(Step("items", data.n_items, data.n_items))
        chosen = self._item_vectors.astype(np.float64)
        self._mean = unit(weighted_popularity(data) @ chosen).astype(np.float32)
        self._learn_profiles(data, chosen)
        progress(Step("users", data.n_users, data.n_users))

    def _learn_profiles(self, data: Dataset, chosen: Floats) -> None:
        sums: dict[str, Floats] = {}
        weights = event_weights(data)
        for code, (start, end) in enumerate(zip(data.user_offsets[:-1].tolist(), data.user_offsets[1:].tolist())):
            counted = None if weights is None else weights[start:end]
            if start < end and (counted is None or counted.any()):
                taste = np.average(chosen[data.item_codes[start:end]], axis=0, weights=counted)
                for token, weight in tokens("user", self.schema.users, data.user_records[code] or {}, self._edges):
                    sums[token] = sums.get(token, 0.0) + weight * taste
        self._tokens = {token: row for row, token in enumerate(sorted(sums))}
        rows = [unit(sums[token]) for token in self._tokens]
        self._token_vectors = np.array(rows, np.float32).reshape(-1, self._dim)

    # -- encoding

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        vectors = np.zeros((len(items), self._dim), np.float32)
        for row, item in enumerate(items):
            total = np.zeros(self._dim)
            for token, weight in tokens("item", self.schema.items, item.features, self._edges):
                total += weight * direction(token, self.seed, self._dim)
            if item.id is not None:
                total += _ID_WEIGHT * direction(f"id {encode_id(item.id)}", self.seed, self._dim)
            vectors[row] = unit(total)
        return vectors

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        vectors = np.zeros((len(users), self._dim), np.float32)
        for row, user in enumerate(users):
            both = self._history(user.history) + _PROFILE_WEIGHT * self._profile(user.features)
            vectors[row] = unit(both) if both.any() else self._mean
        return vectors

    @override
    def _explain_user(self, user: User) -> UserParts:
        """The terms of the sums, for the lengths that they have for this user."""
        whole = self._history(user.history) + _PROFILE_WEIGHT * self._profile(user.features)
        if not whole.any():
            return collected({Part("base"): self._mean}, self._dim)
        parts = _scaled(self._event_terms(user.history), 1.0)
        parts |= _scaled(self._profile_terms(user.features), _PROFILE_WEIGHT)
        length = float(np.linalg.norm(whole))
        return collected(
            {part: (vector / length).astype(np.float32) for part, vector in parts.items()}, self._dim, "linearised"
        )

    def _event_terms(self, history: Sequence[Event]) -> dict[Part, Floats]:
        found: dict[Part, Floats] = {}
        weight = 1.0
        for place in reversed(range(len(history))):
            row = self._items.get(history[place].item_id)
            if row is not None:
                found[Part("event", place=place)] = weight * self._sign(history[place]) * self._item_vectors[row]
                weight *= _DECAY if self._ordered else 1.0
        return dict(reversed(found.items()))

    def _profile_terms(self, record: Mapping[str, JSON]) -> dict[Part, Floats]:
        found: dict[Part, Floats] = {}
        for feature in self.schema.users:
            known = [(t, w) for t, w in tokens("user", [feature], record, self._edges) if t in self._tokens]
            if known:
                total = sum(w * self._token_vectors[self._tokens[token]].astype(np.float64) for token, w in known)
                found[Part("feature", feature=feature.name)] = np.asarray(total)
        return found

    @override
    def knows(self, item_id: Id) -> bool:
        return item_id in self._items

    def _history(self, history: Iterable[Event]) -> Floats:
        read = [(self._items[event.item_id], self._sign(event)) for event in history if event.item_id in self._items]
        decay = _DECAY if self._ordered else 1.0
        total = np.zeros(self._dim)
        # A set has one order, so that sums are rounded alike.
        for row, sign in read if self._ordered else sorted(read):
            total = decay * total + sign * self._item_vectors[row]
        return unit(total)

    def _sign(self, event: Event) -> float:
        disliked = event.rating is not None and self._middle is not None and event.rating < self._middle
        return _DISLIKE if disliked else 1.0

    def _profile(self, record: Mapping[str, JSON]) -> Floats:
        total = np.zeros(self._dim)
        for token, weight in tokens("user", self.schema.users, record, self._edges):
            if token in self._tokens:
                total += weight * self._token_vectors[self._tokens[token]]
        return unit(total)

    # -- saving

    @override
    def _save(self, directory: Path) -> None:
        values = self._settings() | {"schema": self.schema.to_json()}
        save_parts(directory, self.name, values, self._arrays())

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        from vecrec.data import Schema

        values, arrays = load_parts(directory, cls.name)
        loaded = cls(values["dim"], values["seed"])
        loaded._learnt = Schema.from_json(values["schema"])
        loaded._edges, loaded._middle = values["edges"], values["middle"]
        loaded._ordered = values.get("ordered", True)
        loaded._items = {key: row for row, key in enumerate(values["items"])}
        loaded._tokens = {token: row for row, token in enumerate(values["tokens"])}
        loaded._item_vectors, loaded._token_vectors = arrays["items"], arrays["tokens"]
        loaded._mean = arrays["mean"]
        dim = loaded.dim
        found = [array.shape for array in loaded._arrays().values()]
        if found != [(len(loaded._items), dim), (len(loaded._tokens), dim), (dim,)]:
            raise InvalidDataError(f"{directory} has arrays of the wrong shapes {found}", "save the encoder again")
        return loaded

    @override
    def _fingerprint(self) -> str:
        read = [[(f.kind, f.name) for f in side] for side in (self.schema.items, self.schema.users)]
        return array_digest([self.name, read, self._settings()], *self._arrays().values())

    @override
    def _schema(self) -> Schema:
        if self._learnt is None:
            raise NotFittedError("this ContentEncoder is not fitted", "call fit(data)")
        return self._learnt

    def _settings(self) -> dict[str, Any]:
        known = {"dim": self._dim, "seed": self.seed, "edges": self._edges, "middle": self._middle}
        known |= {} if self._ordered else {"ordered": False}
        return known | {"items": list(self._items), "tokens": list(self._tokens)}

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        return {"items": self._item_vectors, "tokens": self._token_vectors, "mean": self._mean}


def _scaled(terms: Mapping[Part, Floats], weight: float) -> dict[Part, Floats]:
    """Terms scaled so that their sum has the length ``weight``, or is zero."""
    length = float(np.linalg.norm(sum(terms.values()))) if terms else 0.0
    return {part: vector * (weight / length) for part, vector in terms.items()} if length > 0 else {}
