"""The texts of all statements on records and events, and how many ids or rows go into one.

In the texts ``{records}`` and ``{events}`` stand for the tables, a question mark for one parameter, ``{ids}`` for a
list of parameters in parentheses, ``{rows}`` for several such lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from vecrec.errors import InvalidDataError
from vecrec.ids import decode_id
from vecrec.metadata_stores.sql.dialects import Dialect
from vecrec.metadata_stores.sql.layout import Names

_T = TypeVar("_T")

COUNT = "SELECT COUNT(*) FROM {records} WHERE kind = ?"
GET = "SELECT id, record FROM {records} WHERE kind = ? AND id IN {ids}"
PUT = "INSERT INTO {records} (kind, id, record) VALUES {rows} {new record}"
DELETE = "DELETE FROM {records} WHERE kind = ? AND id IN {ids}"
FIRST_PAGE = "SELECT id, record FROM {records} WHERE kind = ? ORDER BY id LIMIT ?"
NEXT_PAGE = "SELECT id, record FROM {records} WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"

# An event that exists keeps its number, and with it its place.
APPEND = "INSERT INTO {events} (user_id, item_id, time, kind, rating, seq) VALUES {rows} {new rating}"
HELD = "SELECT user_id, COUNT(*), MAX(seq) FROM {events} WHERE user_id IN {ids} GROUP BY user_id"
# Of a user's events but one, the latest that is over a number; and all that are not later, again but that one.
LATEST_OVER = (
    "SELECT time, seq, item_id, kind FROM {events} WHERE user_id = ? AND NOT (item_id = ? AND time = ? AND kind = ?) "
    "ORDER BY time DESC, seq DESC, item_id DESC, kind DESC LIMIT 1 OFFSET ?"
)
CUT = (
    "DELETE FROM {events} WHERE user_id = ? AND NOT (item_id = ? AND time = ? AND kind = ?) "
    "AND (time, seq, item_id, kind) <= (?, ?, ?, ?)"
)
DELETE_EVENTS = "DELETE FROM {events} WHERE user_id IN {ids}"
FIRST_USERS = "SELECT DISTINCT user_id FROM {events} ORDER BY user_id LIMIT ?"
NEXT_USERS = "SELECT DISTINCT user_id FROM {events} WHERE user_id > ? ORDER BY user_id LIMIT ?"

# Of user, record, item, time, kind, rating, number; where the record is NULL, a row is an event.
HISTORY = (
    "SELECT user_id, NULL, item_id, time, kind, rating, seq FROM {events} WHERE user_id = ? "
    "ORDER BY time DESC, seq DESC, item_id DESC, kind DESC LIMIT ?"
)
HISTORIES = "SELECT user_id, NULL, item_id, time, kind, rating, seq FROM {events} WHERE user_id IN {ids}"
LATEST_HISTORIES = "SELECT user_id, NULL, item_id, time, kind, rating, seq FROM {ranked}"
USER = (
    "SELECT id, record, NULL, NULL, NULL, NULL, NULL FROM {records} WHERE kind = ? AND id = ? UNION ALL "
    "SELECT user_id, NULL, item_id, time, kind, rating, seq FROM ("
    "SELECT user_id, item_id, time, kind, rating, seq FROM {events} WHERE user_id = ? "
    "ORDER BY time DESC, seq DESC, item_id DESC, kind DESC LIMIT ?) AS latest"
)
USERS = (
    "SELECT id, record, NULL, NULL, NULL, NULL, NULL FROM {records} WHERE kind = ? AND id IN {ids} UNION ALL "
    "SELECT user_id, NULL, item_id, time, kind, rating, seq FROM {events} WHERE user_id IN {ids}"
)
LATEST_USERS = (
    "SELECT id, record, NULL, NULL, NULL, NULL, NULL FROM {records} WHERE kind = ? AND id IN {ids} UNION ALL "
    "SELECT user_id, NULL, item_id, time, kind, rating, seq FROM {ranked}"
)

_RANKED = (
    "(SELECT user_id, item_id, time, kind, rating, seq, "
    "ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY time DESC, seq DESC, item_id DESC, kind DESC) AS place "
    "FROM {events} WHERE user_id IN {ids}) AS ranked WHERE place <= ?"
)


def one_of(column: str, count: int) -> str:
    """A condition that a column has one of ``count`` values."""
    return f" AND {column} IN ({','.join('?' * count)})"


class Statements:
    """The texts for one database and one set of tables. Only checked names get into them; all values are parameters."""

    def __init__(self, dialect: Dialect, names: Names) -> None:
        self._dialect = dialect
        self._tokens = {
            "{ranked}": _RANKED,
            "{records}": names.records,
            "{events}": names.events,
            "{new record}": dialect.upsert(("kind", "id"), "record"),
            "{new rating}": dialect.upsert(("user_id", "item_id", "time", "kind"), "rating"),
        }
        self._texts: dict[tuple[str, int], str] = {}

    def __call__(self, template: str, count: int = 0) -> str:
        """The text of a template with lists of ``count`` ids, or as many rows."""
        text = self._texts.get((template, count))
        if text is None:
            text = self._texts[template, count] = self._filled(template, count)
        return text

    def _filled(self, template: str, count: int) -> str:
        row = "(?,?,?)" if template is PUT else "(?,?,?,?,?,?)"
        lists = {"{ids}": f"({','.join('?' * count)})", "{rows}": ",".join([row] * count), "?": self._dialect.mark}
        for token, text in (self._tokens | lists).items():
            template = template.replace(token, text)
        return template


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
    """The values in order, in batches that are small enough; a value that is larger than the bound is alone in one."""
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
