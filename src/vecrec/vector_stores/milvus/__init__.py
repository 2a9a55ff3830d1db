"""Milvus: Lite, standalone and distributed, through one class.

``store`` is the adapter; ``address``, ``client``, ``lite`` and ``translation`` are the connection; ``catalog``,
``schema``, ``packing`` and ``index`` say how entries are kept; ``expressions``, ``table`` and ``search`` how they are
found.
"""

from vecrec.vector_stores.milvus.index import HNSW, HNSWSQ, IVFSQ8, AutoIndex, Flat, Index, IVFFlat
from vecrec.vector_stores.milvus.store import MilvusVectorStore

__all__ = ["HNSW", "HNSWSQ", "IVFSQ8", "AutoIndex", "Flat", "IVFFlat", "Index", "MilvusVectorStore"]
