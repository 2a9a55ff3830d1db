"""Where records and events live. ``base`` is the contract, ``memory`` the plain reference, then one module an engine.

The engines' packages are imported when a store that needs them is made.
"""

from vecrec.metadata_stores.base import MetadataStore, ReportsRisks
from vecrec.metadata_stores.memory import MemoryMetadataStore
from vecrec.metadata_stores.opening import from_url
from vecrec.metadata_stores.redis import RedisMetadataStore
from vecrec.metadata_stores.sql import SQLMetadataStore

__all__ = [
    "MemoryMetadataStore",
    "MetadataStore",
    "RedisMetadataStore",
    "ReportsRisks",
    "SQLMetadataStore",
    "from_url",
]
