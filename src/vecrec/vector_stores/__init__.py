"""Where item vectors live and are searched.

``base`` is the contract, ``memory`` the plain reference, then one module or folder an engine.
"""

from typing import TYPE_CHECKING

from vecrec.vector_stores.base import CollectionSpec, Entry, VectorStore
from vecrec.vector_stores.memory import MemoryVectorStore

if TYPE_CHECKING:
    from vecrec.vector_stores.milvus import MilvusVectorStore

__all__ = ["CollectionSpec", "Entry", "MemoryVectorStore", "MilvusVectorStore", "VectorStore"]


def __getattr__(name: str) -> object:
    # Not before it is asked for, since everything that imports vecrec comes by here.
    if name == "MilvusVectorStore":
        from vecrec.vector_stores.milvus import MilvusVectorStore

        return MilvusVectorStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
