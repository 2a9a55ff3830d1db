"""Users and what they do: profiles, events, likes and dislikes (the original's user model)."""

from __future__ import annotations

from fastapi import APIRouter

from vecrec.serving.errors import NotThereError
from vecrec.serving.ids import IdType, UserPath, path_id
from vecrec.serving.models import (
    EventOut,
    EventsIn,
    ProfileIn,
    ReceiptOut,
    TasteIn,
    UserOut,
    UsersIn,
    Vectors,
    VectorsOfUsersIn,
    Written,
)  # fmt: skip
from vecrec.serving.service import Ours, Service
from vecrec.types import Event, User

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["users"])


@router.post("/users", summary="Add or replace profiles")
def upsert_users(body: UsersIn, service: Ours) -> Written:
    """The next recommendation reads them. All of them are written or, for a value that cannot be used, none."""
    service.check_batch(body.users, "users")
    service.recommender.upsert_users([User(user.id, user.features) for user in body.users])
    return Written(written=len({(type(user.id), user.id) for user in body.users}))


@router.post("/users/vectors", summary="Turn users into vectors")
def user_vectors(body: VectorsOfUsersIn, service: Ours) -> Vectors:
    """The live release's vectors of stored or posted people."""
    service.check_batch(body.users, "users")
    users = [service.person(who).user for who in body.users]
    with service.recommender.live() as live:
        vectors = live.encoder.encode_users(users).tolist()
        return Vectors(release=live.release.id, dim=live.encoder.dim, vectors=vectors)


@router.get("/users/{user_id}", summary="Read a user")
def get_user(user_id: UserPath, service: Ours, id_type: IdType = "auto") -> UserOut:
    """The profile and the latest events."""
    key = path_id(user_id, id_type, "user id")
    user = service.stored(key)
    if user is None:
        raise NotThereError(f"nothing is stored about the user {key!r}")
    return UserOut(id=key, features=dict(user.features), history=[EventOut.of(event) for event in user.history])


@router.put("/users/{user_id}", summary="Add or replace a profile")
def put_user(user_id: UserPath, features: ProfileIn, service: Ours, id_type: IdType = "auto") -> Written:
    """The body is the profile."""
    service.recommender.upsert_users([User(path_id(user_id, id_type, "user id"), features)])
    return Written(written=1)


@router.delete("/users/{user_id}", summary="Forget a user")
def forget_user(user_id: UserPath, service: Ours, id_type: IdType = "auto") -> ReceiptOut:
    """Removes the profile and all events; says what there was."""
    receipt = service.recommender.forget_user(path_id(user_id, id_type, "user id"))
    return ReceiptOut(user_id=receipt.user_id, profile=receipt.profile, events=receipt.events)


@router.post("/users/{user_id}/likes", summary="Like an item", tags=["events"])
def like(user_id: UserPath, body: TasteIn, service: Ours, id_type: IdType = "auto") -> Written:
    """Records an event; the next recommendation knows it."""
    key = path_id(user_id, id_type, "user id")
    return _record(service, [Event(key, body.item_id, rating=service.settings.like_rating)])


@router.post("/users/{user_id}/dislikes", summary="Dislike an item", tags=["events"])
def dislike(user_id: UserPath, body: TasteIn, service: Ours, id_type: IdType = "auto") -> Written:
    """Records an event; the item comes no more, and those like it come later."""
    key = path_id(user_id, id_type, "user id")
    return _record(service, [Event(key, body.item_id, rating=service.settings.dislike_rating)])


@router.post("/events", summary="Record events", tags=["events"])
def record(body: EventsIn, service: Ours) -> Written:
    """User, item and time name an event: recorded again, it is replaced."""
    service.check_batch(body.events, "events")
    return _record(service, [Event(each.user_id, each.item_id, each.time, each.rating) for each in body.events])


def _record(service: Service, events: list[Event]) -> Written:
    service.recommender.record(events)
    return Written(written=len(events))
