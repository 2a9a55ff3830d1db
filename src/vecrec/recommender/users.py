"""A user as the encoder reads them: the one place that turns what is stored or posted into that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec.feedback import Taste
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.catalogue import USER
from vecrec.recommender.live import LoadedRelease
from vecrec.types import User

__all__ = ["as_encoded", "known_of", "stored_users", "user_vectors"]


def stored_users(metadata: MetadataStore, ids: Sequence[Id], max_history: int | None = None) -> list[User]:
    """The users of some ids as they are stored, in one round trip; one about whom nothing is stored is empty.

    Args:
        metadata: Where they are stored.
        ids: Which users.
        max_history: The most events of each, the latest ones; ``None`` for all.
    """
    profiles, events = metadata.read_users(USER, ids, max_history)
    return [User.unchecked(key, profiles.get(key, {}), events[key]) for key in ids]


def as_encoded(
    live: LoadedRelease, user: User, disliked: Iterable[Id] = (), *, consumed: Collection[str] | None = None
) -> Taste:
    """A user as the encoder of a release reads them, apart from what they dislike.

    Features that do not fit the release's schema count as missing: a profile may have been stored under an earlier one.

    Args:
        live: The release.
        user: As stored or as posted, with the whole history.
        disliked: More items that they dislike, whatever the events say.
        consumed: Kinds of events whose items count as consumed, instead of the policy's.
    """
    return live.feedback.taste(live.schema.drop_invalid_features(user), disliked, consumed=consumed)


def user_vectors(live: LoadedRelease, users: Sequence[User]) -> NDArray[np.float32]:
    """The vectors that users are searched with, shape (n, dim)."""
    return live.encoder.encode_users([as_encoded(live, user).user for user in users])


def known_of(live: LoadedRelease, user: User) -> tuple[str, ...]:
    """What is known about a user that the encoder can read: ``"features"``, ``"history"``, both or nothing."""
    profile = any(user.features.get(feature.name) is not None for feature in live.schema.users)
    return (("features",) if profile else ()) + (("history",) if user.history else ())
