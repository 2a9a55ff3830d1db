"""How many ids or rows go into a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from vecrec.errors import InvalidDataError
from vecrec.ids import decode_id

__all__ = ["BATCH", "STATEMENT_BYTES", "Limits", "bounded", "padded"]

_T = TypeVar("_T")

BATCH = 512
"""The most ids or rows of a statement."""

STATEMENT_BYTES = 4_000_000
"""Bytes a statement, where the server takes as many: larger ones are not faster."""


class Limits(NamedTuple):
    """How much a statement may hold."""

    statement: int
    """Bytes to aim at."""
    packet: int | None
    """Bytes that must not be exceeded, since the server ends the connection; ``None`` where there are none."""

    def sent(self, value: str | bytes) -> int:
        """The most bytes that a value takes in a statement."""
        if self.packet is None:
            return len(value)
        # Escaping doubles what it finds; characters may be of several bytes.
        return 20 + 2 * (len(value) if isinstance(value, bytes) or value.isascii() else len(value.encode()))

    def check(self, text: str, what: str, key: bytes) -> None:
        """Refuse a text that no statement can carry.

        Raises:
            InvalidDataError: naming it.
        """
        if self.packet is not None and self.sent(text) > self.packet:
            from pymysql.converters import escape_string

            size = len(escape_string(text).encode())
            if size + 2000 > self.packet:
                raise InvalidDataError(
                    f"{what} {decode_id(key.decode())!r} has {size} bytes, and the server takes {self.packet} at once",
                    "make it smaller, or raise the server's max_allowed_packet",
                )


def bounded(
    values: Iterable[_T], size: Callable[[_T], int], most_bytes: int, most_values: int = BATCH
) -> Iterator[list[_T]]:
    """The values in order, in batches that are small enough. A value that is too large for any has one of its own."""
    batch: list[_T] = []
    taken = 0
    for value in values:
        bytes_of_value = size(value)
        if batch and (len(batch) == most_values or taken + bytes_of_value > most_bytes):
            yield batch
            batch, taken = [], 0
        batch.append(value)
        taken += bytes_of_value
    if batch:
        yield batch


def padded(keys: Sequence[_T]) -> Sequence[_T]:
    """The keys, the last one repeated up to one of a few lengths, so that statements have few different texts."""
    count = len(keys)
    step = 1 if count <= 16 else 16 if count <= 128 else 128
    missing = -count % step
    return [*keys, *[keys[-1]] * missing] if missing else keys
