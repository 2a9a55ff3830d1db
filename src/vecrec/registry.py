"""Look-up of parts of vecrec and of third parties by their registered names."""

from __future__ import annotations

from typing import Any

from vecrec.errors import InvalidDataError

__all__ = ["find_part", "registered"]


def registered(group: str, name: str) -> Any | None:
    """Load what is registered as ``name`` in an entry point group such as ``"vecrec.metadata_stores"``.

    Returns:
        The loaded class or callable; ``None`` when no installed package registers one.
    """
    from importlib.metadata import entry_points  # costs more than the rest of the import of vecrec

    for entry in entry_points(group=group, name=name):
        return entry.load()
    return None


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
