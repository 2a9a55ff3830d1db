"""Stores by URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vecrec.errors import InvalidDataError
from vecrec.metadata_stores.base import MetadataStore
from vecrec.metadata_stores.memory import MemoryMetadataStore
from vecrec.metadata_stores.redis import RedisMetadataStore
from vecrec.metadata_stores.sql import SQLMetadataStore
from vecrec.registry import open_registered, registered

__all__ = ["from_url"]

_OWN: dict[str, Callable[..., MetadataStore]] = {
    "memory": lambda url, **options: MemoryMetadataStore(**options),
    **dict.fromkeys(("redis", "rediss", "unix"), RedisMetadataStore),
    **dict.fromkeys(("sqlite", "mysql", "mariadb", "postgresql"), SQLMetadataStore),
}


def from_url(url: str, **options: Any) -> MetadataStore:
    """The store that a URL names.

    Args:
        url: ``memory://``, ``sqlite:///file.db``, ``redis://host:6379/0``, ``redis+cluster://host:6379``,
            ``mysql+pymysql://user:password@host/database``, ``mariadb+pymysql://``, ``postgresql+psycopg://``; or one
            whose scheme, up to a ``+``, is the name of an entry point in the group ``vecrec.metadata_stores``: a
            callable that takes the URL and the options.
        options: Passed to the store's constructor.

    Raises:
        InvalidDataError: for a URL of an unknown scheme, or options that the store does not take.
        MissingDependencyError: if the store's package is not installed.
    """
    given: Any = url  # whatever the types say
    scheme = given.partition("://")[0] if isinstance(given, str) and "://" in given else ""
    name = scheme.partition("+")[0]
    store: Callable[..., MetadataStore] | None = _OWN.get(name) or registered("vecrec.metadata_stores", name)
    if store is None:
        # Only the scheme is shown: the rest may hold a password.
        raise InvalidDataError(
            f"no metadata store is known for URLs that begin with {scheme!r}",
            "use memory://, sqlite:///file.db, redis://, mysql+pymysql://, mariadb+pymysql:// or postgresql+psycopg://",
        )
    return open_registered(MetadataStore, name, store, url, options)
