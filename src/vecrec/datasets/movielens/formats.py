"""The formats in which MovieLens is published, read from a directory."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Dataset, Schema
from vecrec.datasets.movielens import meanings
from vecrec.errors import InvalidDataError
from vecrec.records import Record
from vecrec.types import Item, User

__all__ = ["FORMATS", "Format", "find_format", "read_directory"]

_ARROW_ROW = re.compile(r"Row #(?P<row>\d+): (?P<problem>.*)")


@dataclass(frozen=True, slots=True)
class Format:
    """One of the formats."""

    name: str
    """Its name in messages."""
    ratings: str
    """The file of the ratings."""
    items: str
    """The file of the movies."""
    users: str | None
    """The file of the users."""
    separator: str
    """The separator of the fields in all files, except perhaps that of the movies."""
    header: bool
    """Whether each file begins with the names of its columns."""
    read_items: Callable[[Path], list[Item]]
    read_users: Callable[[Path], list[User]] | None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that must be there."""
        return tuple(name for name in (self.ratings, self.items, self.users) if name)


def find_format(directory: Path) -> Format:
    """The format of the files in a directory.

    Raises:
        InvalidDataError: naming what is there and what was looked for.
    """
    try:
        there = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise InvalidDataError(f"the directory {str(directory)!r} cannot be read: {error}") from error
    for found in FORMATS:
        if set(found.files) <= set(there):
            return found
    wanted = "; or ".join(f"{', '.join(found.files)} ({found.name})" for found in FORMATS)
    listed = ", ".join(there[:20]) or "nothing"
    raise InvalidDataError(f"the directory {str(directory)!r} has no MovieLens", f"it has {listed}; it needs {wanted}")


def read_directory(directory: Path, name: str, source: str) -> Dataset:
    """The data set in a directory.

    Raises:
        InvalidDataError: naming the file and the line that cannot be read.
    """
    form = find_format(directory)
    path = directory / form.ratings
    ratings = _read_ratings(path, form.separator, form.header)
    items = form.read_items(directory / form.items)
    known = [("item_id", [item.id for item in items], form.items)]
    users = form.read_users(directory / form.users) if form.users and form.read_users else None
    if users is not None:
        known.append(("user_id", [user.id for user in users], str(form.users)))
    for column, ids, other in known:
        places = np.flatnonzero(~np.isin(ratings[column], np.array(ids, np.int64)))
        if len(places):
            _refuse(path, form.header, places[0], f"{column} {ratings[column][places[0]]} is not in {other}")
    schema = Schema(meanings.ITEM_FEATURES) if users is None else meanings.schema()
    # Published protocols settle equal times by the order of the rows, and so do their figures.
    return Dataset(ratings, items, users, schema, order="rows", name=name, source=source)


def _read_ratings(path: Path, separator: str, header: bool) -> dict[str, NDArray[Any]]:
    """The columns of the ratings, each of shape (n,), in the order of the file."""
    import pyarrow as pa
    import pyarrow.csv as pc

    try:
        # Arrow reads a million rows in a fraction of a second, but only with separators of one character.
        content = path.read_bytes().replace(separator.encode(), b",")
    except OSError as error:
        raise InvalidDataError(f"{path} cannot be read: {error}") from error
    names = ("user_id", "item_id", "rating", "time")
    try:
        table = pc.read_csv(
            pa.BufferReader(content or b"\n"),
            pc.ReadOptions(column_names=names, skip_rows=int(header or not content), use_threads=False),
            pc.ParseOptions(ignore_empty_lines=False),
            # Nothing counts as missing, so an empty field is an error.
            pc.ConvertOptions(
                column_types={name: pa.float64() if name == "rating" else pa.int64() for name in names}, null_values=[]
            ),
        )
    except pa.ArrowInvalid as error:
        found = _ARROW_ROW.search(str(error))
        where = f"{path}, line {found['row']}: {found['problem']}" if found else f"{path} cannot be read: {error}"
        raise InvalidDataError(where, "a line is a user id, a movie id, a rating and a time") from error
    columns = {name: table[name].to_numpy() for name in names}
    rating, time = columns["rating"], columns["time"]
    if not len(rating):
        raise InvalidDataError(f"{path} has no ratings", "the file is cut")
    places = np.flatnonzero(~((rating >= 0.5) & (rating <= 5) & (time >= 0)))
    if len(places):
        value = f"rating {rating[places[0]]:g} at time {time[places[0]]}"
        _refuse(path, header, places[0], f"{value}, expected a rating from 0.5 to 5 and a time of at least 0")
    return columns


