"""The conformance kit of rerankers."""

from __future__ import annotations

from vecrec.testing.rerankers.orders import OrderTests
from vecrec.testing.rerankers.persistence import PersistenceTests

__all__ = ["RerankerTests"]


class RerankerTests(OrderTests, PersistenceTests):
    """A test for each promise of `vecrec.rerankers.base.Reranker`.

    Subclass it with a class method that makes an unfitted reranker::

        class TestMyReranker(RerankerTests):
            @classmethod
            def make(cls, seed=0):
                return MyReranker(seed=seed)

    The kit fits it about five times with a few hundred events and the vectors of a `ContentEncoder`, twice in other
    processes, so the class must be importable by its module's name, and its unfitted instances must be picklable. One
    that has nothing to learn says so with ``learns = False``, one without chance with ``seeded = False``. A promise
    that is not kept is declared by overriding its test with ``@pytest.mark.xfail(reason=...)``; any other override
    fails.
    """
