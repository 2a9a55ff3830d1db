"""Records and events in a SQL database: SQLite, MySQL, MariaDB or PostgreSQL."""

from vecrec.metadata_stores.sql.store import SQLMetadataStore

__all__ = ["SQLMetadataStore"]
