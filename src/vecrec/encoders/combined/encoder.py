"""One vector from several encoders, which is an ensemble that a vector store searches in one go."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.sampling import evenly_spaced
from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec._internal.validation import choice, dimension, flag, number
from vecrec.encoders.base import Encoder
from vecrec.encoders.combined.reduction import Reduction, reduce_scores
from vecrec.encoders.combined.weights import learn_weights
from vecrec.encoders.content import ContentEncoder
from vecrec.encoders.ease import EASEEncoder
from vecrec.encoders.linear_sequence import LinearSequenceEncoder
from vecrec.encoders.parts import Method, Part, UserParts, weakest
from vecrec.encoders.two_tower import TwoTowerEncoder, TwoTowerSettings
from vecrec.encoders.two_tower.settings import has_few_events
from vecrec.errors import InvalidDataError, NotFittedError, shown
from vecrec.ids import Id
from vecrec.progress import Step, showing
from vecrec.records import JSON
from vecrec.registry import find_part
from vecrec.types import Item, User

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema, Split
    from vecrec.progress import Progress, ProgressLike

__all__ = ["CombinedEncoder", "ensemble"]

_EARLIER = 0.8
"""How much of the events, the earlier ones, the members learn from when weights for later ones are learnt."""

_MOST_USERS = 20_000
"""Users, at most, whose vectors the maps into fewer dimensions are learnt from."""

_KNOWN_PER_NEW = 20
"""How many users with a history stand for one with a profile only."""

_MOST_ITEMS = 20_000
"""Items, at most, that the maps are learnt from: the most popular ones."""


class CombinedEncoder(Encoder):
    """Puts the vectors of several encoders side by side.

    The inner product of two vectors side by side is the sum of their inner products, so the score is the weighted sum
    of the members' scores. What each member's score counts is learnt where it is not given: the members are fitted on
    all but the last event of each user, the weights that find those events most often among the first ten (Recall@10)
    are kept, and the members are fitted again on everything, unless ``refit`` is false. Members that are fitted already
    are put together by `of`.

    `refreshed` refreshes the members; the weights and the maps below stay.

    Side by side, the vectors are as long as the members' together. With a smaller ``dim`` they are mapped into as many
    dimensions as said, by the two linear maps after which the lists of the users in the data change least (see
    `vecrec.encoders.combined.reduction`): several models for the price of one in the store and in the search. A member
    without which the lists are as good is left out then, so that the dimensions are for the others.

    Args:
        members: Two encoders or more, of different make, dimension, settings or seed. They are fitted in place. Or what
            gives them for a data set, so that other data have other members; ``dim`` is needed then.
        dim: The length of every vector, at most the sum of the members' dimensions, which ``None`` stands for.
        weights: What each member's score counts, above 0; learnt where it is ``None``.
        refit: Whether the members are fitted once more, with the last events, when the weights are learnt. Without it
            training takes half as long, and the last event of each user teaches the members nothing, though it is read
            in the histories: little is lost where the users have dozens of events.
        objective: ``"next"`` learns the weights on the last event of each user. ``"later"`` learns them for lists that
            stay up for weeks: on all events of the last fifth of the time, which the members have not seen.

    Raises:
        InvalidDataError: for fewer than two members, the same one twice, or an argument that does not fit.
    """

    name: ClassVar[str] = "combined"

    def __init__(
        self,
        members: Sequence[Encoder] | Callable[[Dataset], Sequence[Encoder]],
        dim: int | None = None,
        weights: Sequence[float] | None = None,
        *,
        refit: bool = True,
        objective: Literal["next", "later"] = "next",
    ) -> None:
        if callable(members) and (dim is None or weights is not None):
            raise InvalidDataError("members follow from the data", "give dim, and no weights")
        self._composed = members if callable(members) else _check_members(members)
        self.members: tuple[Encoder, ...] = () if callable(self._composed) else self._composed
        """The encoders whose scores are added: those given, without the ones that were left out."""
        self._dim = sum(member.dim for member in self.members) if dim is None else dimension(dim)
        if self.members:
            self._check_dims()
        self.refit = flag(refit, "refit")
        """Whether the members are fitted once more when the weights are learnt."""
        self.objective = choice(objective, "objective", ("next", "later"))
        """What the weights are learnt for."""
        self._given = None if weights is None else _check_weights(weights, len(self.members))
        self._weights: tuple[float, ...] | None = None
        self._reduction: Reduction | None = None

    @classmethod
    def of(
        cls,
        members: Sequence[Encoder],
        split: Split | None = None,
        *,
        weights: Sequence[float] | None = None,
        dim: int | None = None,
        progress: ProgressLike = None,
    ) -> Self:
        """Put fitted encoders together.

        Args:
            members: Encoders that were fitted on ``split.train``.
            split: The weights are learnt on its validation part, and the maps into fewer dimensions on its train part;
                not needed where the weights are given and the vectors stay as long as they are.
            weights: What each member's score counts.
            dim: The length of every vector.
            progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

        Raises:
            InvalidDataError: when a split is needed and there is none.
            NotFittedError: when a member has learnt nothing.
        """
        made = cls(members, dim, weights)
        if split is None and (weights is None or made._reduces):
            raise InvalidDataError("give a split to learn the weights and the maps into fewer dimensions on")
        for member in made.members:
            _ = member.fingerprint  # raises for one that has learnt nothing
        made._weights = made._given
        if split is not None:
            with showing(progress) as show:
                made._weigh(made._given or made._best_weights(split, "validation", show))
                made._reduction = made._reduced(split.train, show)
        return made

    @property
    def weights(self) -> tuple[float, ...]:
        """What each member's score counts.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        if self._weights is None:
            raise NotFittedError("this CombinedEncoder is not fitted", "call fit(data)")
        return self._weights

    @override
    def _attribute(self, name: str) -> str:
        return {"weights": "_given", "members": "_composed"}.get(name, name)

    @property
    @override
    def dim(self) -> int:
        return self._dim

    @property
    @override
    def reads_weights(self) -> bool:
        return all(member.reads_weights for member in self.members)

    @property
    @override
    def is_fitted(self) -> bool:
        return self._weights is not None and all(member.is_fitted for member in self.members)

    @property
    def _reduces(self) -> bool:
        return self._dim < sum(member.dim for member in self.members)

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        self.members = _check_members(self._composed(data)) if callable(self._composed) else self._composed
        self._check_dims()
        learnt = None if self._given else self._learn(data, progress)
        self._weigh(self._given or learnt or (1.0,) * len(self.members))
        if learnt is None or self.refit:
            for member in self.members:
                member.fit(data, progress=_labelled(progress, member.name))
        self._reduction = self._reduced(data, progress)

    @override
    def _refreshed(self, data: Dataset, progress: Progress) -> Self:
        members = [member.refreshed(data, progress=_labelled(progress, member.name)) for member in self.members]
        if all(new is old for new, old in zip(members, self.members)):
            return self
        return self._of(members, self._dim, self.weights, self._reduction)

    @classmethod
    def _of(cls, members: Sequence[Encoder], dim: int, weights: Sequence[float], reduction: Reduction | None) -> Self:
        made = cls(members, dim, weights)
        made._weights, made._reduction = made._given, reduction
        return made

    def _check_dims(self) -> None:
        dims = [member.dim for member in self.members]
        if self._dim > sum(dims):
            told = " + ".join(map(str, dims))
            raise InvalidDataError(
                f"dim is {self._dim!r}, but the members have {told} = {sum(dims)}", "give no more than that"
            )

    def _learn(self, data: Dataset, progress: Progress) -> tuple[float, ...] | None:
        """The weights, from members fitted without the last events; ``None`` where nothing can be held out."""
        from vecrec.data import splits

        split = splits.leave_last_out(data) if self.objective == "next" else splits.temporal(data, _EARLIER)
        if not split.before_test.n_events or not split.test.n_events:
            return None
        for member in self.members:
            member.fit(split.before_test, progress=_labelled(progress, f"{member.name} for the weights"))
        return self._best_weights(split, "test", progress)

    def _best_weights(self, split: Split, part: str, progress: Progress) -> tuple[float, ...]:
        dims = [member.dim for member in self.members]
        wide = CombinedEncoder.of(self.members, weights=[1.0] * len(dims))
        return learn_weights(wide, dims, split, part, progress, least=self._dim)

    def _weigh(self, weights: Sequence[float]) -> None:
        """Let the scores count so much, and leave out the members of weight 0."""
        kept = [place for place, weight in enumerate(weights) if weight > 0]
        self.members = tuple(self.members[place] for place in kept)
        self._weights = tuple(weights[place] for place in kept)

    def _reduced(self, data: Dataset, progress: Progress) -> Reduction | None:
        """The maps into fewer dimensions, from users with their history and a few with a profile only."""
        if not self._reduces:
            return None
        popularity = data.popularity()
        items = np.sort(np.argsort(-popularity, kind="stable")[: min(_MOST_ITEMS, np.count_nonzero(popularity))])
        rows = np.full(data.n_items, -1)
        rows[items] = np.arange(len(items))
        codes = evenly_spaced(data.n_users, _MOST_USERS).tolist()
        users = [data.user(code, history=True) for code in codes]
        events = [rows[data.item_codes[data.user_offsets[code] : data.user_offsets[code + 1]]] for code in codes]
        seen = [each[each >= 0] for each in events]
        strangers = [User(features=user.features) for user in users[::_KNOWN_PER_NEW]]
        users += strangers
        seen += [np.zeros(0, np.int64)] * len(strangers)
        wide = self._wide_items([*map(data.item, items.tolist())])
        return reduce_scores(self._wide_users(users), wide, popularity[items], seen, dim=self._dim, progress=progress)

    @override
    def _chosen(self) -> dict[str, JSON]:
        found: dict[str, JSON] = {}
        for place, (member, weight) in enumerate(zip(self.members, self.weights), 1):
            told = "" if member.learning_report is None else member.learning_report.told
            found[f"member {place}"] = f"{member.name} times {weight:.4g}{told}"
        return found

    # -- encoding

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        vectors = self._wide_items(items)
        return vectors if self._reduction is None else vectors @ self._reduction.items

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        vectors = self._wide_users(users)
        return vectors if self._reduction is None else vectors @ self._reduction.users

    def _wide_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        return self._side_by_side(lambda member: member.encode_items(items))

    def _wide_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return self._side_by_side(lambda member: member.encode_users(users))

    def _side_by_side(self, encode: Callable[[Encoder], NDArray[np.float32]]) -> NDArray[np.float32]:
        parts = []
        for member, weight in zip(self.members, self.weights):
            vectors = encode(member)
            if member.metric == "cosine":
                lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
                vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
            # The root on either side, so that neither users nor items become long.
            parts.append(vectors * np.float32(math.sqrt(weight)))
        return np.concatenate(parts, axis=1)

    @override
    def _explain_user(self, user: User) -> UserParts:
        """The members' parts, each in its place of the long vector; what a member cannot tell stays the residual."""
        parts: list[Part] = []
        rows: list[NDArray[np.float32]] = []
        methods: list[Method] = []
        start, width = 0, sum(member.dim for member in self.members)
        for member, weight in zip(self.members, self.weights):
            found = member.explain_user(user)
            block = np.zeros((len(found.parts), width), np.float32)
            length = float(np.linalg.norm(found.total)) if member.metric == "cosine" else 1.0
            block[:, start : start + member.dim] = found.vectors * np.float32(math.sqrt(weight) / (length or 1.0))
            parts, rows, methods = [*parts, *found.parts], [*rows, block], [*methods, found.method]
            start += member.dim
        wide = np.concatenate(rows)
        vectors = wide if self._reduction is None else wide @ self._reduction.users
        return UserParts(tuple(parts), vectors, np.zeros(self._dim, np.float32), weakest(methods))

    @override
    def knows(self, item_id: Id) -> bool:
        return any(member.knows(item_id) for member in self.members)

    # -- saving

    @override
    def _save(self, directory: Path) -> None:
        for place, member in enumerate(self.members):
            member.save(directory / f"member_{place}")
        names = [member.name for member in self.members]
        values = {"members": names, "weights": list(self.weights), "dim": self._dim}
        save_parts(directory, self.name, values, self._maps())

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        values, maps = load_parts(directory, cls.name)
        classes: list[Any] = [find_part("vecrec.encoders", name) for name in values["members"]]
        members = [kind.load(directory / f"member_{place}") for place, kind in enumerate(classes)]
        shape = sum(member.dim for member in members), values["dim"]
        reduction = None
        if shape[1] < shape[0]:
            reduction = Reduction(maps["users"], maps["items"])
            if any(each.shape != shape or not np.isfinite(each).all() for each in maps.values()):
                raise InvalidDataError(f"{directory} has maps that do not fit the members", "save the encoder again")
        return cls._of(members, values["dim"], values["weights"], reduction)

    def _maps(self) -> dict[str, NDArray[np.float32]]:
        return {} if self._reduction is None else {"users": self._reduction.users, "items": self._reduction.items}

    @override
    def _fingerprint(self) -> str:
        members = [member.fingerprint for member in self.members]
        weights = [float(weight) for weight in self.weights]  # 1 and 1.0 are one weight, but not one text
        return array_digest([self.name, members, weights], *self._maps().values())

    @override
    def _schema(self) -> Schema:
        return self.members[0].schema


