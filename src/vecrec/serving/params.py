"""Parameters of paths and queries, and the service behind an application."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import Depends, Path, Query, Request

from vecrec._internal.times import written_seconds
from vecrec.errors import InvalidDataError
from vecrec.ids import Id, check_id, written_integer
from vecrec.serving.service import Service

__all__ = [
    "At",
    "Conditions",
    "Cursor",
    "HalfLife",
    "IdType",
    "ItemPath",
    "K",
    "Kinds",
    "OnlyItems",
    "OnlyKinds",
    "Ours",
    "Segment",
    "UserPath",
    "cursor_after",
    "json_object",
    "known_query",
    "moment_of",
    "path_id",
    "place_of",
]

IdType: TypeAlias = Annotated[
    Literal["auto", "integer", "string"],
    Query(
        description="What the ids in the path are. By default an integer where one looks like one, but a text where "
        "all ids of the live release are texts."
    ),
]

ItemPath: TypeAlias = Annotated[str, Path(description="The item's id, percent-encoded.", examples=["1"])]
UserPath: TypeAlias = Annotated[str, Path(description="The user's id, percent-encoded.", examples=["42"])]

K: TypeAlias = Annotated[int, Query(ge=1, description="How many.")]

Conditions: TypeAlias = Annotated[
    list[str],
    Query(
        alias="where",
        max_length=50,
        description="Conditions that must all hold, each like `year>=1990` or `genres:Comedy`.",
        examples=[["year>=1990"]],
    ),
]

Kinds: TypeAlias = Annotated[
    list[str],
    Query(max_length=50, description="Kinds of events whose items count as seen; the policy's kinds without them."),
]

OnlyItems: TypeAlias = Annotated[list[str], Query(max_length=100, description="Only events with these items.")]
OnlyKinds: TypeAlias = Annotated[list[str], Query(max_length=100, description="Only events of these kinds.")]

Cursor: TypeAlias = Annotated[
    str | None, Query(min_length=1, max_length=2_000, description="Of the page before; without it, the first page.")
]

At: TypeAlias = Annotated[
    str,
    Query(max_length=50, description="When the user asks: `now`, seconds since 1970 or ISO text.", examples=["now"]),
]

HalfLife: TypeAlias = Annotated[
    float | None, Query(gt=0, description="Seconds: an event so much older than the latest one counts half.")
]

Segment: TypeAlias = Annotated[
    str | None,
    Query(max_length=2_000, description="Values of the profile of the users to count.", examples=['{"gender": "F"}']),
]

_KEPT = re.compile("%(25|2[Ff])")


async def _service(request: Request) -> Service:
    service: Service = request.app.state.vecrec
    return service


Ours: TypeAlias = Annotated[Service, Depends(_service)]
"""The service of the application that is asked."""


async def known_query(request: Request) -> None:
    """Refuse a query with a name that the endpoint does not read.

    Raises:
        InvalidDataError: naming it, and those that there are.
    """
    if not request.query_params:
        return
    path, method = getattr(request.scope.get("route"), "path", ""), request.method.lower()
    described = request.app.openapi()["paths"].get(path, {}).get(method, {})
    known = {each["name"] for each in described.get("parameters", ()) if each["in"] == "query"}
    unknown = sorted({*request.query_params} - known)
    if unknown:
        raise InvalidDataError(f"unknown names in the query: {unknown}"[:500], f"there are {sorted(known) or 'none'}")


def json_object(text: str, name: str) -> dict[str, Any]:
    """The JSON object of a query's parameter.

    Raises:
        InvalidDataError: for anything else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidDataError(f"{name} is {text[:100]!r}", 'give a JSON object, such as {"gender": "F"}')
    return value


def cursor_after(*place: float | str | None) -> str:
    """The cursor of what follows a place in a listing. A place is what the listing is ordered by, so writes move none.

    It is opaque to clients, and text that a URL need not encode.
    """
    return urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(cursor: str, *types: type | tuple[type, ...]) -> list[Any]:
    """The place that a cursor was made of.

    Raises:
        InvalidDataError: for a text that `cursor_after` has not returned for values of these types.
    """
    try:
        place = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        place = None
    fits = isinstance(place, list) and len(place) == len(types)
    if not fits or any(isinstance(value, bool) or not isinstance(value, kind) for value, kind in zip(place, types)):
        raise InvalidDataError(f"{cursor[:100]!r} is not a cursor of this listing", "give that of an earlier answer")
    return list(place)


def moment_of(at: str) -> float | str:
    """What a query says of the time of a request: ``"now"``, or seconds since 1970.

    Raises:
        InvalidDataError: for a text that is not a time.
    """
    return at if at == "now" else written_seconds(at)


def path_id(text: str, kind: IdType, side: Literal["items", "users"], service: Service) -> Id:
    """The id of a path's segment.

    Raises:
        InvalidDataError: for a text that is not a valid id.
    """
    # The gate has kept the encoded slashes and percent signs.
    plain = _KEPT.sub(lambda found: "%" if found[1] == "25" else "/", text)
    what = f"{side[:-1]} id"
    if kind == "string":
        return check_id(plain, what)
    if kind == "auto":
        return service.recommender.written_id(plain, side)
    number = written_integer(plain)
    if number is None:
        raise InvalidDataError(f"{what} {plain!r} is not an integer of 64 bits", "omit id_type, or give id_type=string")
    return number
