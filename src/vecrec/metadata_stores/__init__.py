"""Stores of records and events. ``base`` is the interface, ``memory`` the reference, then one module per engine.

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
