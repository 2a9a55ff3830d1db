"""Records: the JSON objects that describe items and users."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, Union

import numpy as np

from vecrec._internal.validation import json_scalar
from vecrec.errors import InvalidDataError, shown
from vecrec.ids import check_text

__all__ = ["JSON", "Record", "check_record", "dump_record", "record_digest"]

JSON: TypeAlias = Union[bool, int, float, str, "list[JSON]", "dict[str, JSON]", None]
"""A value that survives JSON unchanged."""

Record: TypeAlias = "dict[str, JSON]"
"""A JSON object."""

_MAX_DEPTH = 32

# Created once: that costs as much as encoding a small record. Checked records have no circular references.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def check_record(record: Any, what: str = "record", *, convert: bool = False) -> Record:
    """Return a deep copy of a record in plain Python: tuples and arrays become lists, NumPy scalars Python values.

    Args:
        record: A mapping of names to values.
        what: Its name in messages, such as ``"item 42"``.
        convert: Whether dates, times and decimals become what `json_scalar` makes of them, instead of being refused.

    Raises:
        InvalidDataError: for a value that JSON cannot represent (NaN, bytes, sets, ...), with its path.
    """
    if type(record) is dict:
        try:
            return {_exact_key(key): _exact(item, 1) for key, item in record.items()}
        except ValueError:
            pass  # the slower code below converts it or raises the error
    if not isinstance(record, Mapping):
        raise InvalidDataError(f"{what} must be a mapping of names to values, got {shown(record)}", "give a dict")
    return _plain_object(record, what, 0, convert)


def dump_record(record: Mapping[str, JSON]) -> str:
    """Return the compact JSON text of a checked record. Non-ASCII characters are not escaped."""
    return _encode(record)


def record_digest(record: Mapping[str, JSON]) -> str:
    """Return 32 hexadecimal digits that are equal for equal records. The order of the keys does not count."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    from hashlib import blake2b  # slow to import, and not needed to read

    return blake2b(text.encode(), digest_size=16).hexdigest()


def _exact(value: Any, depth: int) -> JSON:
    """Return a copy of a plain value, without the paths for messages, whose texts would cost most of the time.

    Raises:
        ValueError: for any other value, convertible or not.
    """
    kind = type(value)
    if kind is str:
        return _exact_key(value)
    if value is None or kind is bool or (kind is float and math.isfinite(value)):
        return value  # type: ignore[no-any-return]
    if kind is int and -(2**63) <= value < 2**63:
        return value  # type: ignore[no-any-return]
    if kind is list and depth <= _MAX_DEPTH:
        return [_exact(item, depth + 1) for item in value]
    if kind is dict and depth <= _MAX_DEPTH:
        return {_exact_key(key): _exact(item, depth + 1) for key, item in value.items()}
    raise ValueError


def _exact_key(key: Any) -> str:
    if type(key) is not str:
        raise ValueError
    if not key.isascii():
        key.encode()
    return key


def _plain_object(value: Mapping[Any, Any], path: str, depth: int, convert: bool) -> Record:
    if depth > _MAX_DEPTH:
        raise InvalidDataError(f"{path} is nested deeper than {_MAX_DEPTH} levels", "flatten it")
    plain: Record = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidDataError(f"{path} has the key {key!r} of type {type(key).__name__}", "keys must be str")
        plain[check_text(key, f"a key of {path}")] = _plain(item, f"{path}[{key!r}]", depth + 1, convert)
    return plain


def _plain(value: Any, path: str, depth: int, convert: bool) -> JSON:
    value = json_scalar(value) if convert else value
    if isinstance(value, (np.generic, np.ndarray)) and value.dtype.kind not in "Mm":
        value = value.tolist()  # for an array without dimensions, its value
    elif convert and isinstance(value, np.ndarray) and value.ndim:
        value = list(value)  # of dates
    if isinstance(value, Mapping):
        return _plain_object(value, path, depth, convert)
    if isinstance(value, (list, tuple)):
        if depth > _MAX_DEPTH:
            raise InvalidDataError(f"{path} is nested deeper than {_MAX_DEPTH} levels", "flatten it")
        return [_plain(item, f"{path}[{position}]", depth + 1, convert) for position, item in enumerate(value)]
    return _plain_scalar(value, path)


def _plain_scalar(value: Any, path: str) -> JSON:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(value, path)
    if isinstance(value, int):
        return _integer(int(value), path)
    if isinstance(value, float):
        return _number(float(value), path)
    raise InvalidDataError(
        f"{path} is {value!r} of type {type(value).__name__}, which JSON cannot represent",
        "convert it to text or a number",
    )


def _integer(value: int, path: str) -> int:
    if not -(2**63) <= value < 2**63:
        raise InvalidDataError(f"{path} is {value}, which does not fit into 64 bits", "store it as text")
    return value


def _number(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise InvalidDataError(f"{path} is {value}", "leave the value out or use None where it is unknown")
    return value