def _check_members(members: Any) -> tuple[Encoder, ...]:
    if not isinstance(members, Sequence) or not all(isinstance(member, Encoder) for member in members):
        raise InvalidDataError(f"members is {shown(members)}", "give a list of encoders")
    if len(members) < 2 or len({id(member) for member in members}) < len(members):
        raise InvalidDataError(f"there are {len(members)} members", "give two different encoders or more")
    return tuple(members)


def _check_weights(weights: Any, count: int) -> tuple[float, ...]:
    if not isinstance(weights, (list, tuple, np.ndarray)) or len(weights) != count:
        raise InvalidDataError(f"weights is {weights!r}", f"give {count} numbers above 0, one for each member")
    checked = tuple(number(each, "a value in weights", above=0) for each in weights)
    return weights if isinstance(weights, tuple) and weights == checked else checked


def _labelled(progress: Progress, label: str) -> Progress:
    """Progress of a member, told apart from that of the others."""
    return lambda step: progress(Step(f"{label}: {step.stage}", step.done, step.total, step.detail))


def ensemble(
    dim: int = 256,
    seed: int = 0,
    *,
    refit: bool = True,
    objective: Literal["next", "later"] = "next",
    workers: int = 1,
    device: str = "auto",
) -> CombinedEncoder:
    """The strongest encoder here, in vectors of the usual length, for several times the training of one.

    Towers that read the history as decaying sums, towers that read it by recurrent layers, the linear encoder of
    sequences, and EASE, which knows tastes rather than sequences: what one gets wrong, the others mostly do not. Where
    items have few events, from which recurrent layers learn too little, a second seed of the first towers takes their
    place; where items have features, `ContentEncoder` is a member too. What each of their scores counts is learnt on
    the last events, for which they are fitted once more before; one that adds nothing is left out.

    Args:
        dim: The length of every vector, at least 2.
        seed: Where all chance comes from, from 0.
        refit: Whether they are fitted once more with the last events, which takes twice as long; see `CombinedEncoder`.
        objective: ``"later"`` for lists that stay up for weeks: EASE, and the linear encoder with a horizon of 300
            events, weighed on the last fifth of the time.
        workers: How many processes train each of the towers; see `TwoTowerEncoder`.
        device: Where the towers are trained; see `TwoTowerEncoder`.

    Raises:
        InvalidDataError: for an argument that cannot be used.
    """
    if choice(objective, "objective", ("next", "later")) == "later":
        lasting = {"horizon": 300, "decays": (0.99,), "window": 400, "rounds": 0}
        members: list[Encoder] = [
            EASEEncoder(dim, seed=seed),
            LinearSequenceEncoder(dim, seed=seed, settings=lasting),
        ]
        return CombinedEncoder(members, dim=dim, refit=refit, objective=objective)
    # To refuse what no member takes before there are data.
    TwoTowerEncoder(dim, seed=seed, workers=workers, device=device)
    return CombinedEncoder(_Members(dim, seed, workers, device), dim=dim, refit=refit)


@dataclass(frozen=True)
class _Members:
    """The members of `ensemble`, as they suit a data set."""

    dim: int
    seed: int
    workers: int
    device: str

    def __call__(self, data: Dataset) -> list[Encoder]:
        few = has_few_events(data.popularity())
        second = TwoTowerSettings() if few else TwoTowerSettings.recurrent()
        place: dict[str, Any] = {"workers": self.workers, "device": self.device}
        return [
            TwoTowerEncoder(self.dim, seed=self.seed, **place),
            TwoTowerEncoder(self.dim, seed=self.seed + few, settings=second, **place),
            LinearSequenceEncoder(self.dim, seed=self.seed),
            EASEEncoder(self.dim, seed=self.seed, settings={"ridge": 1.0}),
            *([ContentEncoder(self.dim, seed=self.seed)] if data.schema.items else []),
        ]
