"""Records and events in Redis: one server or a cluster."""

from vecrec.metadata_stores.redis.store import RedisMetadataStore

__all__ = ["RedisMetadataStore"]
