"""The stores and the recommender that settings name."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vecrec._internal.budget import BudgetSpentError, budget
from vecrec._internal.files import writing
from vecrec._internal.validation import instance
from vecrec.config.settings import Settings
from vecrec.errors import StoreUnavailableError
from vecrec.metadata_stores import MetadataStore, from_url
from vecrec.recommender import Recommender, ReleaseChecks
from vecrec.recommender.ownership import Owner, owner_of
from vecrec.releases import Archive
from vecrec.vector_stores.opening import open_vector_store

if TYPE_CHECKING:
    from vecrec.encoders.base import Encoder
    from vecrec.rerankers.base import Reranker

__all__ = ["compose", "open_metadata_store"]


def open_metadata_store(url: str, prefix: str = "") -> MetadataStore:
    """The metadata store that a URL names; the folder of a SQLite file is made.

    Args:
        url: As `vecrec.metadata_stores.from_url` takes it.
        prefix: What the names of its tables or keys begin with; the store's own default where it is empty.
    """
    instance(url, "url", str)
    if url.startswith("sqlite:///") and not url.startswith("sqlite:///:memory:"):
        folder = Path(url.removeprefix("sqlite:///").partition("?")[0]).parent
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    instance(prefix, "prefix", str)
    return from_url(url) if not prefix or url.startswith("memory:") else from_url(url, prefix=prefix)


def _metadata_store(settings: Settings, patience: float | None) -> MetadataStore:
    """The metadata store of settings, under the prefix that its recommender was published with.

    Earlier versions of the command line and of the service used the recommender's name and an underscore. What they
    have published stays there.
    """
    url, archive = settings.metadata_store_url, Archive(settings.artifacts, settings.name)
    store = open_metadata_store(url, settings.metadata_prefix)
    if settings.metadata_prefix or archive.newest() is None or _holds(store, archive, patience):
        return store
    named = open_metadata_store(url, f"{settings.name}_")
    chosen, other = (named, store) if _holds(named, archive, patience) else (store, named)
    other.close()
    return chosen


def _holds(store: MetadataStore, archive: Archive, patience: float | None) -> bool:
    """Whether a store is of the archive's recommender; true where it does not answer, since then it cannot be told."""
    try:
        owner = _owner(store, patience)
    except StoreUnavailableError:
        return True
    identity = archive.identity()
    if owner is None or owner.name != archive.name:
        return False
    return identity is None or owner.catalogue in (None, identity.id)


def _owner(store: MetadataStore, patience: float | None) -> Owner | None:
    try:
        with budget(patience):
            return owner_of(store)
    except BudgetSpentError:  # by the import of the engine's package, which the first call does
        with budget(patience):
            return owner_of(store)


def compose(
    settings: Settings,
    encoder: Encoder | None = None,
    reranker: Reranker | None = None,
    checks: ReleaseChecks | None = None,
    *,
    patience: float | None = None,
) -> Recommender:
    """The recommender that settings name; the caller closes it. It need not have a release yet.

    Args:
        settings: Where its parts are.
        encoder: For a recommender that is to be fitted.
        reranker: A second stage to be fitted.
        checks: What a release must pass.
        patience: Seconds for the question to the metadata store whose it is; by default the store's own timeout.
    """
    with ExitStack() as stack:
        vectors = stack.enter_context(open_vector_store(settings.vector_store_uri, settings.vector_store_token))
        metadata = stack.enter_context(_metadata_store(settings, patience))
        recommender = Recommender(
            encoder,
            vectors,
            metadata,
            reranker=reranker,
            checks=checks,
            name=settings.name,
            artifacts=settings.artifacts,
            max_history=settings.max_history,
            refresh_seconds=settings.refresh_seconds,
            feedback=settings.feedback,
            timeout=settings.request_seconds or None,
            coalesce=settings.coalesce,
        )
        stack.pop_all()
    return recommender
