"""Where records and events live. ``base`` is the contract, ``memory`` the plain reference, then one module an engine.

The engines' packages are imported when a store that needs them is made.
"""

from vecrec.metadata_stores.base import EventFilter, MetadataStore, ReportsRisks, Risk
from vecrec.metadata_stores.memory import MemoryMetadataStore
from vecrec.metadata_stores.opening import from_url
from vecrec.metadata_stores.redis import RedisMetadataStore
from vecrec.metadata_stores.sql import SQLMetadataStore

__all__ = [
    "EventFilter",
    "MemoryMetadataStore",
    "MetadataStore",
    "RedisMetadataStore",
    "ReportsRisks",
    "Risk",
    "SQLMetadataStore",
    "from_url",
]
