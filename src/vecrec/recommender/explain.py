"""Why an item is recommended to a user: parts that add up to the score, what rules changed, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.tables import html_table
from vecrec.encoders.parts import Method, Part, PartKind, UserParts
from vecrec.encoders.successors import WINDOW
from vecrec.errors import ItemNotFoundError
from vecrec.feedback import Taste
from vecrec.filters import check_filter
from vecrec.ids import Id
from vecrec.recommendations import Recommendations, label_of
from vecrec.recommender.catalogue import ITEM, Catalogue
from vecrec.recommender.live import LiveRelease, LoadedRelease
from vecrec.recommender.pipeline import Pipeline
from vecrec.recommender.request import Request
from vecrec.recommender.users import as_encoded, known_of, stored_users
from vecrec.records import JSON, Record
from vecrec.types import Event, User

__all__ = ["FLOOR", "Change", "Explainer", "Explanation", "ScorePart"]

FLOOR = 0.05
"""The share of the score below which a part is not told as a reason."""

_VERBS = {"purchase": "bought", "buy": "bought", "view": "looked at", "click": "looked at", "cart": "chose"}
"""What a user did by an event of a kind, for a sentence; by one of any other kind, and without one, see `_verb`."""

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One part of a score."""

    kind: PartKind
    """``"event"``, ``"earlier"`` events, a ``"feature"`` of the profile, the ``"user"`` id, or ``"base"``."""
    value: float
    """What it adds to the score."""
    share: float
    """Its share of everything that adds to the score, from 0 to 1; 0 where it takes away from it."""
    item_id: Id | None = None
    """Of an event: the item."""
    title: str | None = None
    """Of an event: what the item is called."""
    event_kind: str | None = None
    """Of an event: its kind."""
    time: float | None = None
    """Of an event: its time in seconds since 1970."""
    rating: float | None = None
    """Of an event: its rating."""
    feature: str | None = None
    """Of a feature: its name."""
    feature_value: JSON = None
    """Of a feature: its value."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a step after the search made of an item's place."""

    step: str
    """``"dislikes"`` or ``"second stage"``."""
    before: int | None
    """The place before it, from 1; ``None`` where the item was not in the list."""
    after: int | None
    """The place after it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item is recommended to a user, or is not."""

    user_id: Id | None
    """The user."""
    item_id: Id
    """The item."""
    release: str
    """The release that answered."""
    score: float
    """What the item is found by: the inner product of the two vectors, with what the successors of the history's items
    add, or the popularity where nothing is known about the user. Parts and residual add up to it."""
    parts: tuple[ScorePart, ...]
    """The parts of the score, the largest first."""
    residual: float
    """What the parts lack to the score: 0 but for rounding, unless the method says otherwise."""
    method: Method
    """How the parts were found: see `vecrec.encoders.parts.Method`."""
    sources: Mapping[str, float] = field(default_factory=dict)
    """What each encoder of a combination adds to the score; one entry where there is one encoder, and one more for the
    successors where the release has some."""
    served_by: str = "vectors"
    """``"vectors"``, or ``"popularity"`` where nothing is known about the user."""
    rules: tuple[str, ...] = ()
    """What keeps the item out of the list: ``"seen"``, ``"disliked"``, ``"excluded"``, ``"filter"``."""
    changes: tuple[Change, ...] = ()
    """What dislikes and the second stage changed, where there are some."""

    @property
    def reasons(self) -> tuple[ScorePart, ...]:
        """The events and features that are worth telling, best first: at most two, each of a share of `FLOOR`."""
        told = [part for part in self.parts if part.kind in ("event", "feature") and part.share >= FLOOR]
        return tuple(part for part in told if part.kind == told[0].kind and 2 * part.share >= told[0].share)[:2]

    @property
    def sentence(self) -> str | None:
        """The reason in a sentence, such as ``"Because you liked Aladdin"``; ``None`` where no part is large enough."""
        if self.served_by == "popularity":
            return "Because many people chose it" if self.score >= FLOOR else None
        told = self.reasons
        if not told:
            return None
        if told[0].kind == "feature":
            return f"Because of your profile ({' and '.join(_words(part.feature) for part in told)})"
        verbs = [_verb(part) for part in told]
        titles = dict.fromkeys(_called(part) for part, verb in zip(told, verbs) if verb == verbs[0])
        return f"Because you {verbs[0]} {' and '.join(titles)}"

    def with_titles(self, titles: Mapping[Id, str]) -> Explanation:
        """The same, where the items of some events are called otherwise."""
        parts = [
            part if part.item_id is None else replace(part, title=titles.get(part.item_id, part.title))
            for part in self.parts
        ]
        return replace(self, parts=tuple(parts))

    def to_dict(self) -> dict[str, Any]:
        """The explanation as a JSON object, with its ``sentence``."""
        found = asdict(replace(self, sources=dict(self.sources)))
        lists = {name: list(found[name]) for name in ("parts", "rules", "changes")}
        return {**found, **lists, "sentence": self.sentence}

    def __str__(self) -> str:
        lines = [self._head()]
        lines += [f"{part.value:>+9.4f}  {part.share:>4.0%}  {_called(part)}" for part in self.parts[:10]]
        if len(self.parts) > 10:
            lines.append(f"{sum(part.value for part in self.parts[10:]):>+9.4f}        {len(self.parts) - 10} more")
        return "\n".join([*lines, *self._tail()])

    def _repr_html_(self) -> str:
        rows = [(f"{part.value:+.4f}", f"{part.share:.0%}", _called(part)) for part in self.parts]
        return html_table(rows, ("adds", "share", "part"), (self._head(), *self._tail()))

    def _head(self) -> str:
        return f"{self.sentence or 'No single reason'} (score {self.score:.4f}, {self.method})"

    def _tail(self) -> list[str]:
        lines = [f"kept out of the list: {rule}" for rule in self.rules]
        return lines + [f"{each.step}: place {each.before or '-'} becomes {each.after or '-'}" for each in self.changes]


