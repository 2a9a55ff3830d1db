"""Numbers for values: the rows of an embedding table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vecrec._internal import validation
from vecrec._internal.files import reading, writing
from vecrec.data.features import Value
from vecrec.errors import InvalidDataError, shown
from vecrec.records import Record

__all__ = ["Vocabulary"]

_FORMAT = 1


class Vocabulary:
    """A numbering of values that depends on nothing but which values there are.

    Index 0 is padding and stands for no value. Index 1 is the unknown value. The values follow from 2 on: booleans,
    then integers, then text, each in ascending order, whatever the order in which they were given. ``1``, ``"1"`` and
    ``True`` are three values.

    Args:
        values: ``int``, ``str`` or ``bool``; repeated ones count once.

    Raises:
        InvalidDataError: for a value of another type.
    """

    PADDING: ClassVar[int] = 0
    """The index of no value, such as a place before the first event of a history."""
    UNKNOWN: ClassVar[int] = 1
    """The index of a value that is not in the vocabulary, and of ``None``."""

    __slots__ = ("_booleans", "_index", "values")

    values: tuple[Value, ...]
    """The values, the one of index 2 first."""

    def __init__(self, values: Iterable[Value]) -> None:
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise InvalidDataError(f"a vocabulary is made of a list of values, got {values!r}", "put it into a list")
        booleans, integers, texts = _by_type(values)
        self.values = (*sorted(booleans), *sorted(integers), *sorted(texts))
        # True equals 1 as a key of a dict, so booleans have one of their own.
        self._booleans = {value: index for index, value in enumerate(sorted(booleans), 2)}
        rest = self.values[len(booleans) :]
        self._index: dict[Any, int] = {value: index for index, value in enumerate(rest, 2 + len(booleans))}

    @property
    def size(self) -> int:
        """How many indexes there are, padding and unknown included: the rows of an embedding table."""
        return len(self.values) + 2

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Value]:
        return iter(self.values)

    def __contains__(self, value: object) -> bool:
        return self.index(value) != self.UNKNOWN

    def __eq__(self, other: object) -> bool:
        # Not the tuples alone: (True,) == (1,).
        return isinstance(other, Vocabulary) and self._index == other._index and self._booleans == other._booleans

    def __hash__(self) -> int:
        return hash(self.values)

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.values[:5])) + (", ..." if len(self.values) > 5 else "")
        return f"Vocabulary({len(self.values):,} values: {shown})"

    def index(self, value: Any) -> int:
        """The index of a value of any type; `UNKNOWN` for one that is not in the vocabulary."""
        kind = type(value)
        if kind is int or kind is str:
            return self._index.get(value, 1)
        if isinstance(value, (bool, np.bool_)):
            return self._booleans.get(bool(value), 1)
        if isinstance(value, (np.integer, np.str_)):
            return self._index.get(value.item(), 1)
        return 1

    def indexes(self, values: Iterable[Any]) -> NDArray[np.int32]:
        """The index of each value, shape (n,)."""
        listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
        # A million plain values go through one dict; anything else is looked at one by one.
        if set(map(type, listed)) <= {int, str, type(None)}:
            find = self._index.get
            return np.fromiter(map(find, listed, repeat(1)), np.int32, len(listed))
        return np.fromiter(map(self.index, listed), np.int32, len(listed))

    def value(self, index: int) -> Value | None:
        """The value of an index; ``None`` for padding and unknown.

        Raises:
            InvalidDataError: for an index out of range.
        """
        if not 0 <= index < self.size:
            raise InvalidDataError(
                f"index {index!r} is not in the vocabulary", f"give an int from 0 to {self.size - 1}"
            )
        return None if index < 2 else self.values[index - 2]

    def to_json(self) -> Record:
        """The vocabulary as a JSON object, which `from_json` reads."""
        return {"format": _FORMAT, "values": list(self.values)}

    @classmethod
    def from_json(cls, value: Any) -> Vocabulary:
        """The vocabulary that `to_json` has written.

        Raises:
            InvalidDataError: for anything else.
        """
        values = value.get("values") if isinstance(value, Mapping) and value.get("format") == _FORMAT else None
        if not isinstance(values, list):
            raise InvalidDataError(
                f"expected a vocabulary of format {_FORMAT}, got {shown(value)}", "write it by Vocabulary.save"
            )
        made = cls(values)
        # Anything else was edited or damaged, and would number values otherwise than the model that came with it.
        if len(made.values) != len(values) or any(a is not b and a != b for a, b in zip(made.values, values)):
            raise InvalidDataError("a vocabulary's values are out of order or repeated", "the file was changed")
        return made

    def save(self, path: str | Path) -> None:
        """Write the vocabulary into a JSON file."""
        where = validation.path_of(path, "path")
        with writing(where):
            where.write_text(json.dumps(self.to_json(), separators=(",", ":")), "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """The vocabulary in a JSON file.

        Raises:
            InvalidDataError: when the file is missing or is not a vocabulary.
        """
        where = validation.path_of(path, "path")
        with reading(f"{where} is not a readable vocabulary", "write it by save"):
            return cls.from_json(json.loads(where.read_text("utf-8")))


def _by_type(values: Iterable[Any]) -> tuple[set[bool], set[int], set[str]]:
    booleans: set[bool] = set()
    integers: set[int] = set()
    texts: set[str] = set()
    for value in values:
        if isinstance(value, (bool, np.bool_)):
            booleans.add(bool(value))
        elif isinstance(value, (int, np.integer)):
            integers.add(int(value))
        elif isinstance(value, str):
            texts.add(str(value))
        else:
            raise InvalidDataError(
                f"a vocabulary cannot hold {value!r} of type {type(value).__name__}", "give int, str or bool"
            )
    return booleans, integers, texts
