"""Times as seconds since 1970: made from anything that is certain, refused otherwise.

Everything that takes a time asks `seconds`: events, data sets, the service and the command line.
"""

from __future__ import annotations

import math
import numbers
import re
import time
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import InvalidDataError, shown

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SecondsByPiece", "check_not_future", "moment", "seconds", "written_seconds"]

# Seconds of the year 5138. What is larger can only be a finer unit, or digits of a date.
_FAR = 1e11
# Milliseconds, microseconds and nanoseconds of the years 1973 to 2100, and how many make a second.
_FINER = ((1e11, 4.1e12, 1e3), (1e14, 4.1e15, 1e6), (1e17, 4.1e18, 1e9))
_DAY = 86_400.0
_DIGITS = re.compile(r"[0-9]{8}(?:[0-9]{4}(?:[0-9]{2})?)?\Z")
_DATE_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_NUMBER = re.compile(r"[0-9]{9,}(?:\.[0-9]*)?\Z")  # shorter ones may be anything
_CURE = "give seconds since 1970, a datetime, or text such as '2026-11-29T12:00:00Z'"


def seconds(value: Any, name: str = "time") -> Any:
    """A time, or an array of times, as seconds since 1970.

    Numbers of the years 1973 to 2100 in milliseconds, microseconds or nanoseconds are converted, since as seconds they
    would lie beyond the year 5138; so are ``datetime``, ``date``, ``numpy.datetime64``, pandas' ``Timestamp`` and
    ``Period`` (its start), ISO texts and texts of digits such as ``"20170101"``. **Times without a zone count as UTC.**
    The integer 20170101 alone is refused, because it may be seconds; a column is a column of dates if all its values
    are such integers.

    Args:
        value: One time, or a list, a NumPy array or an Arrow array of times.
        name: How the message calls it.

    Returns:
        A float; for an array, float64 of shape (n,).

    Raises:
        InvalidDataError: for a missing or infinite time, another type, or a number whose unit is not certain.
    """
    if type(value) is float and -_FAR < value < _FAR:  # the common case first
        return value
    if isinstance(value, list):
        return _of_list(value, name)
    if isinstance(value, np.ndarray) and value.ndim:
        return _of_numpy(value, name)
    if type(value).__module__.split(".")[0] == "pyarrow" and hasattr(value, "null_count"):
        return _of_arrow(value, name)
    return _of_scalar(value, name)


def moment(value: Any, name: str = "time") -> float:
    """One time as seconds since 1970.

    Raises:
        InvalidDataError: as `seconds`, and for several times.
    """
    if isinstance(value, list) or getattr(value, "ndim", None):
        raise InvalidDataError(f"{name} is {shown(value)}", "give one time")
    return float(seconds(value, name))


def written_seconds(text: str) -> float:
    """The seconds of a time that is written without a type, as in queries and on the command line: a number or ISO."""
    try:
        return float(seconds(text))
    except InvalidDataError:
        try:
            return float(seconds(float(text)))
        except ValueError:
            pass
        raise


def check_not_future(value: float, name: str, now: float | None = None) -> float:
    """The seconds of something that happens now, refused where they are more than a day ahead of the clock.

    Args:
        value: Seconds since 1970.
        name: How the message calls them.
        now: What the clock says, in seconds since 1970; asked by default.

    Raises:
        InvalidDataError: for a time that lies more than a day ahead.
    """
    if value > (time.time() if now is None else now) + _DAY:
        raise InvalidDataError(f"{name} is {value!r}, {_shown(value)}, which lies in the future", "correct the clock")
    return value


# -- one time


def _of_scalar(value: Any, name: str) -> float:
    if isinstance(value, (str, np.str_)):
        return _of_text(str(value), name)
    if isinstance(value, (date, np.datetime64)):
        return _of_datetime(value, name)
    if hasattr(value, "start_time") and hasattr(value, "freq"):  # a Period of pandas
        return _of_scalar(value.start_time, name)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, Decimal)):
        raise InvalidDataError(f"{name} is {shown(value)} of type {type(value).__name__}", _CURE)
    if isinstance(value, numbers.Integral) and 0 < int(value) < 10**12 and _digits_of_date(str(value)) is not None:
        raise InvalidDataError(
            f"{name} is {value!r}, which may be a date or a number of {'milli' if int(value) > _FAR else ''}seconds",
            f"give the text {str(value)!r} for the date, or seconds since 1970 as a float for the number",
        )
    return float(_of_numbers(np.array([_float(value)]), [name])[0])


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _of_text(text: str, name: str) -> float:
    plain = re.sub(r"(?<=[0-9]) ?(?:UTC|GMT)\Z", "Z", text.strip())
    if _DIGITS.match(plain) and (found := _digits_of_date(plain)) is not None:
        return found
    if _NUMBER.match(plain):
        return float(_of_numbers(np.array([float(plain)]), [name])[0])
    try:
        # Python 3.10 does not read the Z.
        return _of_datetime(datetime.fromisoformat(plain[:-1] + "+00:00" if plain[-1:] in "zZ" else plain), name)
    except ValueError:
        raise InvalidDataError(f"{name} is {text[:60]!r}, which is not a time in ISO format", _CURE) from None


