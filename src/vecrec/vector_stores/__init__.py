"""Where item vectors live and are searched.

``base`` is the contract, ``memory`` the plain reference, then one module or folder an engine.
"""

from vecrec.vector_stores.base import CollectionSpec, Entry, VectorStore
from vecrec.vector_stores.memory import MemoryVectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore

__all__ = ["CollectionSpec", "Entry", "MemoryVectorStore", "MilvusVectorStore", "VectorStore"]
