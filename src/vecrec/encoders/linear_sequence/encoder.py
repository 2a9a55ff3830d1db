"""The linear sequence encoder: a user's next item from the items before it, in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec._internal.validation import dimension, integer
from vecrec.encoders.base import Encoder
from vecrec.encoders.linear_sequence.closed_form import set_scale
from vecrec.encoders.linear_sequence.profiles import STOPS, fade_by_length
from vecrec.encoders.linear_sequence.settings import LinearSequenceSettings
from vecrec.encoders.linear_sequence.training import Learnt, learn, refit_items
from vecrec.encoders.parts import Part, UserParts, collected
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.ids import Id
from vecrec.learning.feature_map import FeatureMap
from vecrec.progress import Step
from vecrec.records import JSON
from vecrec.types import Event, Item, User, column

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["LinearSequenceEncoder"]

_NEGLIGIBLE = 1e-7


class LinearSequenceEncoder(Encoder):
    """Predicts the next item from the ordered history by a linear model that is solved, not trained.

    - **Users.** Each item of the history adds a vector of its own in each of several blocks, the more the later it
      came: ``sum over blocks b and items i of decay_b ** age_i * table_b[i]``. A recorded event changes the vector at
      once. A user without a history gets a vector from the profile, and a visitor the mean; how fast it fades as
      the history grows is learnt. The id of a user says nothing. Where the order of the events of the data is unknown,
      a history is read as a set: the sum of one vector for each different item, over the root of their number.
    - **Items.** A vector each, fitted to the users who took it next. An item without events gets one from its features.
    - **Learning.** Ridge regression of the next item on the history, ``B = (X'X + ridge I)^-1 X'Y``, approximated with
      ``dim`` dimensions by a randomised SVD; then a half step of alternating least squares, in which what was not
      chosen counts little, and each event to predict counts by its weight. Half a minute for a million events, in
      NumPy alone. What it learns depends on the data and the settings, to the last bit, on one machine with one number
      of threads.
    - **Later events.** `refreshed` repeats the last half step in a tenth of the time: the vectors of known items follow
      what is chosen now, and what their events say of users stays.

    Args:
        dim: The length of every vector.
        seed: Where the randomised SVD starts; it decides next to nothing.
        settings: The rest; a dictionary changes some of the defaults.

    Raises:
        InvalidDataError: for an argument that cannot be used.
    """

    name: ClassVar[str] = "linear_sequence"

    def __init__(
        self, dim: int = 256, seed: int = 0, settings: LinearSequenceSettings | Mapping[str, Any] | None = None
    ) -> None:
        self._dim = dimension(dim)
        self.seed = integer(seed, "seed", low=0)
        """Where the randomised SVD starts."""
        self.settings = LinearSequenceSettings.of(settings)
        """How it is fitted."""
        self._learnt: Learnt | None = None
        self._places: dict[Id, int] = {}

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

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        self._adopt(learn(data, self._dim, self.seed, self.settings, progress))

    def _adopt(self, learnt: Learnt) -> None:
        self._learnt = learnt
        self._fades = fade_by_length(learnt.fades, self.settings.window)
        self._places = {key: place for place, key in enumerate(learnt.item_ids)}
        ages = np.arange(self.settings.window)
        weights = [np.float32(decay) ** ages.astype(np.float32) for decay in learnt.decays]
        # Latest last, as histories are; what is too old to matter in a block is not looked up.
        self._weights = [np.ascontiguousarray(each[each > _NEGLIGIBLE][::-1]) for each in weights]

    @override
    def _refreshed(self, data: Dataset, progress: Progress) -> Self:
        learnt = self._known()
        if not self.settings.rounds or bool(learnt.decays) != (data.order != "unknown"):
            return self  # nothing was fitted so, or not to such histories
        progress(Step("learn", 0, 1, "fitting items to users"))
        found = refit_items(learnt, data, self.settings)
        progress(Step("learn", 1, 1))
        return self if found is learnt else self._of(self._dim, self.seed, self.settings, found)

    @classmethod
    def _of(cls, dim: int, seed: int, settings: LinearSequenceSettings, learnt: Learnt) -> Self:
        made = cls(dim, seed, settings)
        made._adopt(learnt)
        return made

    # -- encoding

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        learnt = self._known()
        vectors = np.empty((len(items), self._dim), np.float32)
        for row, item in enumerate(items):
            place = None if item.id is None else self._places.get(item.id)
            vectors[row] = learnt.items(item.features) if place is None else learnt.vectors[place]
        return vectors

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        vectors = np.empty((len(users), self._dim), np.float32)
        for row, user in enumerate(users):
            vectors[row] = self._user(user)
        return vectors

    def _user(self, user: User) -> NDArray[np.float32]:
        learnt = self._known()
        places = [place for _, place in self._history(user.history)]
        profile = learnt.users(user.features)
        if not places:
            return profile
        known, length = int(learnt.users.knows(user.features)), min(len(places), self.settings.window)
        total: NDArray[np.float32] = profile * self._fades[known, length]
        if not learnt.decays:
            total += learnt.tables[0][places].sum(axis=0) * set_scale(np.array(len(places)))
            return total
        for table, weights in zip(learnt.tables, self._weights):
            latest = places[-len(weights) :]
            total = total + weights[len(weights) - len(latest) :] @ table[latest]
        return total

    @override
    def _explain_user(self, user: User) -> UserParts:
        learnt = self._known()
        known = self._history(user.history)
        profile = learnt.users.by_feature(user.features)
        length = min(len(known), self.settings.window)
        fade = self._fades[int(learnt.users.knows(user.features)), length] if known else np.float32(1)
        parts = {Part("base"): learnt.users.table[-1] * fade}
        parts |= {Part("feature", feature=name): vector * fade for name, vector in profile.items()}
        vectors = np.zeros((len(known), self._dim), np.float32)
        places = [place for _, place in known]
        if known and not learnt.decays:
            vectors += learnt.tables[0][places] * set_scale(np.array(len(places)))
        for table, weights in zip(learnt.tables, self._weights):
            latest = places[-len(weights) :]
            if latest:
                vectors[-len(latest) :] += weights[len(weights) - len(latest) :, None] * table[latest]
        parts |= {Part("event", place=at): vector for (at, _), vector in zip(known, vectors)}
        return collected(parts, self._dim)

    def _history(self, history: Sequence[Event]) -> list[tuple[int, int]]:
        """Where the last known items stand in the history and in the tables, oldest first.

        Where histories are read as sets, it is each different item once, by its place in the tables.
        """
        items = column(history, "item_id")
        if not self._known().decays:
            places = {self._places.get(key): at for at, key in enumerate(items)}
            return sorted(((at, place) for place, at in places.items() if place is not None), key=lambda each: each[1])
        known: list[tuple[int, int]] = []
        for at in reversed(range(len(items))):
            place = self._places.get(items[at])
            if place is not None:
                known.append((at, place))
                if len(known) == self.settings.window:
                    break
        return known[::-1]

    @override
    def knows(self, item_id: Id) -> bool:
        return item_id in self._places

    # -- saving

    @override
    def _save(self, directory: Path) -> None:
        learnt = self._known()
        values = self._values() | {"schema": learnt.schema.to_json(), "seed": self.seed}
        save_parts(directory, self.name, values, learnt.arrays())

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        from vecrec.data import Schema

        values, arrays = load_parts(directory, cls.name)
        settings = LinearSequenceSettings.from_json(values["settings"])
        decays = tuple(values["decays"]) if "decays" in values else settings.decays or ()
        schema, item_ids, width = Schema.from_json(values["schema"]), values["items"], values["dim"]
        shapes = {
            "tables": (len(decays) or 1, len(item_ids), width),
            "vectors": (len(item_ids), width),
            "item_features": (len(values["item_features"]["tokens"]) + 1, width),
            "user_features": (len(values["user_features"]["tokens"]) + 1, width),
            "fades": (2, len(STOPS)),
        }
        found = {name: arrays[name].shape for name in shapes}
        if found != shapes:
            raise InvalidDataError(
                f"{directory} has arrays of the shapes {found}, not {shapes}", "save the encoder again"
            )
        items = FeatureMap.from_json("item", schema.items, values["item_features"], arrays["item_features"])
        users = FeatureMap.from_json("user", schema.users, values["user_features"], arrays["user_features"])
        learnt = Learnt(schema, item_ids, arrays["tables"], arrays["vectors"], items, users, decays, arrays["fades"])
        return cls._of(width, values["seed"], settings, learnt)

    @override
    def _fingerprint(self) -> str:
        learnt = self._known()
        read = [[(each.kind, each.name) for each in side] for side in (learnt.schema.items, learnt.schema.users)]
        return array_digest([self.name, read, self._values()], *learnt.arrays().values())

    @override
    def _schema(self) -> Schema:
        return self._known().schema

    @override
    def _chosen(self) -> dict[str, JSON]:
        return {"decays": list(self._known().decays)} if self.settings.decays is None else {}

    def _known(self) -> Learnt:
        if self._learnt is None:
            raise NotFittedError("this LinearSequenceEncoder is not fitted", "call fit(data)")
        return self._learnt

    def _values(self) -> dict[str, Any]:
        learnt = self._known()
        found = {} if learnt.decays == self.settings.decays else {"decays": list(learnt.decays)}
        return {
            **found,
            "dim": self._dim,
            "settings": self.settings.to_json(),
            "items": learnt.item_ids,
            "item_features": learnt.items.to_json(),
            "user_features": learnt.users.to_json(),
        }
