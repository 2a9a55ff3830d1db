"""The formats in which MovieLens is published, read from a directory."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vecrec.data import Dataset, Schema
from vecrec.datasets.movielens import meanings
from vecrec.datasets.movielens.ratings import read_ratings
from vecrec.errors import InvalidDataError
from vecrec.records import Record
from vecrec.types import Item, User

__all__ = ["FORMATS", "Format", "find_format", "read_directory"]


@dataclass(frozen=True, slots=True)
class Format:
    """One of the formats."""

    name: str
    """What messages call it."""
    ratings: str
    """The file of the ratings."""
    items: str
    """The file of the movies."""
    users: str | None
    """The file of the users."""
    separator: str
    """What stands between the fields of all files, the movies' file perhaps aside."""
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
        InvalidDataError: naming the file and the line of what cannot be read.
    """
    form = find_format(directory)
    items_path = directory / form.items
    ratings = read_ratings(directory / form.ratings, form.separator, header=form.header)
    items = form.read_items(items_path)
    ratings.check_known("item_id", [item.id for item in items], items_path)
    if form.users is None or form.read_users is None:
        # Published protocols settle equal times by the order of the rows, and so do their figures.
        schema = Schema(meanings.ITEM_FEATURES)
        return Dataset(ratings.columns, items, None, schema, order="rows", name=name, source=source)
    users_path = directory / form.users
    users = form.read_users(users_path)
    ratings.check_known("user_id", [user.id for user in users], users_path)
    return Dataset(ratings.columns, items, users, meanings.schema(), order="rows", name=name, source=source)


def _rows(
    path: Path, separator: str, encoding: str, fields: int, header: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """Each line's place, for messages, and its fields."""
    try:
        lines = path.read_text(encoding).splitlines() if encoding != "latin-1" else path.read_text(encoding).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        row = line.rstrip("\r\n").split(separator)
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
