"""Vector stores, which store and search item vectors.

``base`` is the interface, ``memory`` the reference, then one module or folder per engine.
"""

from typing import TYPE_CHECKING

from vecrec.vector_stores.base import CollectionSpec, Entry, VectorStore
from vecrec.vector_stores.memory import MemoryVectorStore
from vecrec.vector_stores.opening import open_vector_store

if TYPE_CHECKING:
    from vecrec.vector_stores.file import FileVectorStore
    from vecrec.vector_stores.milvus import MilvusVectorStore

__all__ = [
    "CollectionSpec", "Entry", "FileVectorStore", "MemoryVectorStore", "MilvusVectorStore", "VectorStore",
    "open_vector_store",
]  # fmt: skip


def __getattr__(name: str) -> object:
    # Only when asked for, since every import of vecrec imports this module.
    if name == "FileVectorStore":
        from vecrec.vector_stores.file import FileVectorStore

        return FileVectorStore
    if name == "MilvusVectorStore":
        from vecrec.vector_stores.milvus import MilvusVectorStore

        return MilvusVectorStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
