"""Users: profiles, events, likes and dislikes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict
from types import NoneType
from typing import Annotated

from fastapi import APIRouter, Query, Request

from vecrec._internal.times import seconds, written_seconds
from vecrec.ids import Id
from vecrec.recommender.users import user_vectors
from vecrec.serving.bulkheads import Guarded
from vecrec.serving.models import (
    EventOut,
    EventsIn,
    HistoryOut,
    ProfileChangeIn,
    ProfileIn,
    ReceiptOut,
    Removed,
    TasteIn,
    UserOut,
    UsersIn,
    UsersOut,
    UserSummary,
    Vectors,
    VectorsOfUsersIn,
    Written,
)  # fmt: skip
from vecrec.serving.params import (
    Cursor,
    IdType,
    ItemPath,
    OnlyItems,
    OnlyKinds,
    Ours,
    UserPath,
    cursor_after,
    path_id,
    place_of,
)  # fmt: skip
from vecrec.serving.service import Service
from vecrec.types import Event, User

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=Guarded, tags=["users"])


@router.post("/users", summary="Add or replace profiles")
def upsert_users(body: UsersIn, service: Ours) -> Written:
    """The next recommendation reads them. All of them are written or, for a value that cannot be used, none."""
    service.check_batch(body.users, "users")
    service.upsert_users([User(user.id, user.features) for user in body.users])
    return Written(written=len({(type(user.id), user.id) for user in body.users}))


@router.get("/users", summary="List the stored users")
def list_users(service: Ours, cursor: Cursor = None, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> UsersOut:
    """Those with a profile or an event, in the order of their ids, page by page: each once, whatever is written."""
    users, last = service.users.page(None if cursor is None else place_of(cursor, (int, str))[0], limit)
    return UsersOut(users=[UserSummary.of(user) for user in users], cursor=None if last is None else cursor_after(last))


@router.post("/users/vectors", summary="Encode users")
def encode_users(body: VectorsOfUsersIn, service: Ours) -> Vectors:
    """The vectors that the live release searches with, for stored or posted users."""
    service.check_batch(body.users, "users")
    users = [service.user(who) for who in body.users]
    with service.recommender.live() as live:
        vectors = user_vectors(live, users).tolist()
        return Vectors(release=live.release.id, dim=live.encoder.dim, vectors=vectors)


@router.get("/users/{user_id}", summary="Read a user")
def get_user(user_id: UserPath, service: Ours, id_type: IdType = "auto") -> UserOut:
    """The profile and the latest events."""
    key = path_id(user_id, id_type, "users", service)
    user = service.known(key)
    return UserOut(id=key, features=dict(user.features), history=[EventOut.of(event) for event in user.history])


@router.put("/users/{user_id}", summary="Add or replace a profile")
def put_user(user_id: UserPath, features: ProfileIn, service: Ours, id_type: IdType = "auto") -> Written:
    """The body is the profile."""
    service.upsert_users([User(path_id(user_id, id_type, "users", service), features)])
    return Written(written=1)


@router.patch("/users/{user_id}", summary="Change fields of a profile")
def patch_user(user_id: UserPath, features: ProfileChangeIn, service: Ours, id_type: IdType = "auto") -> Written:
    """The body holds the fields that change; `null` removes a field (RFC 7396, for the fields themselves)."""
    service.update_user(path_id(user_id, id_type, "users", service), features)
    return Written(written=1)


@router.delete("/users/{user_id}", summary="Forget a user")
def forget_user(user_id: UserPath, service: Ours, id_type: IdType = "auto") -> ReceiptOut:
    """Removes the profile and all events; says what there was."""
    receipt = service.recommender.forget_user(path_id(user_id, id_type, "users", service))
    return ReceiptOut(**asdict(receipt))


@router.post("/users/{user_id}/likes", summary="Like an item", tags=["events"])
def like(user_id: UserPath, body: TasteIn, service: Ours, id_type: IdType = "auto") -> Written:
    """Records an event of the kind `like`, which takes back an earlier dislike; sent again, it is the same like."""
    return _say(service, path_id(user_id, id_type, "users", service), body.item_id, "like")


@router.post("/users/{user_id}/dislikes", summary="Dislike an item", tags=["events"])
def dislike(user_id: UserPath, body: TasteIn, service: Ours, id_type: IdType = "auto") -> Written:
    """Records an event of the kind `dislike`: the item is not recommended again, and similar ones rank lower."""
    return _say(service, path_id(user_id, id_type, "users", service), body.item_id, "dislike")


@router.delete("/users/{user_id}/likes/{item_id}", summary="Take back a like", tags=["events"])
def unlike(user_id: UserPath, item_id: ItemPath, service: Ours, id_type: IdType = "auto") -> Removed:
    """As if it had not been said; where there is no like, nothing is removed."""
    return _take_back(
        service, path_id(user_id, id_type, "users", service), path_id(item_id, id_type, "items", service), "like"
    )


@router.delete("/users/{user_id}/dislikes/{item_id}", summary="Take back a dislike", tags=["events"])
def undislike(user_id: UserPath, item_id: ItemPath, service: Ours, id_type: IdType = "auto") -> Removed:
    """As if it had not been said; where there is no dislike, nothing is removed."""
    return _take_back(
        service, path_id(user_id, id_type, "users", service), path_id(item_id, id_type, "items", service), "dislike"
    )


@router.delete("/users/{user_id}/events", summary="Remove events of a user", tags=["events"])
def delete_events(
    *,
    user_id: UserPath,
    service: Ours,
    item_id: OnlyItems = [],  # noqa: B006 - FastAPI copies it
    kind: OnlyKinds = [],  # noqa: B006 - FastAPI copies it
    time: Annotated[str | None, Query(max_length=64, description="Only events of this time: seconds or ISO.")] = None,
    id_type: IdType = "auto",
) -> Removed:
    """Those that agree with every condition given; all of them without one. The profile stays."""
    items = [path_id(each, id_type, "items", service) for each in item_id] or None
    key, moment = path_id(user_id, id_type, "users", service), None if time is None else written_seconds(time)
    return Removed(removed=service.recommender.delete_events(key, items, kinds=kind or None, time=moment))


@router.get("/users/{user_id}/events", summary="List events of a user", tags=["events"])
def list_events(
    user_id: UserPath,
    service: Ours,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    id_type: IdType = "auto",
) -> HistoryOut:
    """The latest ones first page by page, oldest first within one; what is recorded or removed does not move them."""
    events = service.recommender.history(path_id(user_id, id_type, "users", service))
    end = len(events) if cursor is None else _end(events, *place_of(cursor, (int, float), (int, str), (str, NoneType)))
    start = max(0, end - limit)
    first = events[start] if start < end else None
    before = cursor_after(first.time, first.item_id, first.kind) if first is not None and start else None
    return HistoryOut(events=[EventOut.of(event) for event in events[start:end]], cursor=before)


@router.post("/events", summary="Record events", tags=["events"])
def record_events(body: EventsIn, request: Request, service: Ours) -> Written:
    """User, item, time and kind name an event: recorded again, it is replaced."""
    service.check_batch(body.events, "events")
    now = request.scope.get("vecrec.at")  # of the first try with an Idempotency-Key
    events = [
        Event(each.user_id, each.item_id, now if each.time is None else seconds(each.time), each.rating, each.kind)
        for each in body.events
    ]
    service.record(events)
    return Written(written=len(events))


def _end(events: Sequence[Event], time: float, item_id: Id, kind: str | None) -> int:
    """Where the event of a cursor is, or where it was."""
    at = bisect_left(events, time, key=lambda event: event.time or 0.0)
    later = (place for place in range(at, len(events)) if events[place].time == time)
    return next((p for p in later if (events[p].item_id, events[p].kind) == (item_id, kind)), at)


def _say(service: Service, user_id: Id, item_id: Id, kind: str) -> Written:
    service.record([service.state_event(user_id, item_id, kind)])
    return Written(written=1)


def _take_back(service: Service, user_id: Id, item_id: Id, kind: str) -> Removed:
    return Removed(removed=service.recommender.delete_events(user_id, item_id, kinds=kind))
