"""A class of the kit that has been hollowed out does not pass."""

from __future__ import annotations

import pytest

from tests.testing.runner import outcomes
from tests.testing.suites import hollow
from vecrec.testing import EncoderTests, MetadataStoreTests, RerankerTests, VectorStoreTests
from vecrec.testing.base import expected

_GUARD = "test_no_test_of_the_kit_is_overridden"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """How the tests of the classes in `hollow` ended."""
    chosen = [
        f"{hollow.__file__}::{suite}::{test}"
        for suite in hollow.SUITES
        for test in (_GUARD, "test_ping_returns_while_the_engine_answers")
        if (suite, test) != ("TestDeleted", "test_ping_returns_while_the_engine_answers")  # it is deleted there
    ]
    return outcomes(chosen, tmp_path_factory.mktemp("hollow"))


@pytest.mark.parametrize("suite", ["TestReplaced", "TestReplacedInABase", "TestDeleted", "TestSkipped", "TestNoReason"])
def test_a_hollow_class_fails(ended: dict[tuple[str, str], set[str]], suite: str) -> None:
    """A test replaced, deleted, skipped, or marked without a reason is told by the guard."""
    assert ended[suite, _GUARD] == {"failed"}


def test_the_other_tests_of_a_hollow_class_still_run(ended: dict[tuple[str, str], set[str]]) -> None:
    """The guard adds a failure and hides none."""
    assert ended["TestReplaced", "test_ping_returns_while_the_engine_answers"] == {"passed"}


def test_a_promise_given_up_with_a_reason_is_no_failure(ended: dict[tuple[str, str], set[str]]) -> None:
    """``xfail(reason=...)`` declares what is not kept, and tests of one's own may be added."""
    assert ended["TestDeclared", _GUARD] == {"passed"}
    assert ended["TestDeclared", "test_ping_returns_while_the_engine_answers"] == {"skipped"}


@pytest.mark.parametrize("kit", [VectorStoreTests, MetadataStoreTests, EncoderTests, RerankerTests])
def test_the_guard_cannot_be_taken_away(kit: type) -> None:
    """Neither the guard nor the collection of the class can be overridden: such a class is not even made."""
    with pytest.raises(TypeError, match="remove the override"):
        type("TestMine", (kit,), {_GUARD: lambda self: None})
    with pytest.raises(TypeError, match="remove it"):
        type("TestMine", (kit,), {"__test__": False})


def test_nothing_is_not_compared() -> None:
    """An expected value that is empty fails, instead of equalling whatever empty answer a store gives."""
    with pytest.raises(AssertionError, match="whatever the part does"):
        expected([])
    assert expected([1]) == [1]
