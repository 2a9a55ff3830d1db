"""The stores and the recommender that settings name."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vecrec.config.settings import Settings
from vecrec.metadata_stores import MetadataStore, from_url
from vecrec.recommender import Recommender
from vecrec.vector_stores.opening import open_vector_store

if TYPE_CHECKING:
    from vecrec.encoders.base import Encoder
    from vecrec.rerankers.base import Reranker

__all__ = ["compose", "open_metadata_store"]


def open_metadata_store(url: str, prefix: str) -> MetadataStore:
    """The metadata store that a URL names, its tables or keys under a prefix; the folder of a SQLite file is made."""
    if url.startswith("sqlite:///") and not url.startswith("sqlite:///:memory:"):
        Path(url.removeprefix("sqlite:///").partition("?")[0]).parent.mkdir(parents=True, exist_ok=True)
    return from_url(url) if url.startswith("memory:") else from_url(url, prefix=prefix)


def compose(settings: Settings, encoder: Encoder | None = None, reranker: Reranker | None = None) -> Recommender:
    """The recommender of some settings, for its caller to close. It need not have a release yet."""
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
            dislike_rating=settings.dislike_rating,
        )
        stack.pop_all()
    return recommender
