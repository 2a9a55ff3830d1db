"""The conformance kit of vector stores."""

from __future__ import annotations

from vecrec.testing.vector_stores.collections import CollectionTests
from vecrec.testing.vector_stores.connection import ConnectionTests
from vecrec.testing.vector_stores.reads import ReadTests
from vecrec.testing.vector_stores.search import SearchTests
from vecrec.testing.vector_stores.writes import WriteTests

__all__ = ["VectorStoreTests"]


class VectorStoreTests(CollectionTests, WriteTests, SearchTests, ReadTests, ConnectionTests):
    """A test for each promise of `vecrec.vector_stores.base.VectorStore`.

    Subclass it with a fixture ``store`` of scope ``"class"`` and a method ``reopen``::

        class TestMyStore(VectorStoreTests):
            @pytest.fixture(scope="class")
            @classmethod
            def store(cls, tmp_path_factory):
                with MyStore(tmp_path_factory.mktemp("my") / "data", timeout=5) as store:
                    yield store

            def reopen(self, store):
                return MyStore(store.path, timeout=5)

            def unreachable(self):
                return MyStore("my://127.0.0.1:1", timeout=1)

    The kit works in collections of fresh names, which it drops, so the store may hold others. An embedded one says
    ``remote = False`` instead of overriding ``unreachable``; one that lives in its process says ``persistent = False``,
    returns a new empty store from ``reopen``, and overrides ``raw_vectors``. A promise that is not kept is declared by
    overriding its test with ``@pytest.mark.xfail(reason=...)``; any other override fails.
    """
