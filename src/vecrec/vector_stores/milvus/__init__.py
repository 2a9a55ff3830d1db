"""Milvus: Lite, standalone and distributed, through one class.

``store`` is the adapter; ``client``, ``errors`` and ``lite`` are the connection; ``collections``, ``layout`` and
``index`` say how entries are kept; ``filters``, ``reads`` and ``writes`` are what is asked of the engine.
"""

from vecrec.vector_stores.milvus.index import HNSW, HNSWSQ, IVFSQ8, AutoIndex, Flat, Index, IVFFlat
from vecrec.vector_stores.milvus.store import MilvusVectorStore

__all__ = ["HNSW", "HNSWSQ", "IVFSQ8", "AutoIndex", "Flat", "IVFFlat", "Index", "MilvusVectorStore"]
