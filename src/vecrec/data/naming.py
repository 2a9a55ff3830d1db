"""The names of the columns of tables: given by the caller, or common in public data."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace

from vecrec.data.notices import Notice
from vecrec.errors import InvalidDataError, shown

__all__ = ["Columns", "EventColumns", "KeyColumn"]

DEFAULTS = {"user": "user_id", "item": "item_id", "time": "time", "rating": "rating", "kind": "kind"}
"""The names that are taken without a notice."""

# Compared without case and without what is neither a letter nor a digit; of several times the first counts.
_COMMON = {
    "user": (
        "userid", "user", "uid", "visitorid", "customerid", "customer", "customernumber", "reviewerid", "memberid",
        "accountid", "clientid", "readerid", "listenerid", "username",
    ),
    "item": (
        "itemid", "item", "iid", "movieid", "productid", "asin", "sku", "isbn", "bookid", "articleid", "songid",
        "trackid", "artistid", "videoid", "newsid", "businessid", "animeid", "gameid", "courseid", "recipeid",
        "stockcode", "productcode", "movie", "product", "book", "ean",
    ),
    "time": (
        "time", "timestamp", "eventtime", "eventtimestamp", "ts", "unixtime", "unixreviewtime", "unixtimestamp",
        "datetime", "createdat", "occurredat", "at", "invoicedate", "orderdate", "eventdate", "date",
    ),
    "rating": ("rating", "score", "stars", "bookrating", "userrating", "overall"),
    "kind": (
        "kind", "event", "eventtype", "eventname", "action", "actiontype", "behavior", "behaviour", "behaviortype",
        "interactiontype",
    ),
}  # fmt: skip
_MEANS = {
    "user": "the user id", "item": "the item id", "time": "the time", "rating": "the rating", "kind": "the kind",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns. A given name must exist; ``None`` stands for the default or a common name.

    The defaults are ``user_id``, ``item_id``, ``time``, ``rating`` and ``kind``. Where a table lacks one of them, a
    common name such as ``visitorid``, ``asin``, ``timestamp`` or ``event_type`` is taken, with a notice.

    Raises:
        InvalidDataError: for a name that is not a str, or one name for two columns of the interactions.
    """

    user: str | None = None
    """The user's id, in the interactions and in the users."""
    item: str | None = None
    """The item's id, in the interactions and in the items."""
    time: str | None = None
    """The time of the event."""
    rating: str | None = None
    """The rating."""
    kind: str | None = None
    """The kind of the event."""
    user_key: str | None = None
    """The user's id in the users' table, where its name differs from that in the interactions."""
    item_key: str | None = None
    """The item's id in the items' table, where its name differs from that in the interactions."""

    def __post_init__(self) -> None:
        for each in fields(self):
            name = getattr(self, each.name)
            if name is not None and (not isinstance(name, str) or not name):
                raise InvalidDataError(f"the column of {each.name} is {shown(name)}", "give its name, or leave it out")
        given = self.names()
        if len(set(given)) < len(given):
            raise InvalidDataError(f"{self!r} names one column for several meanings", "give different names")

    def names(self) -> tuple[str, ...]:
        """The names for the interactions that are given, or were found."""
        return tuple(name for role in _MEANS if (name := getattr(self, role)) is not None)


@dataclass(slots=True)
class EventColumns:
    """Finds the columns of the interactions, and chooses them for reading."""

    given: Columns
    found: Columns = field(default_factory=Columns)
    """The names that were found."""
    notices: list[Notice] = field(default_factory=list)
    """What was recognised by a common name."""

    def __call__(self, names: list[str]) -> tuple[list[str], Collection[str]]:
        """The columns to read, and those of them that hold ids.

        Raises:
            InvalidDataError: naming all columns that are missing, or several that may be the same one.
        """
        found = {role: _find(role, getattr(self.given, role), names, "interactions", self.notices) for role in _MEANS}
        needed = [role for role in _MEANS if role in ("user", "item") or getattr(self.given, role) is not None]
        missing = [role for role in needed if found[role] is None]
        if missing:
            wanted = [f"{_MEANS[role]} ({getattr(self.given, role) or DEFAULTS[role]!r})" for role in missing]
            raise _missing("interactions", wanted, names, missing)
        self.found = replace(self.given, **found)
        return list(self.found.names()), [name for name in (found["user"], found["item"]) if name is not None]

    def drop(self, role: str, why: str) -> None:
        """Do without a column that was taken by its name only, since its values are of another sort."""
        name = getattr(self.found, role)
        self.found = replace(self.found, **{role: None})
        self.notices[:] = [notice for notice in self.notices if not notice.problem.startswith(f"column {name!r} ")]
        self.notices.append(
            Notice(
                f"column {name!r} of interactions is not used: {why}", f"name it with Columns({role}=...) if it is one"
            )
        )


@dataclass(slots=True)
class KeyColumn:
    """Finds the column of the ids in the items' or users' table, all of which is read."""

    role: str
    """``"item"`` or ``"user"``."""
    events: Columns
    """The names that were found in the interactions."""
    notices: list[Notice] = field(default_factory=list)
    """What was recognised by a common name."""
    name: str = ""
    """The column that was found."""

    def __call__(self, names: list[str]) -> tuple[list[str], Collection[str]]:
        """All columns, and the one that holds ids.

        Raises:
            InvalidDataError: where it is missing, or several may be it.
        """
        what = f"{self.role}s"
        given, same = getattr(self.events, f"{self.role}_key"), getattr(self.events, self.role)
        found = same if given is None and same in names else _find(self.role, given, names, what, self.notices)
        if found is None and given is None and "id" in names:
            found = "id"
        if found is None:
            wanted = given or same or DEFAULTS[self.role]
            raise _missing(what, [f"{_MEANS[self.role]} ({wanted!r})"], names, [f"{self.role}_key"])
        self.name = found
        return names, [found]


def _find(role: str, given: str | None, names: list[str], what: str, notices: list[Notice]) -> str | None:
    if given is not None:
        return given if given in names else None
    if DEFAULTS[role] in names:
        return DEFAULTS[role]
    order = _COMMON[role]
    common = sorted((name for name in names if _plain(name) in order), key=lambda name: order.index(_plain(name)))
    if len(common) > 1 and role != "time":
        shown = ", ".join(map(repr, common))
        problem = f"{what} have several columns that may be {_MEANS[role]}: {shown}"
        raise InvalidDataError(problem, f"name one with Columns({role}=...)")
    if not common:
        return None
    rest = f" and not {', '.join(map(repr, common[1:]))}" if len(common) > 1 else ""
    problem = f"column {common[0]!r} of {what} is taken as {_MEANS[role]}{rest}"
    notices.append(Notice(problem, f"Columns({role}=...) names another"))
    return common[0]


def _missing(what: str, missing: list[str], names: list[str], roles: list[str]) -> InvalidDataError:
    there = ", ".join(map(repr, names))
    how = ", ".join(f"{role}=..." for role in roles)
    return InvalidDataError(
        f"{what} have no column of {' and '.join(missing)}; there are {there}", f"use Columns({how})"
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
