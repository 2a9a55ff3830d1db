"""Items similar to an item: first by what the same users choose, then by the angle of the vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import cosines
from vecrec.errors import ItemNotFoundError
from vecrec.ids import Id, id_order
from vecrec.recommender.request import Call, Query
from vecrec.types import Hit, User

__all__ = ["ANGLE", "TASTE", "gather", "liked", "query_of", "scored"]

ANGLE = 0.05
"""What the cosine of two vectors counts beside the weight of a neighbour; the items that are not neighbours have this
alone. Vectors order what counting cannot tell apart, and find items without neighbours."""

TASTE = 0.5
"""What a user's taste counts beside the similarity, each in standard deviations over the items that are compared. On
MovieLens 1M, 6.6 of ten similar items stay, and .205 of the users choose one of them next, of .141 without: linear
encoder, similar to the last item but one, one seed. With 1 it is 5.7 and .230."""
_COMPARED = 5
"""How many times as many items as wanted, the most similar ones, are put in order by a user's taste."""

_AT_FIRST = 200
"""Items by inner product whose angles are compared: on MovieLens 1M the answer is that of comparing all angles."""
_GROWTH = 4


def query_of(call: Call, item_id: Id, whom: Query | None = None) -> Query:
    """The query for an item, to be gathered.

    Args:
        call: What is asked.
        item_id: The item.
        whom: The query of the user who looks at it, if there is one.

    Raises:
        ItemNotFoundError: when the item is not in the catalogue.
    """
    vector = call.fetch([item_id]).get(item_id)
    if vector is None:
        raise ItemNotFoundError(f"no item {item_id!r} in the catalogue", "upsert_items adds one")
    call.limit = max(_GROWTH * call.depth, _AT_FIRST) + 1
    if whom is None:
        return Query(User(), vector, call.request.excluded(None), call.depth, ("item",))
    based_on = ("item", *whom.based_on)
    notes = ("nothing is known about this user's taste",) if whom.vector is None else whom.notes
    return Query(whom.user, vector, whom.excluded, call.depth, based_on, notes=notes)


def gather(call: Call, query: Query, item_id: Id, taste: NDArray[np.float32] | None = None) -> None:
    """Find the candidates of the query: the item's neighbours, and the items nearest to its vector.

    Args:
        call: What is asked.
        query: Of `query_of`.
        item_id: The item.
        taste: The vector of the user who looks at it, shape (dim,).
    """
    row = call.search([query])[0]
    near = call.live.neighbours.near(item_id)
    held = call.fetch([*near, *(hit.id for hit in row)])
    others = {key: vector for key, vector in held.items() if key != item_id and key not in query.excluded}
    if query.vector is not None:
        found = scored(query.vector, others, near)
        found = found if taste is None else liked(found, others, taste, _COMPARED * query.wanted)
        query.candidates = iter(found)
    query.found, query.more = [], len(row) >= call.limit


def liked(
    found: Sequence[Hit], held: Mapping[Id, NDArray[np.float32]], taste: NDArray[np.float32], most: int
) -> list[Hit]:
    """The most similar items in order of similarity and a user's taste together, the others after them.

    Args:
        found: By similarity, the most similar first.
        held: Their vectors.
        taste: The user's vector, shape (dim,).
        most: How many are put in another order.
    """
    first = found[:most]
    if not first:
        return list(found)
    similar = np.array([hit.score for hit in first])
    scores = np.array([held[hit.id] for hit in first]).astype(np.float64) @ taste
    # In the unit of the similarity, whose order stays where the user likes all of them alike.
    added = (scores - scores.max()) * (TASTE * similar.std() / max(float(scores.std()), 1e-12))
    hits = [Hit(hit.id, score) for hit, score in zip(first, (similar + added).tolist())]
    return [*sorted(hits, key=lambda hit: (-hit.score, id_order(hit.id))), *found[most:]]


def scored(vector: NDArray[np.float32], held: Mapping[Id, NDArray[np.float32]], near: Mapping[Id, float]) -> list[Hit]:
    """Items by the weight as a neighbour plus `ANGLE` times the cosine; by the cosine alone where none is a neighbour.

    Vectors are as long as users' liking makes them: by inner product, the same few items would be similar to any other.

    Args:
        vector: The item's, shape (dim,).
        held: The vectors of the others.
        near: The weights of its neighbours.
    """
    if not held:
        return []
    angles = cosines(np.array(list(held.values())), vector[None])[:, 0].tolist()
    share = ANGLE if near else 1.0
    hits = [Hit(key, near.get(key, 0.0) + share * angle) for key, angle in zip(held, angles)]
    return sorted(hits, key=lambda hit: (-hit.score, id_order(hit.id)))
