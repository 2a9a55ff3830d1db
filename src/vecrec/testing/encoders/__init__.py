"""The conformance kit of encoders."""

from __future__ import annotations

from vecrec.testing.encoders.explaining import ExplainingTests
from vecrec.testing.encoders.learning import LearningTests
from vecrec.testing.encoders.persistence import PersistenceTests
from vecrec.testing.encoders.vectors import VectorTests

__all__ = ["EncoderTests"]


class EncoderTests(VectorTests, ExplainingTests, LearningTests, PersistenceTests):
    """A test for each promise of `vecrec.encoders.base.Encoder`.

    Subclass it with a class method that makes an unfitted encoder::

        class TestMyEncoder(EncoderTests):
            @classmethod
            def make(cls, seed=0):
                return MyEncoder(dim=16, seed=seed)

    The kit fits it about ten times with a few hundred events, twice in other processes, so the class must be importable
    by its module's name, and its unfitted instances must be picklable. A baseline says with ``personal = False``,
    ``reads_features = False`` or ``seeded = False`` what its vectors do not depend on, and an
    encoder that reads the weights of events says so by `Encoder.reads_weights`. A promise that is not kept is
    declared by overriding its test with ``@pytest.mark.xfail(reason=...)``; any other override fails.
    """
