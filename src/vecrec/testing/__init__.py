"""The conformance kit: subclass it with a fixture to test a custom store, encoder or reranker.

It needs pytest (``pip install 'vecrec-recommender[testing]'``) and takes no part in serving.
"""

from __future__ import annotations

from vecrec._internal.dependencies import requires

with requires("pytest", extra="testing", purpose="the conformance kit"):
    import pytest

# Before the kits are imported, so that their failed assertions show the values that they compared.
pytest.register_assert_rewrite(
    *(f"vecrec.testing.{module}" for module in ("base", "vector_stores", "metadata_stores", "encoders", "rerankers"))
)

from vecrec.testing.encoders import EncoderTests  # noqa: E402
from vecrec.testing.metadata_stores import MetadataStoreTests  # noqa: E402
from vecrec.testing.rerankers import RerankerTests  # noqa: E402
from vecrec.testing.vector_stores import VectorStoreTests  # noqa: E402

__all__ = ["EncoderTests", "MetadataStoreTests", "RerankerTests", "VectorStoreTests"]
