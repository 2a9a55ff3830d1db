"""Settings of encoders and rerankers: typed, frozen, checked, and with a typing error named."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, asdict, fields
from typing import Any

from typing_extensions import Self

from vecrec._internal.validation import flag
from vecrec.errors import InvalidDataError, shown

__all__ = ["Configurable", "Settings"]


class Settings:
    """Base of the frozen dataclasses that hold settings; declare them with ``repr=False``."""

    __slots__ = ()

    @classmethod
    def of(cls, value: Self | Mapping[str, Any] | None) -> Self:
        """The settings that a constructor was given.

        Args:
            value: Settings, a mapping of those that differ from the defaults, or ``None`` for the defaults.

        Returns:
            ``value`` itself where it is settings already.

        Raises:
            InvalidDataError: for another type, an unknown name, or a value that cannot be used.
        """
        if value is None:
            return cls()
        if isinstance(value, Mapping):
            return cls.from_json(value)
        if not isinstance(value, cls):
            raise InvalidDataError(f"settings is {shown(value)}", f"give {cls.__name__}(...) or a dictionary")
        return value

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object, which `from_json` reads."""
        values = asdict(self)  # type: ignore[call-overload]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The settings of a JSON object; those that it lacks have their defaults.

        Raises:
            InvalidDataError: for an unknown name, or a value that cannot be used.
        """
        check_names(value, [field.name for field in _fields(cls)], cls.__name__)
        return cls(**value)

    def __repr__(self) -> str:
        shown = {
            field.name: getattr(self, field.name)
            for field in _fields(type(self))
            if field.default is MISSING or getattr(self, field.name) != field.default
        }
        return _call(type(self).__name__, shown)


class Configurable:
    """Has settings that can be read, shown and changed by name, in the way of scikit-learn.

    Every argument of the constructor is an attribute of the same name. Settings in a `Settings` object, or of a part
    that is an argument itself, have two underscores in their name: ``settings__epochs``.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor.

        Args:
            deep: Whether the values in `Settings` and the arguments of parts stand beside them.

        Returns:
            Values by name; the constructor takes those of ``deep=False``.
        """
        deep = flag(deep, "deep")
        params = {name: getattr(self, self._attribute(name)) for name in _arguments(type(self))}
        if deep:
            for name, value in list(params.items()):
                params.update({f"{name}__{inner}": held for inner, held in _inner(value).items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor. What was learnt is forgotten.

        Args:
            params: New values by the names of `get_params`; a setting may be named without ``settings__``.

        Returns:
            The object itself.

        Raises:
            InvalidDataError: for an unknown name, or a value that cannot be used; nothing is changed then.
        """
        if not params:
            return self
        arguments = self.get_params(deep=False)
        inner: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            outer, _, rest = self._full_name(name).partition("__")
            if rest:
                inner.setdefault(outer, {})[rest] = value
            else:
                arguments[outer] = value
        for outer, changes in inner.items():
            arguments[outer] = _changed(arguments[outer], changes)
        fresh = type(self)(**arguments)
        vars(self).clear()
        vars(self).update(vars(fresh))
        return self

    def __repr__(self) -> str:
        defaults = _arguments(type(self))
        shown = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if not (value == defaults[name] or (isinstance(value, Settings) and value == type(value)()))
        }
        return _call(type(self).__name__, shown)

    def _attribute(self, name: str) -> str:
        """The attribute that holds an argument of the constructor as it was given."""
        return name

    def _full_name(self, name: str) -> str:
        known = self.get_params()
        short = [full.removeprefix("settings__") for full in known]
        check_names([name], [*known, *short], type(self).__name__)
        return name if name in known else f"settings__{name}"


def check_names(given: Collection[str], known: Collection[str], what: str) -> None:
    """Refuse names that are not settings, with the nearest one that is.

    Args:
        given: Names of settings.
        known: All that there are.
        what: Whose settings they are.

    Raises:
        InvalidDataError: for the first unknown name.
    """
    for name in given:
        if name not in known:
            from difflib import get_close_matches  # seldom needed

            close = get_close_matches(str(name), [each for each in known if "__" not in each], 1, 0.6)
            cure = (
                f"did you mean {close[0]!r}?" if close else f"the settings are {', '.join(sorted({*known})) or 'none'}"
            )
            raise InvalidDataError(f"{name!r} is not a setting of {what}", cure)


def _arguments(kind: type) -> dict[str, Any]:
    """The arguments of a constructor, each with its default."""
    if kind.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    found = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {each.name: each.default for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}


def _inner(value: Any) -> dict[str, Any]:
    if isinstance(value, Settings):
        return {field.name: getattr(value, field.name) for field in _fields(type(value))}
    return value.get_params() if isinstance(value, Configurable) else {}


def _changed(value: Any, changes: Mapping[str, Any]) -> Any:
    """Settings or a part with some values changed; ``value`` itself stays what it is."""
    if isinstance(value, Settings):
        return type(value).from_json(_inner(value) | dict(changes))
    return type(value)(**value.get_params(deep=False)).set_params(**changes)


def _fields(kind: type) -> tuple[Field[Any], ...]:
    return fields(kind)


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
