"""The JSON of requests and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeAlias

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from vecrec.filters.json import Where
from vecrec.ids import MAX_ID_BYTES, Id
from vecrec.recommendations import Recommendation, Recommendations
from vecrec.recommender import Explanation
from vecrec.types import MAX_KIND, Event, Item, User

__all__ = [
    "Because", "ChangeIn", "EventIn", "EventOut", "EventsIn", "FacetOut", "Features", "HealthOut", "HitOut", "IdsIn",
    "ItemFeaturesIn", "ItemFeaturesOneIn", "ItemIn", "ItemOut", "ItemsIn", "ItemsOut", "ListOut", "ProblemOut",
    "ProfileChangeIn", "ProfileIn", "RankingIn", "RankingOut", "ReceiptOut", "RecommendIn", "RecommendedItem",
    "RecordIn", "Removed", "RetrievalIn", "RetrievalOut", "SchemaOut", "TasteIn", "UserIn", "UserOut", "UsersIn",
    "UsersOut", "Vectors", "VectorsOfUsersIn", "WhoIn", "Written",
]  # fmt: skip

IdIn: TypeAlias = (
    Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
    | Annotated[StrictStr, Field(min_length=1, max_length=MAX_ID_BYTES)]
)
"""An id in a body: an integer or a text, which are two ids where they look alike. No path reaches an empty text."""

Features: TypeAlias = dict[str, Any]
ProfileIn: TypeAlias = Annotated[Features, Body(examples=[{"gender": "F", "age": 25, "occupation": 12}])]
RecordIn: TypeAlias = Annotated[
    Features, Body(examples=[{"title": "Toy Story", "genres": ["Animation", "Comedy"], "year": 1995}])
]
ChangeIn: TypeAlias = Annotated[Features, Body(examples=[{"price": 9.9, "stock": 3, "sale": None}])]
ProfileChangeIn: TypeAlias = Annotated[Features, Body(examples=[{"age": 35, "newsletter": None}])]
Number: TypeAlias = StrictFloat | Annotated[StrictInt, Field(ge=-(2**53), le=2**53)]
Ids: TypeAlias = list[IdIn]
At: TypeAlias = Annotated[
    Number | StrictStr | None,
    Field(
        description="When the user asks: `now`, seconds since 1970, or a text such as `2026-11-29T12:00:00Z`; some "
        "encoders read the pause since the last event. `null` for a list that does not depend on it.",
        examples=["now"],
    ),
]

_PROFILE = {"gender": "F", "age": 25, "occupation": 12}
_MOVIE = {"title": "Toy Story", "genres": ["Animation", "Comedy"], "year": 1995}
_COMEDIES = {
    "all": [{"field": "genres", "op": "contains", "value": "Comedy"}, {"field": "year", "op": "ge", "value": 1990}]
}


class _In(BaseModel):
    # An unknown name is a mistake of the caller, and so is a bool where a number belongs.
    model_config = ConfigDict(extra="forbid", strict=True)


# -- users, items, events


class UserIn(_In):
    """A user's profile."""

    id: IdIn = Field(examples=[42])
    features: Features = Field(default_factory=dict, examples=[_PROFILE])


class UsersIn(_In):
    """Users to add or to replace."""

    users: list[UserIn] = Field(min_length=1)


class ItemIn(_In):
    """An item's record."""

    id: IdIn = Field(examples=[1])
    features: Features = Field(default_factory=dict, examples=[_MOVIE])


class ItemsIn(_In):
    """Items to add or to replace."""

    items: list[ItemIn] = Field(min_length=1)


class EventIn(_In):
    """Something that a user did with an item."""

    user_id: IdIn = Field(examples=[42])
    item_id: IdIn = Field(examples=[1])
    time: Number | StrictStr | None = Field(
        None, description="Seconds since 1970, or a text such as `2026-11-29T12:00:00Z`; now, if left out."
    )
    rating: Number | None = Field(None, description="On the application's scale.", examples=[4])
    kind: Annotated[StrictStr, Field(min_length=1, max_length=MAX_KIND)] | None = Field(
        None, description="What they did; the feedback policy says what it means.", examples=["purchase"]
    )