def _refuse(path: Path, header: bool, row: int, problem: str) -> NoReturn:
    raise InvalidDataError(f"{path}, line {row + 1 + header}: {problem}", "one of the files is damaged or cut")


def _rows(
    path: Path, separator: str, encoding: str, fields: int, header: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """The place of each line, for messages, and its fields."""
    try:
        # Not splitlines(), which also splits at characters of Latin-1 that occur in titles.
        lines = path.read_text(encoding).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        row = line.rstrip("\r").split(separator)
        if (header and number == 1) or row == [""]:
            continue
        if len(row) < fields:
            raise InvalidDataError(f"{path}, line {number}: {line!r} has {len(row)} fields, expected {fields}")
        yield f"{path}, line {number}", row


def _number(text: str, where: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidDataError(f"{where}: {what} is {text!r}, expected a whole number") from None


def _item(where: str, number: str, title: str, genres: list[str], year: str = "") -> Item:
    text, found = meanings.split_title(title)
    # An atomic file of RecBole has the year beside the title, and something else there where it failed to find it.
    release = int(year) if year.isascii() and year.isdigit() and len(year) == 4 else found
    named = [genre for genre in genres if genre not in ("", "unknown", "(no genres listed)")]
    features: Record = {"title": text, "genres": [*named]}
    if release is not None:
        features["year"] = release
    return Item(_number(number, where, "the movie id"), features)


def _user(where: str, number: str, profile: Record) -> User:
    user = User(_number(number, where, "the user id"), profile)
    try:
        meanings.schema().check_user(user)
    except InvalidDataError as error:
        raise InvalidDataError(f"{where}: {error}") from error
    return user


def _items_1m(path: Path) -> list[Item]:
    # A title may contain the separator, so the fields between the first and the last are the title.
    rows = _rows(path, "::", "latin-1", 3)
    return [_item(where, row[0], "::".join(row[1:-1]), row[-1].split("|")) for where, row in rows]


def _users_1m(path: Path) -> list[User]:
    rows = _rows(path, "::", "latin-1", 4)
    return [_user_of_codes(where, *row[:4]) for where, row in rows]


def _user_of_codes(where: str, number: str, gender: str, age: str, occupation: str) -> User:
    codes = (_number(age, where, "age"), _number(occupation, where, "occupation"))
    return _user(where, number, meanings.user_record(gender, *codes))


_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


def _items_100k(path: Path) -> list[Item]:
    rows = _rows(path, "|", "latin-1", 5 + len(_GENRES_100K))
    return [
        _item(where, row[0], row[1], [genre for genre, flag in zip(_GENRES_100K, row[5:]) if flag == "1"])
        for where, row in rows
    ]


def _user_of_words(where: str, number: str, years: str, gender: str, word: str) -> User:
    age = _number(years, where, "age")
    try:
        bracket, code = meanings.age_bracket(age), meanings.occupation_code(word, age)
    except InvalidDataError as error:
        raise InvalidDataError(f"{where}: {error}") from error
    return _user(where, number, meanings.user_record(gender, bracket, code, word))


def _users_100k(path: Path) -> list[User]:
    return [_user_of_words(where, *row[:4]) for where, row in _rows(path, "|", "latin-1", 4)]


def _items_recbole(path: Path) -> list[Item]:
    rows = _rows(path, "\t", "utf-8", 4, header=True)
    return [_item(where, row[0], row[1], row[3].split(" "), row[2]) for where, row in rows]


def _users_recbole(path: Path) -> list[User]:
    return [_user_of_words(where, *row[:4]) for where, row in _rows(path, "\t", "utf-8", 4, header=True)]


def _items_latest(path: Path) -> list[Item]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(f"{path}, row {number}", row) for number, row in enumerate(csv.reader(file), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidDataError(f"{path} cannot be read: {error}") from error
    for where, row in rows:
        if len(row) != 3:
            raise InvalidDataError(f"{where}: {row!r} has {len(row)} fields, expected movieId, title, genres")
    return [_item(where, row[0], row[1], row[2].split("|")) for where, row in rows[1:]]


FORMATS = (
    Format("the format of 1M", "ratings.dat", "movies.dat", "users.dat", "::", False, _items_1m, _users_1m),
    Format("the format of 100K", "u.data", "u.item", "u.user", "\t", False, _items_100k, _users_100k),
    Format("the format of latest-small", "ratings.csv", "movies.csv", None, ",", True, _items_latest, None),
    Format(
        "the atomic files of RecBole",
        "ml-100k.inter",
        "ml-100k.item",
        "ml-100k.user",
        "\t",
        True,
        _items_recbole,
        _users_recbole,
    ),
)
"""Every format, with the one that is looked for first in front."""
