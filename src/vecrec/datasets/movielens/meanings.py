"""What the fields of MovieLens mean."""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import Any

from vecrec.data import Categorical, MultiCategorical, Numeric, Schema, Text
from vecrec.errors import InvalidDataError
from vecrec.records import Record

__all__ = [
    "AGES",
    "ITEM_FEATURES",
    "OCCUPATIONS",
    "age_bracket",
    "occupation_code",
    "schema",
    "split_title",
    "user_record",
]

AGES = MappingProxyType(
    {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56 and over"}
)
"""The age brackets of MovieLens 1M: the value of the feature ``age``, and what it means."""

OCCUPATIONS = MappingProxyType(
    dict(
        enumerate(
            (
                "other", "academic or educator", "artist", "clerical or admin", "college or grad student",
                "customer service", "doctor or health care", "executive or managerial", "farmer", "homemaker",
                "K-12 student", "lawyer", "programmer", "retired", "sales or marketing", "scientist", "self-employed",
                "technician or engineer", "tradesman or craftsman", "unemployed", "writer",
            )
        )
    )
)  # fmt: skip
"""The occupations of MovieLens 1M: the value of the feature ``occupation``, and what it means."""

# The words of MovieLens 100K. Entertainment and librarians have no like among the 21, so they count as "other"; the
# record keeps the word.
_WORDS = {
    "administrator": 3, "artist": 2, "doctor": 6, "educator": 1, "engineer": 17, "entertainment": 0, "executive": 7,
    "healthcare": 6, "homemaker": 9, "lawyer": 11, "librarian": 0, "marketing": 14, "none": 19, "other": 0,
    "programmer": 12, "retired": 13, "salesman": 14, "scientist": 15, "student": 4, "technician": 17, "writer": 20,
}  # fmt: skip

ITEM_FEATURES = (
    Text("title"),
    MultiCategorical("genres", filterable=True),
    Numeric("year", "integer", filterable=True),
)
"""What is known about a movie."""

_USER_FEATURES = (
    Categorical("gender", values=("F", "M")),
    Categorical("age", values=tuple(AGES)),
    Categorical("occupation", values=tuple(OCCUPATIONS)),
)

_CODE_POINT = re.compile(r"&#(\d{2,5});")
_YEAR = re.compile(r"(?P<title>.*\S)\s*\((?P<year>(?:18|19|20)\d\d)\)\s*")
_ARTICLE = re.compile(
    r"(?P<title>.+), (?P<article>The|An?|L'|L[aeo]|Les|Il|Gli|I|El|Los|Las|Der|Die|Das|Den|Det|Une?)(?P<rest> \(.*\))?"
)


@cache
def schema() -> Schema:
    """The features of movies and users, the same for MovieLens 1M and 100K."""
    return Schema(ITEM_FEATURES, _USER_FEATURES)


def split_title(text: str) -> tuple[str, int | None]:
    """A title as it is read, and its year: ``"Matrix, The (1999)"`` gives ``("The Matrix", 1999)``.

    An article that was moved to the end goes back to the front, before an alternative title in parentheses too. A
    title without a year of four digits at its end keeps what it has there.
    """
    # A few titles of MovieLens 1M have characters that latin-1 lacks, written as in HTML.
    text = _CODE_POINT.sub(lambda code: chr(int(code[1])), text)
    match = _YEAR.fullmatch(text)
    title, year = (match["title"], int(match["year"])) if match else (text.strip(), None)
    moved = _ARTICLE.fullmatch(title)
    if moved:
        gap = "" if moved["article"].endswith("'") else " "
        title = f"{moved['article']}{gap}{moved['title']}{moved['rest'] or ''}"
    return title, year


def age_bracket(years: Any) -> int:
    """The bracket of an age in years, as the feature ``age`` has it: 33 gives 25.

    Raises:
        InvalidDataError: for an age that is not a whole number from 0 to 150.
    """
    if isinstance(years, bool) or not isinstance(years, int) or not 0 <= years <= 150:
        raise InvalidDataError(f"age is {years!r}", "give whole years from 0 to 150")
    return max((start for start in AGES if start <= years), default=1)


def occupation_code(word: str, age: int) -> int:
    """The code for an occupation of MovieLens 100K; a student of under 18 years is a K-12 student.

    Raises:
        InvalidDataError: for an unknown word.
    """
    if word not in _WORDS:
        raise InvalidDataError(f"occupation is {word!r}", f"it must be one of {', '.join(sorted(_WORDS))}")
    return 10 if word == "student" and age < 18 else _WORDS[word]


def user_record(gender: str, age: int, occupation: int, occupation_name: str | None = None) -> Record:
    """A user's profile: the three features, and what age and occupation mean. The zip code is left out, for privacy."""
    return {
        "gender": gender,
        "age": age,
        "age_group": AGES.get(age, str(age)),
        "occupation": occupation,
        "occupation_name": occupation_name or OCCUPATIONS.get(occupation, str(occupation)),
    }
