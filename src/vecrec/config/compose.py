"""The stores and the recommender that settings name."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError
from vecrec.metadata_stores import MetadataStore, from_url
from vecrec.recommender import Recommender
from vecrec.vector_stores.base import VectorStore

if TYPE_CHECKING:
    from vecrec.encoders.base import Encoder
    from vecrec.rerankers.base import Reranker

__all__ = ["compose", "open_metadata_store", "open_vector_store"]


def open_vector_store(uri: str, token: str = "", **options: Any) -> VectorStore:
    """The vector store that a URI names.

    Args:
        uri: ``memory://``; a path that ends in ``.db`` or an address of a Milvus server; or a URI whose scheme is the
            name of an entry point in the group ``vecrec.vector_stores``, a callable that takes the URI and the options.
        token: ``user:password`` or an API key, passed to the store as ``token``.
        options: Passed to the store's constructor.

    Raises:
        InvalidDataError: for a URI that does not name a vector store.
    """
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme == "memory":
        from vecrec.vector_stores import MemoryVectorStore

        return MemoryVectorStore(**options)
    if token:
        options["token"] = token
    for entry in entry_points(group="vecrec.vector_stores", name=scheme) if scheme else ():
        return _made(entry.load(), uri, options)
    from vecrec.vector_stores.milvus import MilvusVectorStore

    return MilvusVectorStore(uri, **options)


def open_metadata_store(url: str, prefix: str) -> MetadataStore:
    """The metadata store that a URL names, its tables or keys under a prefix; the folder of a SQLite file is made."""
    if url.startswith("sqlite:///") and not url.startswith("sqlite:///:memory:"):
        Path(url.removeprefix("sqlite:///").partition("?")[0]).parent.mkdir(parents=True, exist_ok=True)
    return from_url(url) if url.startswith("memory:") else from_url(url, prefix=prefix)


def compose(settings: Settings, encoder: Encoder | None = None, reranker: Reranker | None = None) -> Recommender:
    """The recommender that settings name; the caller closes it. It need not have a release yet."""
    with ExitStack() as stack:
        vectors = stack.enter_context(open_vector_store(settings.vector_store_uri, settings.vector_store_token))
        metadata = stack.enter_context(open_metadata_store(settings.metadata_store_url, settings.prefix))
        recommender = Recommender(
            encoder,
            vectors,
            metadata,
            reranker=reranker,
            name=settings.name,
            artifacts=settings.artifacts,
            max_history=settings.max_history,
            refresh_seconds=settings.refresh_seconds,
            feedback=settings.feedback,
        )
        stack.pop_all()
    return recommender


def _made(factory: Any, uri: str, options: dict[str, Any]) -> VectorStore:
    store = factory(uri, **options)
    if not isinstance(store, VectorStore):
        raise InvalidDataError(
            f"{uri.partition('://')[0]!r} is registered as {factory!r}, which does not return a vector store"
        )
    return store
