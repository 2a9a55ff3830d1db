"""Look-up of parts of vecrec and of third parties by their registered names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from vecrec.errors import InvalidDataError, MissingDependencyError

__all__ = ["find_part", "open_registered", "registered"]

_Store = TypeVar("_Store")


def registered(group: str, name: str) -> Any | None:
    """Load what is registered as ``name`` in an entry point group such as ``"vecrec.metadata_stores"``.

    Returns:
        The loaded class or callable; ``None`` when no installed package registers one.
    """
    from importlib.metadata import entry_points  # costs more than the rest of the import of vecrec

    for entry in entry_points(group=group, name=name):
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            raise MissingDependencyError(
                f"what is registered as {name!r} in {group!r} cannot be imported ({error})",
                "install what it needs, or remove its package",
            ) from error
    return None


def open_registered(
    kind: Callable[..., _Store], name: str, factory: Callable[..., Any], address: Any, options: Mapping[str, Any]
) -> _Store:
    """Call what makes a store.

    Args:
        kind: The interface.
        name: What messages call the store.
        factory: Its class, or a function that makes it.
        address: Its first argument.
        options: Its other ones, by name.

    Raises:
        InvalidDataError: for options that it does not take, or when it makes something else.
    """
    try:
        store = factory(address, **options)
    except TypeError as error:
        raise InvalidDataError(
            f"the store {name!r} does not take the options {sorted(options)} ({error})", "leave out the others"
        ) from error
    if not isinstance(store, cast("type[Any]", kind)):
        raise InvalidDataError(
            f"{name!r} is registered as {factory!r}, which does not make a {kind.__name__}",
            f"register a subclass of {kind.__module__}.{kind.__name__}",
        )
    made: _Store = store
    return made


def find_part(group: str, name: str) -> type:
    """Return the class that is registered as ``name`` in an entry point group such as ``"vecrec.encoders"``.

    Raises:
        InvalidDataError: when no installed package registers one.
    """
    from importlib.metadata import entry_points

    part: type | None = registered(group, name)
    if part is None:
        known = sorted(entry.name for entry in entry_points(group=group))
        raise InvalidDataError(
            f"no installed package registers {name!r} in {group!r} (registered: {known or 'none'})",
            "install the package that registers it, or pass the class itself",
        )
    return part
