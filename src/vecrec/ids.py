"""Ids of items and users: an ``int`` or a ``str``, stored and returned with its type.

``1`` and ``"1"`` are two ids. Stores with one key type use the tagged text form of `encode_id`, which is lossless and
whose order has no meaning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

import numpy as np

from vecrec.errors import InvalidDataError, shown

__all__ = [
    "MAX_ID_BYTES",
    "Id",
    "are_texts",
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
"""The longest string id, in UTF-8 bytes. The key columns of every supported engine hold it."""

_INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,18})\Z")


def check_id(value: Any, what: str = "id") -> Id:
    """Return the id as a plain ``int`` or ``str``.

    Args:
        value: An ``int`` (a NumPy integer too) of 64 bits, or a ``str`` of at most `MAX_ID_BYTES` bytes.
        what: Its name in messages, such as ``"item id"``.

    Raises:
        InvalidDataError: for any other value, such as ``None`` or a ``bool``, ``float`` or ``bytes``.
    """
    if type(value) is int:
        return _check_int(value, what)
    if isinstance(value, str):
        return _check_str(check_text(value, what), what)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return _check_int(int(value), what)
    raise InvalidDataError(
        f"{what} {shown(value)} is of type {type(value).__name__}; ids are int or str",
        "convert it to one of them first",
    )


def check_ids(values: Iterable[Any], what: str = "id") -> list[Id]:
    """Return every value checked by `check_id`, in order, with duplicates.

    Args:
        values: Any iterable of ids, but not a text.
        what: The name of one id in messages.

    Raises:
        InvalidDataError: for an invalid id, or when ``values`` is one string instead of a sequence of ids.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidDataError(f"expected a sequence of {what}s, got {shown(values)}", "put it into a list")
    return [check_id(value, what) for value in values]


def encode_id(value: Id) -> str:
    """Return the tagged text form of an id: ``i42`` for ``42``, ``s42`` for ``"42"``."""
    return f"s{value}" if isinstance(value, str) else f"i{value}"


def decode_id(text: str) -> Id:
    """Return the id of a text that `encode_id` returned.

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
    """Return the integer that an untyped text stands for, as in CSV files, paths and on the command line.

    Returns:
        The integer; ``None`` for a text id: with leading zeros or a plus sign, as in customer numbers and EANs, or
        beyond 64 bits.
    """
    value = int(text) if _INTEGER.match(text) else None
    return value if value is not None and value in _INT64 else None


def are_texts(ids: Collection[Id]) -> bool:
    """Return whether there are ids and each of them is a text."""
    return bool(ids) and all(isinstance(value, str) for value in ids)


def check_text(value: str, what: str) -> str:
    """Return a text as a plain ``str``.

    Raises:
        InvalidDataError: when it is not valid Unicode, which no engine accepts.
    """
    plain = str.__str__(value)  # not str(value), which returns the name of a member of an enumeration
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise InvalidDataError(
            f"{what} is {plain!r}, which is not valid Unicode", "remove its lone surrogates"
        ) from error
    return plain


def id_order(value: Id) -> tuple[bool, int, str]:
    """Return a sort key that puts integers before strings, each by value. It orders entries with equal scores."""
    return (True, 0, value) if isinstance(value, str) else (False, value, "")


def _check_int(value: int, what: str) -> int:
    if value not in _INT64:
        raise InvalidDataError(f"{what} {shown(value)} does not fit into 64 bits", "use a str id instead")
    return value


def _check_str(value: str, what: str) -> str:
    # A character has 4 bytes at most, so most ids need no counting.
    if len(value) > MAX_ID_BYTES // 4 and (size := len(value.encode())) > MAX_ID_BYTES:
        raise InvalidDataError(
            f"{what} {value[:40]!r}... has {size} bytes, more than {MAX_ID_BYTES}", "use a shorter id, such as a hash"
        )
    return value
