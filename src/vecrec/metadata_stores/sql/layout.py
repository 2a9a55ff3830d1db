"""The tables, their version, and the steps from one version to the next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from vecrec.errors import InvalidDataError, StoreError, shown
from vecrec.types import MAX_KIND

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy.engine import Dialect as Compiler

__all__ = ["STEPS", "VERSION", "Names", "Step", "check_shape", "create_statements", "upgrades"]

VERSION = 2
"""Counts the changes of the tables; each has a step in `STEPS`."""

_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}\Z")

_ID_BYTES = 520
"""An encoded id has at most 513 bytes."""


class Names(NamedTuple):
    """The names of the tables of a store."""

    meta: str
    records: str
    events: str

    @classmethod
    def of(cls, prefix: Any) -> Names:
        """The names with a prefix.

        Raises:
            InvalidDataError: for a prefix that is not a letter or underscore and up to 39 letters, digits, underscores.
        """
        if not isinstance(prefix, str) or not _PREFIX.match(prefix):
            raise InvalidDataError(
                f"{shown(prefix)} is not a valid prefix of table names",
                "use a letter or _, then up to 39 letters, digits and _",
            )
        # In lower case, because databases disagree on whether the case of a table's name matters.
        prefix = prefix.lower()
        return cls(f"{prefix}meta", f"{prefix}records", f"{prefix}events")


class Step(NamedTuple):
    """An upgrade of the tables by one version. Repeating it changes nothing."""

    column: str
    """A column of the events that only the upgraded table has."""
    statements: Mapping[str, Sequence[str]]
    """What to run, by the name of the dialect; ``{events}`` stands for the table."""


STEPS: Mapping[int, Step] = {
    # Events get a kind, which is part of what names them; of no kind is an empty one.
    2: Step(
        "kind",
        {
            "sqlite": (
                (
                    "CREATE TABLE {events}_2 (user_id BLOB NOT NULL, item_id BLOB NOT NULL, time DOUBLE NOT NULL, "
                    "kind BLOB NOT NULL, rating DOUBLE, seq BIGINT NOT NULL, "
                    "PRIMARY KEY (user_id, item_id, time, kind)) WITHOUT ROWID"
                ),
                "INSERT INTO {events}_2 SELECT user_id, item_id, time, x'', rating, seq FROM {events}",
                "DROP TABLE {events}",
                "ALTER TABLE {events}_2 RENAME TO {events}",
            ),
            "mysql": (
                (
                    "ALTER TABLE {events} ADD COLUMN kind VARBINARY(256) NOT NULL DEFAULT '' AFTER time, "
                    "DROP PRIMARY KEY, ADD PRIMARY KEY (user_id, item_id, time, kind)"
                ),
            ),
            "postgresql": (
                (
                    "ALTER TABLE {events} ADD COLUMN kind BYTEA NOT NULL DEFAULT ''::bytea, "
                    "DROP CONSTRAINT {events}_pkey, ADD PRIMARY KEY (user_id, item_id, time, kind)"
                ),
            ),
        },
    ),
}
"""How tables of the version before become tables of each version."""

_SHAPES = {
    "records": ({"kind", "id", "record"}, {"kind", "id"}, {"id"}),
    "events": (
        {"user_id", "item_id", "time", "kind", "rating", "seq"},
        {"user_id", "item_id", "time", "kind"},
        {"user_id", "item_id", "kind"},
    ),
}
"""The columns of a table, those of its key, and those that hold bytes."""


def create_statements(names: Names, compiler: Compiler) -> list[str]:
    """The statements that create the tables that are missing."""
    from sqlalchemy.schema import CreateTable

    tables = _tables(names).sorted_tables
    return [str(CreateTable(table, if_not_exists=True).compile(dialect=compiler)) for table in tables]


def upgrades(found: str, names: Names) -> list[int]:
    """The versions to which tables of a version are still to be upgraded, in order.

    Raises:
        StoreError: for tables of a later version, or of none.
    """
    version = int(found) if found.isdecimal() else 0
    if not 1 <= version <= VERSION:
        raise StoreError(
            f"the table {names.records} and its like have version {found}, and this vecrec knows versions to {VERSION}",
            "use the vecrec that wrote them, or another prefix",
        )
    return list(range(version + 1, VERSION + 1))


def check_shape(names: Names, table: str, columns: Iterable[tuple[str, str, Any]]) -> None:
    """Refuse a table that another program made: a key of another type may take several ids for one.

    Args:
        names: The names of the tables.
        table: Which one, ``"records"`` or ``"events"``.
        columns: Its columns: name, type, and whether the primary key has it.

    Raises:
        StoreError: naming the table.
    """
    wanted, key, of_bytes = _SHAPES[table]
    held = {name: (kind.lower().startswith(("blob", "varbinary", "bytea")), in_key) for name, kind, in_key in columns}
    found_key = {name for name, (_, in_key) in held.items() if in_key}
    if not wanted <= held.keys() or found_key != key or not all(held[name][0] for name in of_bytes):
        raise StoreError(
            f"the table {getattr(names, table)} has not the columns and key of vecrec's tables",
            "give the store another prefix, or rename that table",
        )


def _tables(names: Names) -> MetaData:
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql

    family = ("mysql", "mariadb")
    # Bytes, because collations take 'abc' and 'ABC ' for one.
    identity = sa.LargeBinary().with_variant(mysql.VARBINARY(_ID_BYTES), *family)
    event_kind = sa.LargeBinary().with_variant(mysql.VARBINARY(4 * MAX_KIND), *family)
    kind = sa.String(32).with_variant(mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), *family)
    # Text and not JSON, which some databases put into an order and number format of their own.
    text = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), *family)
    storage: dict[str, Any] = {f"{name}_{option}": value for name in family for option, value in _MYSQL_STORAGE.items()}

    metadata = sa.MetaData()
    sa.Table(
        names.meta,
        metadata,
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(255), nullable=False),
        **storage,
    )
    sa.Table(
        names.records,
        metadata,
        sa.Column("kind", kind, primary_key=True),
        sa.Column("id", identity, primary_key=True),
        sa.Column("record", text, nullable=False),
        **storage,
    )
    sa.Table(
        names.events,
        metadata,
        # The key keeps a user's events side by side, which is how they are read.
        sa.Column("user_id", identity, primary_key=True),
        sa.Column("item_id", identity, primary_key=True),
        sa.Column("time", sa.Double(), primary_key=True),
        # In UTF-8; empty for an event without a kind.
        sa.Column("kind", event_kind, primary_key=True),
        sa.Column("rating", sa.Double(), nullable=True),
        # Of equal times, the event with the lower number was appended first.
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
        **storage,
    )
    return metadata


_MYSQL_STORAGE = {"engine": "InnoDB", "default_charset": "utf8mb4", "row_format": "DYNAMIC"}