class EventsIn(_In):
    """Events to record."""

    events: list[EventIn] = Field(min_length=1)


class TasteIn(_In):
    """An item that a user likes or dislikes."""

    item_id: IdIn = Field(examples=[1])


class IdsIn(_In):
    """Ids in a body, where any id can be written."""

    ids: Ids = Field(examples=[[1, 50]])


class Written(BaseModel):
    """How many were written."""

    written: int


class Removed(BaseModel):
    """How many were removed."""

    removed: int


class EventOut(BaseModel):
    """An event of a user."""

    item_id: Id
    time: float | None
    rating: float | None
    kind: str | None

    @classmethod
    def of(cls, event: Event) -> EventOut:
        """The event as JSON."""
        return cls(item_id=event.item_id, time=event.time, rating=event.rating, kind=event.kind)


class UserOut(BaseModel):
    """A stored user."""

    id: Id
    features: Features
    history: list[EventOut] = Field(description="Their latest events, oldest first.")


class HistoryOut(BaseModel):
    """Some events of a user."""

    events: list[EventOut] = Field(description="Oldest first.")
    cursor: str | None = Field(description="What leads to the events before these; null where there are none.")


class UserSummary(BaseModel):
    """A stored user in a listing."""

    id: Id
    features: Features
    events: int = Field(description="How many of their events are read for a recommendation.")
    latest: float | None = Field(description="When the latest one was.")

    @classmethod
    def of(cls, user: User) -> UserSummary:
        """The user as JSON."""
        latest = user.history[-1].time if user.history else None
        return cls.model_construct(id=user.id, features=dict(user.features), events=len(user.history), latest=latest)


class UsersOut(BaseModel):
    """Some stored users."""

    users: list[UserSummary] = Field(description="Integer ids first, each kind in order.")
    cursor: str | None = Field(description="What leads to the next page; null at the end.")


class ReceiptOut(BaseModel):
    """What was removed with a user."""

    user_id: Id
    profile: bool
    events: int
    remembered: bool


class ItemOut(BaseModel):
    """An item of the catalogue."""

    id: Id
    features: Features

    @classmethod
    def of(cls, item: Item) -> ItemOut:
        """The item as JSON."""
        return cls.model_construct(id=item.id, features=dict(item.features))


class ItemsOut(BaseModel):
    """Items of the catalogue."""

    items: list[ItemOut]
    cursor: str | None = Field(default=None, description="What leads to the next page of a listing; null at its end.")
    missing: list[Id] = Field(default_factory=list, description="Ids that are not in the catalogue.")


class Vectors(BaseModel):
    """Vectors of the live release."""

    release: str
    dim: int
    vectors: list[list[float]] = Field(description="One for each that was given, in order.")


# -- recommendations


class WhoIn(_In):
    """The user: a stored one, a posted profile, what they liked and disliked, or all of it together."""

    user_id: IdIn | None = Field(None, description="A stored user; their record and events are read.", examples=[42])
    features: Features = Field(default_factory=dict, description="A profile; it counts more than the stored one.")
    liked: Ids = Field(default_factory=list, description="Items that they liked, oldest first.", examples=[[1, 50]])
    disliked: Ids = Field(default_factory=list, description="Items that they disliked; similar ones rank lower.")

    @property
    def is_stored_only(self) -> bool:
        """Whether nothing but the id of a stored user is given."""
        return self.user_id is not None and not (self.features or self.liked or self.disliked)


