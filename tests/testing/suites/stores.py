"""A class of the kit for each wrong store."""

from __future__ import annotations

from tests.testing.references import SharedMetadataStore, SharedMetadataStoreTests, SharedVectorStoreTests
from tests.testing.wrong import (
    CAUGHT_BY,
    metadata_events,
    metadata_reads,
    metadata_records,
    vector_collections,
    vector_reads,
    vector_search,
    vector_writes,
)

MODULES = (
    vector_collections, vector_writes, vector_search, vector_reads, metadata_records, metadata_reads, metadata_events,
)  # fmt: skip

for _part in [part for part in CAUGHT_BY if part.__module__ in {module.__name__ for module in MODULES}]:
    _kit = SharedMetadataStoreTests if issubclass(_part, SharedMetadataStore) else SharedVectorStoreTests
    _name = f"Test_{_part.__module__.rpartition('.')[2]}_{_part.__name__}"
    globals()[_name] = type(_name, (_kit,), {"make": _part, "__module__": __name__})
