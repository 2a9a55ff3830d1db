"""What a store knows of the collections that there are, for some seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vecrec.errors import CollectionNotFoundError, StoreError
from vecrec.vector_stores.milvus.layout import Layout

if TYPE_CHECKING:
    from vecrec.vector_stores.milvus.client import Client

__all__ = ["Catalog"]

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Known:
    layout: Layout
    until: float


class Catalog:
    """The layouts of collections, asked of the engine and remembered for some seconds."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, _Known] = {}

    def layout(self, collection: str) -> Layout | None:
        """How a collection is laid out; ``None`` if there is none that vecrec has made."""
        known = self._known.get(collection)
        if known is not None and time.monotonic() < known.until:
            self._client.engine()  # raises where the store is closed or not this process's
            return known.layout
        record = self.describe(collection)
        layout = None if record is None else Layout.read(record)
        if layout is None:
            self.forget(collection)
        else:
            # Not for ever: another process may drop the collection and create it again.
            self._known[collection] = _Known(layout, time.monotonic() + _SECONDS)
        return layout

    def describe(self, collection: str) -> Any:
        """What the engine says of a collection, of vecrec's or not; ``None`` if it does not exist."""
        try:
            return self._client.direct(f"look at {collection!r}", "describe_collection", collection)
        except CollectionNotFoundError:
            return None

    def forget(self, collection: str) -> None:
        """Ask the engine again the next time."""
        self._known.pop(collection, None)

    @contextlib.contextmanager
    def about(self, collection: str) -> Iterator[None]:
        """Forget what is known of a collection when a call about it fails: it may have been dropped or replaced."""
        try:
            yield
        except StoreError:
            self.forget(collection)
            raise