def _of_datetime(value: Any, name: str) -> float:
    if value != value:  # noqa: PLR0124 - only NaT, of NumPy and of pandas, differs from itself
        raise InvalidDataError(f"{name} is {value!r}", "give a time, or leave it out where it is unknown")
    if isinstance(value, np.datetime64):
        return float((value - np.datetime64(0, "s")) / np.timedelta64(1, "s"))
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone follows
    return float((value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)).timestamp())


def _digits_of_date(text: str) -> float | None:
    """The seconds of ``20170101`` or ``20170101123000``; ``None`` where the digits are not of a date since 1900."""
    if not _DIGITS.match(text) or not "1900" <= text[:4] <= "2100":
        return None
    try:
        found = datetime.strptime(text, _DATE_FORMATS[len(text)])  # noqa: DTZ007
    except ValueError:
        return None
    return found.replace(tzinfo=timezone.utc).timestamp()


# -- many times


class SecondsByPiece:
    """The seconds of a column of times that comes in Arrow arrays: the same as `seconds` of the whole column.

    What a number or a text of digits stands for depends on all the others, and is decided at the end.

    Args:
        keep: Takes the values of each piece, float64, to hand them all to `whole`.
    """

    def __init__(self, keep: Callable[[NDArray[np.float64]], None]) -> None:
        self._keep = keep
        self._numbers: bool | None = None
        self._texts: list[pa.Array] = []

    def add(self, array: pa.Array, name: str, first: int = 0) -> None:
        """Take a piece.

        Args:
            array: The times.
            name: How messages call the column.
            first: The row that messages call the piece's first one.

        Raises:
            InvalidDataError: for a missing or infinite time, or another type, also than that of the pieces before.
        """
        import pyarrow as pa

        numbers = pa.types.is_floating(array.type) or pa.types.is_integer(array.type)
        if len(array) and self._numbers not in (None, numbers):
            raise InvalidDataError(f"{name} holds {array.type}, and another type before it", _CURE)
        _refuse_missing(array, name, first)
        if numbers:
            self._numbers = bool(len(array)) or self._numbers
            values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            _refuse_row(~np.isfinite(values), values, name, first)
            self._keep(values)
        elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            self._add_texts(array, name)
        elif not pa.types.is_null(array.type):
            self._numbers = False
            self._keep(_of_arrow(array, name))

    def whole(self, kept: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        """The seconds of all rows, shape (n,).

        Args:
            kept: What was kept.
            name: How messages call the column.

        Raises:
            InvalidDataError: for numbers whose unit is not certain, or a text that is not a time.
        """
        import pyarrow as pa

        if self._numbers:
            return _of_numbers(kept, name)
        if not self._texts:
            return kept
        rest = pa.chunked_array(self._texts).combine_chunks()
        later = _of_texts(rest, name) if not len(kept) else np.array(_of_each(rest.to_pylist(), name), np.float64)
        return np.concatenate((kept, later))

    def _add_texts(self, array: pa.Array, name: str) -> None:
        import pyarrow as pa

        self._numbers = False if len(array) else self._numbers
        if not self._texts:
            try:
                self._keep(_of_arrow(array.cast(pa.timestamp("us")), name))
            except pa.ArrowInvalid:
                pass  # from here on the texts are needed as they are
            else:
                return
        self._texts.append(array.cast(pa.large_string()))


def _of_list(values: list[Any], name: str) -> NDArray[np.float64]:
    if set(map(type, values)) <= {int, float}:
        try:
            return _of_numbers(np.array(values, np.float64), name)
        except OverflowError:
            pass  # an integer beyond a float, which its own message names
    if any(value is None for value in values):
        row = next(row for row, value in enumerate(values) if value is None)
        raise InvalidDataError(f"{name} is missing in row {row}", "give every row a time, or no column of times")
    if all(isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, (bool, np.bool_)) for value in values):
        return _of_numbers(np.array(list(map(_float, values))), name)
    if set(map(type, values)) == {str} and (plain := _numbers_of(values)) is not None:
        return _of_numbers(plain, name)
    return np.array(_of_each(values, name), np.float64)


