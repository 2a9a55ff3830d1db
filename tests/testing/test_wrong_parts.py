"""Every test of the kit catches a part that breaks its promise: none of them is there for show."""

from __future__ import annotations

import pytest

from tests.testing.references import SharedMetadataStore, SharedVectorStore
from tests.testing.runner import outcomes
from tests.testing.suites import encoders, rerankers, stores
from tests.testing.wrong import CAUGHT_BY
from vecrec.encoders import Encoder
from vecrec.rerankers import Reranker
from vecrec.testing import EncoderTests, MetadataStoreTests, RerankerTests, VectorStoreTests

# The fixture runs the kit on some 240 wrong parts.
pytestmark = pytest.mark.timeout(1_800)

_GUARD = "test_no_test_of_the_kit_is_overridden"  # proven in test_hollow_kits.py


def _suite(part: type) -> str:
    return f"Test_{part.__module__.rpartition('.')[2]}_{part.__name__}"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """How the tests ended that should catch the wrong parts, all of them in one run."""
    kinds = {encoders: (Encoder,), rerankers: (Reranker,), stores: (SharedVectorStore, SharedMetadataStore)}
    tests = [
        f"{module.__file__}::{_suite(part)}::{CAUGHT_BY[part]}"
        for module, kind in kinds.items()
        for part in CAUGHT_BY
        if issubclass(part, kind)
    ]
    return outcomes(tests, tmp_path_factory.mktemp("wrong"))


@pytest.mark.parametrize("part", CAUGHT_BY, ids=_suite)
def test_a_wrong_part_is_caught(ended: dict[tuple[str, str], set[str]], part: type) -> None:
    """The test named beside the part fails on it, by a failed assertion of its own and not in the preparation."""
    found = ended[_suite(part), CAUGHT_BY[part]]
    assert "failed" in found
    assert found <= {"failed", "passed"}


@pytest.mark.parametrize(
    ("kit", "kind"),
    [
        (VectorStoreTests, SharedVectorStore),
        (MetadataStoreTests, SharedMetadataStore),
        (EncoderTests, Encoder),
        (RerankerTests, Reranker),
    ],
)
def test_every_test_of_the_kit_has_a_part_that_it_catches(kit: type, kind: type) -> None:
    """No test of the kit is there that nothing can fail."""
    tests = {name for name in dir(kit) if name.startswith("test_")} - {_GUARD}
    caught = {test for part, test in CAUGHT_BY.items() if issubclass(part, kind)}
    assert tests
    assert tests == caught
