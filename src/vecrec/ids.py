"""Ids of items and users: an ``int`` or a ``str``, kept with its type from end to end.

``1`` and ``"1"`` are two ids. Stores that know only one key type use the tagged text form of `encode_id`, which loses
nothing and whose order has no meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from vecrec.errors import InvalidDataError

__all__ = [
    "MAX_ID_BYTES",
    "Id",
    "check_id",
    "check_ids",
    "check_text",
    "decode_id",
    "encode_id",
    "id_order",
    "written_integer",
]

Id: TypeAlias = int | str
"""An item's or a user's id."""

MAX_ID_BYTES = 512
"""The longest string id, in UTF-8 bytes: what the key columns of every supported engine hold with room to spare."""

_INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,18})\Z")


def check_id(value: Any, what: str = "id") -> Id:
    """The id as a plain ``int`` or ``str``.

    Args:
        value: An ``int`` (a NumPy integer too) of 64 bits, or a ``str`` of at most `MAX_ID_BYTES` bytes.
        what: How the message calls it, such as ``"item id"``.

    Raises:
        InvalidDataError: for anything else; ``None``, ``bool``, ``float`` and ``bytes`` among them.
    """
    if type(value) is int:
        return _check_int(value, what)
    if isinstance(value, str):
        return _check_str(check_text(value, what), what)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return _check_int(int(value), what)
    raise InvalidDataError(
        f"{what} {value!r} is of type {type(value).__name__}; ids are int or str", "convert it to one of them first"
    )


def check_ids(values: Iterable[Any], what: str = "id") -> list[Id]:
    """Every value through `check_id`, in order, duplicates kept.

    Raises:
        InvalidDataError: for an invalid id, or when ``values`` is itself one string instead of a sequence of ids.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidDataError(f"expected a sequence of {what}s, got {values!r}", "put it into a list")
    return [check_id(value, what) for value in values]


def encode_id(value: Id) -> str:
    """The tagged text form of an id: ``i42`` for ``42``, ``s42`` for ``"42"``."""
    return f"s{value}" if isinstance(value, str) else f"i{value}"


def decode_id(text: str) -> Id:
    """The id of a text made by `encode_id`.

    Raises:
        InvalidDataError: for any other text.
    """
    if text[:1] == "s":
        return text[1:]
    if text[:1] == "i":
        try:
            return int(text[1:])
        except ValueError:
            pass
    raise InvalidDataError(f"{text!r} is not an encoded id", "give a text that encode_id returned")


def written_integer(text: str) -> int | None:
    """The integer that a text without a type writes, as in CSV files, paths and on the command line.

    ``None`` where it is text: with leading zeros or a plus sign, as customer numbers and EANs have them, or beyond 64
    bits.
    """
    value = int(text) if _INTEGER.match(text) else None
    return value if value is not None and value in _INT64 else None


def check_text(value: str, what: str) -> str:
    """A text as a plain ``str``.

    Raises:
        InvalidDataError: when it is not valid Unicode, which no engine accepts.
    """
    plain = str.__str__(value)  # not str(value), which gives a member of an enumeration its name
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise InvalidDataError(
            f"{what} is {plain!r}, which is not valid Unicode", "remove its lone surrogates"
        ) from error
    return plain


def id_order(value: Id) -> tuple[bool, int, str]:
    """A sort key that puts integers before strings, each by its value: the order that settles equal scores."""
    return (True, 0, value) if isinstance(value, str) else (False, value, "")


def _check_int(value: int, what: str) -> int:
    if value not in _INT64:
        raise InvalidDataError(f"{what} {value!r} does not fit into 64 bits", "use a str id instead")
    return value


def _check_str(value: str, what: str) -> str:
    # A character has 4 bytes at most, so most ids need no counting.
    if len(value) > MAX_ID_BYTES // 4 and (size := len(value.encode())) > MAX_ID_BYTES:
        raise InvalidDataError(
            f"{what} {value[:40]!r}... has {size} bytes, more than {MAX_ID_BYTES}", "use a shorter id, such as a hash"
        )
    return value