class RecommendIn(WhoIn):
    """The user, how many items, and which."""

    k: int = Field(10, ge=1, examples=[10])
    where: Where | None = Field(None, description="A condition on the items.", examples=[_COMEDIES])
    exclude_seen: bool | list[StrictStr] = Field(
        True, description="Leave out the items of their events; or of the kinds of events that are listed."
    )
    exclude: Ids = Field(default_factory=list, description="More items to leave out.")
    rerank: bool = Field(True, description="Use the release's second stage, where it has one.")
    at: At = "now"
    explain: bool = Field(False, description="Say for each item why it is there, where one reason stands out.")


class BatchIn(_In):
    """Stored users to recommend to."""

    user_ids: Annotated[list[IdIn], Field(min_length=1, examples=[[42, 43]])]
    k: int = Field(10, ge=1)
    where: Where | None = Field(None, description="A condition on the items.", examples=[_COMEDIES])
    exclude_seen: bool = Field(True, description="Leave out the items of their events.")
    exclude: Ids = Field(default_factory=list, description="More items to leave out.")
    rerank: bool = Field(True, description="Use the release's second stage, where it has one.")
    at: At = "now"


class ExplainIn(RecommendIn):
    """The user, the item, and the list that the item is or is not in."""

    item_id: IdIn = Field(description="The item.", examples=[1])


class PartOut(BaseModel):
    """One part of a score."""

    kind: str = Field(description="`event`, `earlier` events, `feature`, `user` id, or `base`, which all users have.")
    value: float = Field(description="What it adds to the score.")
    share: float = Field(description="Its share of everything that adds to the score.")
    item_id: Id | None = Field(None, description="Of an event: the item.")
    title: str | None = None
    event_kind: str | None = None
    time: float | None = None
    rating: float | None = None
    feature: str | None = Field(None, description="Of a feature of the profile: its name.")
    feature_value: Any = None


class ChangeOut(BaseModel):
    """What a step after the search made of the item's place in the list."""

    step: str = Field(description="`dislikes` or `second stage`.")
    before: int | None
    after: int | None


class ExplanationOut(BaseModel):
    """Why an item is recommended to a user, or is not. Parts and residual add up to the score."""

    request_id: str
    user_id: Id | None
    item_id: Id
    release: str
    sentence: str | None = Field(description="The reason for people; null where no part is large enough.")
    score: float
    parts: list[PartOut]
    residual: float
    method: str = Field(description="`exact`, `linearised` or `permutations`: how the parts were found.")
    sources: dict[str, float] = Field(description="What each encoder adds to the score.")
    served_by: str
    rules: list[str] = Field(description="What keeps it out of the list: `seen`, `disliked`, `excluded`, `filter`.")
    changes: list[ChangeOut]


class Because(BaseModel):
    """Why an item is recommended."""

    sentence: str = Field(examples=["Because you liked Aladdin"])
    reasons: list[PartOut] = Field(description="The parts of the score that the sentence names.")


def explanation_out(found: Explanation, request_id: str) -> ExplanationOut:
    """An explanation as JSON."""
    return ExplanationOut(request_id=request_id, **found.to_dict())


def because_out(found: Explanation) -> Because | None:
    """The reason of an explanation, if there is one."""
    if found.sentence is None:
        return None
    return Because(sentence=found.sentence, reasons=[PartOut(**asdict(part)) for part in found.reasons])


class RecommendedItem(BaseModel):
    """One recommended item."""

    rank: int
    item_id: Id
    score: float
    source: str = Field(
        description="`vectors`, `successors`, `popularity`, `catalogue` for an item without popularity, or `words`."
    )
    metadata: Features
    because: Because | None = None

    @classmethod
    def of(cls, item: Recommendation, because: Because | None = None) -> RecommendedItem:
        """The item as JSON."""
        return cls.model_construct(
            rank=item.rank,
            item_id=item.item_id,
            score=item.score,
            source=item.source,
            metadata=item.metadata,
            because=because,
        )