def _of_each(values: list[Any], name: str) -> list[float]:
    known: dict[Any, float] = {}
    for row, value in enumerate(values):
        if not _hashable(value):
            _of_scalar(value, f"{name} in row {row}")  # no time is, so this says what it is
        elif value not in known:
            known[value] = _of_scalar(value, f"{name} in row {row}")
    return [known[value] for value in values]


def _numbers_of(texts: list[str]) -> NDArray[np.float64] | None:
    """The numbers of texts that are all numbers of at least 9 digits; ``None`` for any other texts."""
    plain = [text.strip() for text in texts]
    return np.array(plain, np.float64) if plain and all(map(_NUMBER.match, plain)) else None


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _of_numpy(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    if values.ndim != 1:
        raise InvalidDataError(f"{name} has the shape {values.shape}", "give one time a row")
    if values.dtype.kind == "M":
        _refuse_row(np.isnat(values), values, name)
        return np.asarray((values - np.datetime64(0, "s")) / np.timedelta64(1, "s"), np.float64)
    if values.dtype.kind in "iuf":
        return _of_numbers(values.astype(np.float64), name)
    return _of_list(values.tolist(), name)


def _of_arrow(array: pa.Array, name: str) -> NDArray[np.float64]:
    import pyarrow as pa

    kinds = pa.types
    _refuse_missing(array, name)
    if kinds.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if kinds.is_timestamp(array.type):
        scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
        return np.asarray(array.cast(pa.int64()).to_numpy(zero_copy_only=False) / scale, np.float64)
    if kinds.is_string(array.type) or kinds.is_large_string(array.type):
        return _of_texts(array, name)
    if not (kinds.is_floating(array.type) or kinds.is_integer(array.type) or kinds.is_null(array.type)):
        raise InvalidDataError(f"{name} holds {array.type}", _CURE)
    return _of_numbers(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), name)


def _refuse_missing(array: pa.Array, name: str, first: int = 0) -> None:
    if array.null_count:
        row = first + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        problem = f"{name} has {array.null_count:,} missing values, the first in row {row}"
        raise InvalidDataError(problem, "give every row a time, or no column of times")


def _of_texts(array: pa.Array, name: str) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        naive = array.cast(pa.timestamp("us"))  # quick; refuses zones, digits and whatever is not ISO
    except pa.ArrowInvalid:
        encoded = array.dictionary_encode()
        if (plain := _numbers_of(encoded.dictionary.to_pylist())) is not None:
            array = pa.array(plain).take(encoded.indices)
            return _of_numbers(array.to_numpy(zero_copy_only=False), name)
        return np.asarray(
            _of_list(encoded.dictionary.to_pylist(), name)[encoded.indices.to_numpy(zero_copy_only=False)]
        )
    return _of_arrow(naive, name)


def _of_numbers(values: NDArray[np.float64], name: str | list[str]) -> NDArray[np.float64]:
    """Times that are numbers. A list of one name means a single time, whose message names no row."""
    what = name if isinstance(name, str) else name[0]
    single = not isinstance(name, str)
    _refuse_row(~np.isfinite(values), values, what, single=single)
    if not len(values) or (max(-values.min(), values.max()) < _FAR and (single or (found := _dates(values)) is None)):
        return values
    if not single and (found := _dates(values)) is not None:
        return found
    low, high = float(values.min()), float(values.max())
    for least, most, scale in _FINER:
        if least <= low and high <= most:
            return np.asarray(values / scale, np.float64)
    if single and (digits := _digits_of_date(f"{high:.0f}")) is not None:
        return np.array([digits])
    if single:
        raise InvalidDataError(
            f"{what} is {high!r}, which is not a time in any unit from seconds to nanoseconds", _CURE
        )
    at, to = int(values.argmin()), int(values.argmax())
    raise InvalidDataError(
        f"{what} is {low!r} in row {at} and {high!r} in row {to}, which are not times of one unit",
        "give seconds since 1970 in every row",
    )


def _dates(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The seconds of a column whose every value has the digits of a date; ``None`` for any other column."""
    low, high = values.min(), values.max()
    if not any(19000101 * scale <= low and high < 21001232 * scale for scale in (1, 10**4, 10**6)):
        return None
    different, places = np.unique(values, return_inverse=True)
    found = [_digits_of_date(f"{value:.0f}") if value.is_integer() else None for value in different.tolist()]
    return None if None in found else np.array(found, np.float64)[places]


def _refuse_row(
    bad: NDArray[np.bool_], values: NDArray[Any], name: str, first: int = 0, *, single: bool = False
) -> None:
    if bad.any():
        row = int(bad.argmax())
        where = "" if single else f" in row {first + row}"
        raise InvalidDataError(f"{name} is {values[row]}{where}", "give a time, or leave it out where it is unknown")


def _shown(value: float) -> str:
    try:
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "beyond the year 9999"
