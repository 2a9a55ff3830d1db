"""The texts of all statements on records and events.

In them ``{records}`` and ``{events}`` stand for the tables, a question mark for one parameter, ``{ids}`` for a list of
parameters in parentheses, ``{rows}`` for several such lists.
"""

from __future__ import annotations

from vecrec.metadata_stores.sql.dialects import Dialect
from vecrec.metadata_stores.sql.layout import Names

COUNT = "SELECT COUNT(*) FROM {records} WHERE kind = ?"
GET = "SELECT id, record FROM {records} WHERE kind = ? AND id IN {ids}"
PUT = "INSERT INTO {records} (kind, id, record) VALUES {rows} {new record}"
DELETE = "DELETE FROM {records} WHERE kind = ? AND id IN {ids}"
FIRST_PAGE = "SELECT id, record FROM {records} WHERE kind = ? ORDER BY id LIMIT ?"
NEXT_PAGE = "SELECT id, record FROM {records} WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"

# An event that is there keeps its number, and with it its place.
APPEND = "INSERT INTO {events} (user_id, item_id, time, rating, seq) VALUES {rows} {new rating}"
HELD = "SELECT user_id, COUNT(*), MAX(seq) FROM {events} WHERE user_id IN {ids} GROUP BY user_id"
OLDEST_OVER = (
    "SELECT time, seq, item_id FROM {events} WHERE user_id = ? "
    "ORDER BY time DESC, seq DESC, item_id DESC LIMIT 1 OFFSET ?"
)
CUT = "DELETE FROM {events} WHERE user_id = ? AND (time < ? OR (time = ? AND (seq < ? OR (seq = ? AND item_id <= ?))))"
DELETE_EVENTS = "DELETE FROM {events} WHERE user_id IN {ids}"
FIRST_USERS = "SELECT DISTINCT user_id FROM {events} ORDER BY user_id LIMIT ?"
NEXT_USERS = "SELECT DISTINCT user_id FROM {events} WHERE user_id > ? ORDER BY user_id LIMIT ?"

# Of user, record, item, time, rating, number; where the record is NULL, a row is an event.
HISTORY = (
    "SELECT user_id, NULL, item_id, time, rating, seq FROM {events} WHERE user_id = ? "
    "ORDER BY time DESC, seq DESC, item_id DESC LIMIT ?"
)
HISTORIES = "SELECT user_id, NULL, item_id, time, rating, seq FROM {events} WHERE user_id IN {ids}"
LATEST_HISTORIES = "SELECT user_id, NULL, item_id, time, rating, seq FROM {ranked}"
USER = (
    "SELECT id, record, NULL, NULL, NULL, NULL FROM {records} WHERE kind = ? AND id = ? UNION ALL "
    "SELECT user_id, NULL, item_id, time, rating, seq FROM ("
    "SELECT user_id, item_id, time, rating, seq FROM {events} WHERE user_id = ? "
    "ORDER BY time DESC, seq DESC, item_id DESC LIMIT ?) AS latest"
)
USERS = (
    "SELECT id, record, NULL, NULL, NULL, NULL FROM {records} WHERE kind = ? AND id IN {ids} UNION ALL "
    "SELECT user_id, NULL, item_id, time, rating, seq FROM {events} WHERE user_id IN {ids}"
)
LATEST_USERS = (
    "SELECT id, record, NULL, NULL, NULL, NULL FROM {records} WHERE kind = ? AND id IN {ids} UNION ALL "
    "SELECT user_id, NULL, item_id, time, rating, seq FROM {ranked}"
)

_RANKED = (
    "(SELECT user_id, item_id, time, rating, seq, "
    "ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY time DESC, seq DESC, item_id DESC) AS place "
    "FROM {events} WHERE user_id IN {ids}) AS ranked WHERE place <= ?"
)


class Statements:
    """The texts for one database and one set of tables. Only checked names get into them; all values are parameters."""

    def __init__(self, dialect: Dialect, names: Names) -> None:
        self._dialect = dialect
        self._tokens = {
            "{ranked}": _RANKED,
            "{records}": names.records,
            "{events}": names.events,
            "{new record}": dialect.upsert(("kind", "id"), "record"),
            "{new rating}": dialect.upsert(("user_id", "item_id", "time"), "rating"),
        }
        self._texts: dict[tuple[str, int], str] = {}

    def __call__(self, template: str, count: int = 0) -> str:
        """The text of a template with lists of ``count`` ids, or as many rows."""
        text = self._texts.get((template, count))
        if text is None:
            text = self._texts[template, count] = self._filled(template, count)
        return text

    def _filled(self, template: str, count: int) -> str:
        row = "(?,?,?)" if template is PUT else "(?,?,?,?,?)"
        lists = {"{ids}": f"({','.join('?' * count)})", "{rows}": ",".join([row] * count), "?": self._dialect.mark}
        for token, text in (self._tokens | lists).items():
            template = template.replace(token, text)
        return template