class ListOut(BaseModel):
    """A ranked list, best first."""

    request_id: str
    release: str
    user_id: Id | None
    served_by: str = Field(description="`vectors`, `popularity`, `catalogue` or `words`.")
    based_on: list[str] = Field(description="What the user's vector was made from.")
    shortfall: str | None = Field(description="Why there are fewer than were asked for.")
    missing: list[Id] = Field(description="Items that were found without a record, and replaced.")
    notes: list[str]
    warnings: list[str] = Field(default_factory=list, description="What was sent and not read.")
    items: list[RecommendedItem]

    @classmethod
    def of(
        cls,
        found: Recommendations,
        request_id: str,
        because: Sequence[Because | None] = (),
        warnings: Sequence[str] = (),
    ) -> ListOut:
        """The list as JSON."""
        reasons = because or [None] * len(found)
        return cls.model_construct(
            request_id=request_id,
            release=found.release,
            user_id=found.user_id,
            served_by=found.served_by,
            based_on=list(found.based_on),
            shortfall=found.shortfall,
            missing=list(found.missing),
            notes=list(found.notes),
            warnings=list(warnings),
            items=[RecommendedItem.of(item, reason) for item, reason in zip(found, reasons)],
        )


class ListsOut(BaseModel):
    """A list for each user, in their order."""

    lists: list[ListOut]


# -- retrieval and ranking


class RetrievalIn(WhoIn):
    """A vector, an item or a user whose nearest items are wanted."""

    vector: Annotated[list[Number], Field(min_length=1, max_length=32_768)] | None = Field(
        None, description="A vector of the live release's space; instead of everything else."
    )
    item_id: IdIn | None = Field(None, description="An item, whose own vector is the query; itself is left out.")
    k: int = Field(10, ge=1)
    where: Where | None = None


class HitOut(BaseModel):
    """An item with its score."""

    item_id: Id
    score: float


class RetrievalOut(BaseModel):
    """The nearest items, without their records."""

    request_id: str
    release: str
    hits: list[HitOut]


class RankingIn(WhoIn):
    """Items to be put in order for a user."""

    item_ids: Annotated[list[IdIn], Field(min_length=1)] = Field(examples=[[1, 50, 260]])
    rerank: bool = Field(True, description="Use the release's second stage, where it has one.")


class RankingOut(BaseModel):
    """The given items in order, best first."""

    request_id: str
    release: str
    served_by: str
    items: list[HitOut]
    unknown: list[Id] = Field(description="Given items that are not in the catalogue.")


class VectorsOfUsersIn(_In):
    """Users to be encoded."""

    users: list[WhoIn] = Field(min_length=1)


class ItemFeaturesOneIn(_In):
    """An item, with or without an id."""

    id: IdIn | None = None
    features: Features = Field(default_factory=dict, examples=[_MOVIE])


class ItemFeaturesIn(_In):
    """Items to be encoded."""

    items: list[ItemFeaturesOneIn] = Field(min_length=1)


# -- what there is


class FacetOut(BaseModel):
    """What the items have in a filterable field."""

    type: str
    values: list[bool | int | str] = Field(description="The most frequent ones first.")
    low: float | None = None
    high: float | None = None


class SchemaOut(BaseModel):
    """The live release and its features."""

    name: str
    release: str
    created_at: str
    title_field: str
    noun: str
    nouns: str
    image_field: str
    price_field: str
    counts: dict[str, int]
    items: list[Features]
    users: list[Features]
    facets: dict[str, FacetOut]
    labels: dict[str, dict[str, str]] = Field(description="What the values of users' features mean.")


class HealthOut(BaseModel):
    """Whether the process or every part answers."""

    status: str = Field(description="`ok`; `degraded` where the vector store does not answer and popularity serves.")
    parts: dict[str, str] = Field(description="`ok`, or what is wrong; with an `admin` key in full.")


class ProblemOut(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:vecrec:problem:invalid-data"])
    title: str = Field(examples=["A value cannot be used"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["k is 5000, more than 1000: ask for fewer items"])
    request_id: str
