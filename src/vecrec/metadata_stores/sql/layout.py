"""The tables, and their version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from vecrec.errors import InvalidDataError, StoreError

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy.engine import Dialect as Compiler

__all__ = ["VERSION", "Names", "check_version", "create_statements"]

VERSION = 1
"""Counts the changes of the tables."""

_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}\Z")

_ID_BYTES = 520
"""An encoded id has at most 513 bytes."""


class Names(NamedTuple):
    """The names of the tables."""

    meta: str
    records: str
    events: str

    @classmethod
    def of(cls, prefix: Any) -> Names:
        """The names with a prefix.

        Raises:
            InvalidDataError: for a prefix that is no letter or underscore and up to 39 letters, digits, underscores.
        """
        if not isinstance(prefix, str) or not _PREFIX.match(prefix):
            raise InvalidDataError(
                f"{prefix!r} is no prefix of table names", "use a letter or _, then up to 39 letters, digits and _"
            )
        # In lower case, because databases disagree on whether the case of a table's name matters.
        prefix = prefix.lower()
        return cls(f"{prefix}meta", f"{prefix}records", f"{prefix}events")


def create_statements(names: Names, compiler: Compiler) -> list[str]:
    """The statements that create the tables that are missing."""
    from sqlalchemy.schema import CreateTable

    tables = _tables(names).sorted_tables
    return [str(CreateTable(table, if_not_exists=True).compile(dialect=compiler)) for table in tables]


def check_version(found: str, names: Names) -> None:
    """Refuse tables of another version.

    Raises:
        StoreError: saying which one is to be updated.
    """
    if found != str(VERSION):
        raise StoreError(
            f"the table {names.records} and its like have version {found}, and this vecrec knows version {VERSION}",
            "use the vecrec that wrote them, or another prefix",
        )


def _tables(names: Names) -> MetaData:
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql

    family = ("mysql", "mariadb")
    # Bytes, because collations take 'abc' and 'ABC ' for one.
    identity = sa.LargeBinary().with_variant(mysql.VARBINARY(_ID_BYTES), *family)
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
        sa.Column("rating", sa.Double(), nullable=True),
        # Of equal times, the event with the lower number was appended first.
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
        **storage,
    )
    return metadata


_MYSQL_STORAGE = {"engine": "InnoDB", "default_charset": "utf8mb4", "row_format": "DYNAMIC"}
