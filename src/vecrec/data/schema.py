"""Which features items and users have, and what each may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Union

from typing_extensions import TypeAlias

from vecrec.errors import InvalidDataError
from vecrec.filters import FieldType, check_field_name
from vecrec.records import JSON
from vecrec.types import Item, User

__all__ = ["Categorical", "Feature", "MultiCategorical", "Numeric", "Schema", "Text"]


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of several values, such as a gender: ``int``, ``str`` or ``bool``."""

    kind: ClassVar[str] = "categorical"
    name: str
    """The field in the record."""
    values: tuple[int | str, ...] | None = None
    """All the values there can be, others are refused; ``None`` for an open list, where an unseen value counts as unknown."""
    filterable: bool = False
    """Whether ``where`` may ask for it (items only)."""

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field cannot hold ``value``."""
        if not isinstance(value, (int, str)):
            raise InvalidDataError(
                f"feature {self.name!r} of {owner} is {value!r}: give an int, a str or a bool, or leave it out"
            )
        if self.values is not None and not any(
            value == allowed and type(value) is type(allowed) for allowed in self.values
        ):
            raise InvalidDataError(
                f"feature {self.name!r} of {owner} is {value!r}: it must be one of {_short(self.values)}"
            )


@dataclass(frozen=True, slots=True)
class MultiCategorical:
    """Any number of values, such as genres: a list of ``int`` or ``str``."""

    kind: ClassVar[str] = "multi_categorical"
    name: str
    """The field in the record."""
    values: tuple[int | str, ...] | None = None
    """All the values there can be, others are refused; ``None`` for an open list."""
    filterable: bool = False
    """Whether ``where`` may ask for it (items only)."""

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field cannot hold ``value``."""
        if not isinstance(value, list):
            raise InvalidDataError(
                f"feature {self.name!r} of {owner} is {value!r}: give a list of values, or leave it out"
            )
        one = Categorical(self.name, self.values)
        for item in value:
            one.check(item, owner)


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number, such as a price or a year."""

    kind: ClassVar[str] = "numeric"
    name: str
    """The field in the record."""
    filterable: bool = False
    """Whether ``where`` may ask for it (items only)."""

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field cannot hold ``value``."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidDataError(f"feature {self.name!r} of {owner} is {value!r}: give a number, or leave it out")


@dataclass(frozen=True, slots=True)
class Text:
    """Words, such as a title. Not filterable."""

    kind: ClassVar[str] = "text"
    name: str
    """The field in the record."""
    filterable: ClassVar[bool] = False

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field cannot hold ``value``."""
        if not isinstance(value, str):
            raise InvalidDataError(f"feature {self.name!r} of {owner} is {value!r}: give a str, or leave it out")


Feature: TypeAlias = Union[Categorical, MultiCategorical, Numeric, Text]
"""One of the four kinds of features."""
