"""Items similar to an item: first by what the same users choose, then by the angle of the vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import cosines
from vecrec.errors import ItemNotFoundError
from vecrec.ids import Id, id_order
from vecrec.recommender.request import Call, Query
from vecrec.types import Hit, User

__all__ = ["ANGLE", "gather", "query_of", "scored"]

ANGLE = 0.05
"""What the cosine of two vectors counts beside the weight of a neighbour; the items that are not neighbours have this
alone. Vectors order what counting cannot tell apart, and find items without neighbours."""

_AT_FIRST = 200
"""Items by inner product whose angles are compared: on MovieLens 1M the answer is that of comparing all angles."""
_GROWTH = 4


def query_of(call: Call, item_id: Id) -> Query:
    """The query for an item, to be gathered.

    Raises:
        ItemNotFoundError: when the item is not in the catalogue.
    """
    vector = call.fetch([item_id]).get(item_id)
    if vector is None:
        raise ItemNotFoundError(f"no item {item_id!r} in the catalogue", "upsert_items adds one")
    call.limit = max(_GROWTH * call.depth, _AT_FIRST) + 1
    return Query(User(), vector, call.request.excluded(None), call.depth, ("item",), more=True)


def gather(call: Call, query: Query, item_id: Id) -> None:
    """Find the candidates of the query: the item's neighbours, and the items nearest to its vector."""
    row = call.search([query])[0]
    near = call.live.neighbours.near(item_id)
    held = call.fetch([*near, *(hit.id for hit in row)])
    others = {key: vector for key, vector in held.items() if key != item_id and key not in query.excluded}
    if query.vector is not None:
        found = scored(query.vector, others, near)
        query.candidates = iter(found)
    query.found, query.more = [], len(row) >= call.limit


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
