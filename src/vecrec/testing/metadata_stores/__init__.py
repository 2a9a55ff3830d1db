"""The conformance kit of metadata stores."""

from __future__ import annotations

from vecrec.testing.metadata_stores.connection import ConnectionTests
from vecrec.testing.metadata_stores.events import EventTests
from vecrec.testing.metadata_stores.records import RecordTests
from vecrec.testing.metadata_stores.scans import ScanTests

__all__ = ["MetadataStoreTests"]


class MetadataStoreTests(RecordTests, ScanTests, EventTests, ConnectionTests):
    """A test for each promise of `vecrec.metadata_stores.base.MetadataStore`.

    Subclass it with a fixture ``store``, of any scope, and a method ``reopen``::

        class TestMyStore(MetadataStoreTests):
            @pytest.fixture
            def store(self, tmp_path):
                with MyStore(tmp_path / "data", timeout=5) as store:
                    yield store

            def reopen(self, store):
                return MyStore(store.path, timeout=5)

            def unreachable(self):
                return MyStore("my://127.0.0.1:1", timeout=1)

    The kit works with kinds and users of fresh names, so the store may hold others; only the users of `HOSTILE_IDS`,
    whose events it deletes, are always the same. An embedded store says
    ``remote = False`` instead of giving ``unreachable``; one that lives in its process says ``persistent = False``,
    gives a new empty store from ``reopen``, and gives ``raw_record``. One whose engine cannot write a batch as one says
    ``atomic = False``; one that can count its requests gives ``round_trips``. A promise that is not kept is declared by
    overriding its test with ``@pytest.mark.xfail(reason=...)``; any other override fails.
    """
