"""Ids in bodies and in paths."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from fastapi import Path, Query
from pydantic import Field, StrictInt, StrictStr

from vecrec.errors import InvalidDataError
from vecrec.ids import MAX_ID_BYTES, Id, check_id

__all__ = ["IdIn", "IdType", "ItemPath", "UserPath", "path_id"]

IdIn: TypeAlias = (
    Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)] | Annotated[StrictStr, Field(max_length=MAX_ID_BYTES)]
)
"""An id in a body: an integer or a text, which are two ids where they look alike."""

IdType: TypeAlias = Annotated[
    Literal["auto", "integer", "string"],
    Query(description="What the ids in the path are: an integer where one looks like one, by default."),
]

ItemPath: TypeAlias = Annotated[str, Path(description="The item's id, percent-encoded.", examples=["1"])]
UserPath: TypeAlias = Annotated[str, Path(description="The user's id, percent-encoded.", examples=["42"])]

_INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,18})\Z")
_KEPT = re.compile("%(25|2[Ff])")


def path_id(text: str, kind: IdType, what: str) -> Id:
    """The id of a path's segment.

    Raises:
        InvalidDataError: for an id that is none.
    """
    # The gate has kept the encoded slashes and percent signs.
    plain = _KEPT.sub(lambda found: "%" if found[1] == "25" else "/", text)
    if kind == "string":
        return check_id(plain, what)
    number = int(plain) if _INTEGER.match(plain) else None
    if kind == "integer":
        if number is None:
            raise InvalidDataError(f"{what} {plain!r} is no integer", "leave id_type out, or say id_type=string")
        return check_id(number, what)
    return check_id(plain if number is None or not -(2**63) <= number < 2**63 else number, what)