class Explainer:
    """Explains by the live release, from the same steps as the pipeline."""

    def __init__(self, live: LiveRelease, catalogue: Catalogue, pipeline: Pipeline, max_history: int) -> None:
        self._live, self._catalogue, self._pipeline, self._max_history = live, catalogue, pipeline, max_history

    def explain(self, user: User | Id, item_id: Id, request: Request) -> Explanation:
        """Explain one item, with rules and changes."""
        return self._live.ask(partial(self._explain, user=user, item_id=item_id, request=request))

    def explain_many(self, user: User | Id, item_ids: Sequence[Id], request: Request) -> list[Explanation | None]:
        """Explain the scores of several items."""
        return self._live.ask(partial(self._explain_many, user=user, item_ids=item_ids, at=request.moment))

    def _explain(self, live: LoadedRelease, user: User | Id, item_id: Id, request: Request) -> Explanation:
        whom = self._read(live, user)
        kinds = None if isinstance(request.exclude_seen, bool) else request.exclude_seen
        taste = as_encoded(live, whom, request.disliked, consumed=kinds, at=request.moment)
        found = self._of_items(live, taste, [item_id])[0]
        if found is None:
            raise ItemNotFoundError(f"no item {item_id!r} in the catalogue", "upsert_items adds one")
        rules = self._rules(live, taste, item_id, request)
        return replace(found, rules=rules, changes=() if rules else self._changes(live, whom, taste, item_id, request))

    def _explain_many(
        self, live: LoadedRelease, user: User | Id, item_ids: Sequence[Id], at: float | None
    ) -> list[Explanation | None]:
        return self._of_items(live, as_encoded(live, self._read(live, user), at=at), item_ids)

    def _read(self, live: LoadedRelease, user: User | Id) -> User:
        if not isinstance(user, User):
            return stored_users(self._catalogue.metadata, [user], self._max_history)[0]
        live.schema.check_user(user)
        return user

    def _of_items(self, live: LoadedRelease, taste: Taste, item_ids: Sequence[Id]) -> list[Explanation | None]:
        user = taste.user
        if not known_of(live, user):
            present = self._catalogue.metadata.get(ITEM, list(item_ids))
            return [_by_popularity(live, user.id, key) if key in present else None for key in item_ids]
        found = live.encoder.explain_user(user)
        entries = self._catalogue.vectors.fetch(live.collection, list(dict.fromkeys(item_ids)))
        held = {key: entry.vector for key, entry in entries.items() if entry.vector is not None}
        told = {user.history[part.place].item_id for part in found.parts if part.place is not None}
        told |= {event.item_id for event in user.history[-WINDOW:]} if live.successors.weight else set()
        scored = _Scored(live, user, found, self._catalogue.metadata.get(ITEM, list(told)))
        return [scored.explain(key, held[key]) if key in held else None for key in item_ids]

    def _rules(self, live: LoadedRelease, taste: Taste, item_id: Id, request: Request) -> tuple[str, ...]:
        record = self._catalogue.metadata.get(ITEM, [item_id]).get(item_id)
        where = None if request.where is None else check_filter(request.where, live.filter_fields)
        applied = {
            "seen": request.exclude_seen is not False and item_id in taste.consumed,
            "disliked": item_id in taste.disliked,
            "excluded": item_id in request.excluded(taste.user.id),
            "filter": where is not None and record is not None and not live.matches(item_id, record, where),
        }
        return tuple(name for name, applies in applied.items() if applies)

    def _changes(
        self, live: LoadedRelease, user: User, taste: Taste, item_id: Id, request: Request
    ) -> tuple[Change, ...]:
        """The places in the lists with one more step each."""
        steps = {"dislikes": replace(request, rerank=False)} if taste.disliked else {}
        if request.stage(live) is not None:
            steps["second stage"] = request
        if not steps:
            return ()
        lists = [self._pipeline.for_users(live, [user], each)[0] for each in (request.plain, *steps.values())]
        places = [_place(each, item_id) for each in lists]
        return tuple(Change(step, *both) for step, both in zip(steps, pairwise(places)))


