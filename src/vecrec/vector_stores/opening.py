"""Vector stores by URI."""

from __future__ import annotations

import os
from typing import Any

from vecrec.errors import InvalidDataError, shown
from vecrec.registry import open_registered, registered
from vecrec.vector_stores.base import VectorStore

__all__ = ["open_vector_store"]

_GROUP = "vecrec.vector_stores"


def open_vector_store(uri: str | os.PathLike[str], token: str = "", **options: Any) -> VectorStore:
    """The vector store that a URI names.

    Args:
        uri: ``memory://``; a path that ends in ``.db``, of Milvus Lite, or in ``.vec``, of a `FileVectorStore`, whose
            path may also follow ``file://``; the address of a Milvus server; or a URI whose scheme is the name of an
            entry point in the group ``vecrec.vector_stores``, which is a callable that takes the URI.
        token: Milvus's ``user:password`` or API key. A registered store gets it as the option ``token``; those in
            memory and in files have no use for one.
        options: Passed to the store's constructor.

    Raises:
        InvalidDataError: for a URI that does not name a store, or options that the store does not take.
        MissingDependencyError: if the store's package is not installed.
    """
    try:
        text = str(os.fspath(uri))
    except TypeError as error:
        raise InvalidDataError(f"the URI of the vector store is {shown(uri)}", "give a str or a path") from error
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme == "memory":
        from vecrec.vector_stores.memory import MemoryVectorStore

        return open_registered(VectorStore, "memory", lambda _, **given: MemoryVectorStore(**given), text, options)
    if scheme == "file" or (not scheme and text.endswith(".vec")):
        from vecrec.vector_stores.file import FileVectorStore

        return open_registered(VectorStore, "file", FileVectorStore, text, options)
    if token:
        options["token"] = token
    factory = registered(_GROUP, scheme) if scheme else None
    if factory is not None:
        return open_registered(VectorStore, scheme, factory, text, options)
    from vecrec.vector_stores.milvus import MilvusVectorStore

    return open_registered(VectorStore, "milvus", MilvusVectorStore, text, options)
