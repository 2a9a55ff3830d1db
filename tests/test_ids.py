"""Ids keep their type, and what is none is refused."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrec.errors import InvalidDataError
from vecrec.ids import MAX_ID_BYTES, Id, check_id, check_ids, check_text, decode_id, encode_id, id_order
from vecrec.testing.data import BAD_IDS, HOSTILE_IDS


class Genre(str, enum.Enum):
    CRIME = "crime"


class Size(enum.IntEnum):
    LARGE = 3


_IDS: st.SearchStrategy[Id] = st.integers(-(2**63), 2**63 - 1) | st.text(
    st.characters(codec="utf-8"), max_size=MAX_ID_BYTES // 4
)


@pytest.mark.parametrize("value", HOSTILE_IDS, ids=lambda value: f"{value!r:.20}")
def test_ids_come_back_as_they_are(value: Id) -> None:
    """Every 64-bit integer and every text up to 512 bytes is an id, unchanged."""
    assert check_id(value) == value
    assert type(check_id(value)) is type(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [(np.int64(7), 7), (np.uint8(7), 7), (np.str_("a"), "a"), (Genre.CRIME, "crime"), (Size.LARGE, 3)],
)
def test_ids_become_plain(value: Any, plain: Id) -> None:
    """NumPy scalars and members of enumerations become the ``int`` or ``str`` that they stand for."""
    assert check_id(value) == plain
    assert type(check_id(value)) is type(plain)


@pytest.mark.parametrize("value", [*BAD_IDS, [1], {}, object, np.uint64(2**63), 1j], ids=lambda value: f"{value!r:.20}")
def test_what_is_no_id_is_refused(value: Any) -> None:
    """The message shows the value and names what it was for."""
    with pytest.raises(InvalidDataError, match="user id"):
        check_id(value, "user id")


def test_the_length_counts_bytes() -> None:
    """512 bytes of UTF-8 are the limit, not 512 characters."""
    assert check_id("é" * 256) == "é" * 256
    with pytest.raises(InvalidDataError, match="514 bytes"):
        check_id("é" * 257)


def test_sequences_keep_order_and_duplicates() -> None:
    """Any iterable of ids will do, arrays and generators included."""
    assert check_ids(["b", 1, "b"]) == ["b", 1, "b"]
    assert check_ids(np.array([2, 1, 2])) == [2, 1, 2]
    assert check_ids(value for value in (3, "3")) == [3, "3"]
    assert check_ids([]) == []


@pytest.mark.parametrize("values", ["abc", b"abc", 5, None])
def test_one_id_is_no_sequence(values: Any) -> None:
    """A single string is refused, instead of being taken for its characters."""
    with pytest.raises(InvalidDataError, match="put it into a list"):
        check_ids(values)


@given(_IDS)
def test_encoding_loses_nothing(value: Id) -> None:
    """The tagged text of an id is decoded to the same id of the same type."""
    decoded = decode_id(encode_id(value))
    assert decoded == value
    assert type(decoded) is type(value)


@given(_IDS, _IDS)
def test_encoding_confuses_nothing(one: Id, other: Id) -> None:
    """Two ids have one text only if they are the same."""
    assert (encode_id(one) == encode_id(other)) == (type(one) is type(other) and one == other)


@pytest.mark.parametrize("text", ["", "x1", "i", "ix", "1", " s1"])
def test_other_texts_are_not_decoded(text: str) -> None:
    """What vecrec did not write is no id: it is better to say so than to guess."""
    with pytest.raises(InvalidDataError, match="not an encoded id"):
        decode_id(text)


def test_the_order_puts_integers_first() -> None:
    """Integers by value, then text by code point."""
    ids: list[Id] = ["b", 10, "\U0001f3ac", 2, "B", -1, "", "\uffee"]
    assert sorted(ids, key=id_order) == [-1, 2, 10, "", "B", "b", "\uffee", "\U0001f3ac"]


def test_text_becomes_plain() -> None:
    """A member of an enumeration is its value, not its name, and lone surrogates are refused."""
    assert check_text(Genre.CRIME, "a genre") == "crime"
    assert type(check_text(Genre.CRIME, "a genre")) is str
    with pytest.raises(InvalidDataError, match=r"a genre is '\\ud800'"):
        check_text("\ud800", "a genre")