@dataclass(frozen=True, slots=True)
class _Scored:
    """The parts of a user's vector, to be multiplied by items' vectors."""

    live: LoadedRelease
    user: User
    found: UserParts
    records: Mapping[Id, Record]
    """The records of the history's items."""

    def explain(self, item_id: Id, vector: Vector) -> Explanation:
        values: dict[Part, float] = {}
        sources: dict[str, float] = {}
        for part, value in zip(self.found.parts, (self.found.vectors.astype(np.float64) @ vector).tolist()):
            whole = replace(part, source="")  # of all encoders together
            values[whole] = values.get(whole, 0.0) + value
            sources[part.source] = sources.get(part.source, 0.0) + value
        follows = self.live.successors.parts([event.item_id for event in self.user.history], item_id)
        for place, value in follows.items():
            values[Part("event", place)] = values.get(Part("event", place), 0.0) + value
        if self.live.successors.weight:
            sources["successors"] = sum(follows.values())
        total = sum(max(value, 0.0) for value in values.values()) or 1.0
        parts = [self._part(part, value, max(value, 0.0) / total) for part, value in values.items()]
        residual = float(self.found.residual.astype(np.float64) @ vector)
        return Explanation(
            user_id=self.user.id,
            item_id=item_id,
            release=self.live.release.id,
            score=sum(values.values()) + residual,
            parts=tuple(sorted(parts, key=lambda part: -part.value)),
            residual=residual,
            method=self.found.method,
            sources=sources,
        )

    def _part(self, part: Part, value: float, share: float) -> ScorePart:
        if part.place is not None:
            event: Event = self.user.history[part.place]
            title = label_of(self.records.get(event.item_id, {})) or None
            return ScorePart(part.kind, value, share, event.item_id, title, event.kind, event.time, event.rating)
        if part.feature is not None:
            known = self.user.features.get(part.feature)
            return ScorePart(part.kind, value, share, feature=part.feature, feature_value=known)
        return ScorePart(part.kind, value, share)


def _by_popularity(live: LoadedRelease, user_id: Id | None, item_id: Id) -> Explanation:
    score = live.shares.get(item_id, 0.0)
    parts = (ScorePart("base", score, 1.0),)
    served = {"served_by": "popularity", "sources": {"popularity": score}}
    return Explanation(user_id, item_id, live.release.id, score, parts, 0.0, "exact", **served)  # type: ignore[arg-type]


def _place(found: Recommendations, item_id: Id) -> int | None:
    return next((item.rank for item in found if item.item_id == item_id), None)


def _verb(part: ScorePart) -> str:
    """What the user did. A rating alone does not say "liked": the policy may count every one as positive."""
    rated = part.event_kind is None and part.rating is not None
    return "rated" if rated else _VERBS.get(part.event_kind or "", "liked")


def _called(part: ScorePart) -> str:
    if part.kind == "event":
        return part.title or str(part.item_id)
    if part.kind == "feature":
        return f"{_words(part.feature)} {part.feature_value}"
    return {"earlier": "earlier events", "user": "the user's id", "base": "what suits every user"}[part.kind]


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ")
