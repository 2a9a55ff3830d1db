"""Where records and events live.

``base`` is the contract, ``memory`` the plain reference, then one module or folder an engine.
"""

from vecrec.metadata_stores.base import MetadataStore
from vecrec.metadata_stores.memory import MemoryMetadataStore

__all__ = ["MemoryMetadataStore", "MetadataStore"]
