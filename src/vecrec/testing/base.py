"""What the kits share: the guard against hollow test classes, and helpers that compare without being fooled."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from vecrec.errors import InvalidDataError, StoreTimeoutError, StoreUnavailableError

__all__ = ["ConformanceTests", "eventually", "expected", "hanging", "refused", "run_together", "same", "same_ids"]

_SizedT = TypeVar("_SizedT", bound=Sized)
_GUARD = "test_no_test_of_the_kit_is_overridden"


class ConformanceTests:
    """Base of the kits.

    A subclass may add tests. It may replace one of the kit's only to declare, with ``@pytest.mark.xfail(reason=...)``,
    which promise is not kept and why.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if _is_kit(cls):
            return
        # Neither of these would leave the guard itself running.
        if not getattr(cls, "__test__", True):
            raise TypeError(f"{cls.__name__} sets __test__ = False, which would run none of the kit's tests: remove it")
        if _owner(cls, _GUARD) is not None:
            raise TypeError(f"{cls.__name__} overrides {_GUARD}: remove the override")

    def test_no_test_of_the_kit_is_overridden(self) -> None:
        """A test of the kit is run as it is, or marked with ``xfail(reason=...)``."""
        names = expected([name for name in dir(type(self)) if name.startswith("test_")])
        hollow = [name for name in names if not _is_honest(type(self), name)]
        assert not hollow, (
            f"{type(self).__name__} replaces {hollow} of the conformance kit: remove the override, or mark it with "
            "@pytest.mark.xfail(reason=...) to declare which promise is not kept"
        )


def expected(values: _SizedT) -> _SizedT:
    """The values that a test is about to compare with, once it is certain that there are some."""
    assert len(values) > 0, "there is nothing to compare with: this test would pass whatever the part does"
    return values


def same(left: Any, right: Any) -> bool:
    """Whether JSON values are equal with all their types: ``1``, ``1.0``, ``True`` differ, and ``0.0``, ``-0.0``."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return same_ids(left, right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


def same_ids(left: Iterable[Any], right: Iterable[Any]) -> bool:
    """Whether two collections hold the same ids, each as often and of the same type, in any order."""
    return sorted(map(repr, left)) == sorted(map(repr, right))


def refused(cases: Mapping[str, Callable[[], object]], error: type[Exception] = InvalidDataError) -> None:
    """Check that every attempt raises ``error``, and name those that do not."""
    wrong = [f"{name}: {problem}" for name, problem in _problems(cases, error)]
    assert not wrong, f"expected {error.__name__} from each of these:\n" + "\n".join(wrong)


@contextmanager
def hanging(store: object) -> Iterator[list[str]]:
    """Let whatever a store asks of its engine wait in vain; the names of its own methods that were called, in order."""
    calls: list[str] = []

    def hang(name: str) -> Callable[..., None]:
        def call(*arguments: object, **options: object) -> None:
            calls.append(name)
            time.sleep(0.3)  # as the shortest timeout that tells a hung engine from a slow one
            raise StoreTimeoutError("the engine hangs", "look at it")

        return call

    names = {name for base in type(store).__mro__ for name in getattr(base, "__abstractmethods__", ())} - {"close"}
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(store, name, hang(name))
        yield calls


def eventually(call: Callable[[], object], seconds: float = 60) -> None:
    """Repeat a call until the engine answers it.

    Raises:
        StoreUnavailableError: when it still does not after some seconds.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            call()
        except StoreUnavailableError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


def run_together(tasks: Iterable[Callable[[], object]], timeout: float = 60) -> None:
    """Run tasks in threads that start at the same moment, and raise the first error of any."""
    waiting = list(tasks)
    barrier = threading.Barrier(len(waiting))
    errors: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            barrier.wait(timeout)
            task()
        except BaseException as error:  # noqa: BLE001  # raised again below, in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in waiting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), f"a thread did not finish within {timeout} s"


def _problems(cases: Mapping[str, Callable[[], object]], error: type[Exception]) -> Iterator[tuple[str, str]]:
    for name, attempt in cases.items():
        problem = _problem(attempt, error)
        if problem is not None:
            yield name, problem


def _problem(attempt: Callable[[], object], error: type[Exception]) -> str | None:
    try:
        attempt()
    except error:
        return None
    except Exception as other:  # noqa: BLE001  # whatever it is, it is the wrong one
        return f"{type(other).__name__}: {other}"
    return "was accepted"


def _is_kit(cls: type) -> bool:
    return cls.__module__.startswith("vecrec.testing.")


def _owner(cls: type, name: str) -> type | None:
    """The class outside the kit that replaces the kit's ``name``, if one does."""
    owners = [base for base in cls.__mro__ if name in vars(base)]
    replaced = any(_is_kit(base) for base in owners) and not _is_kit(owners[0])
    return owners[0] if replaced else None


def _is_honest(cls: type, name: str) -> bool:
    owner = _owner(cls, name)
    if owner is None:
        return True
    marks = getattr(vars(owner)[name], "pytestmark", [])
    return any(isinstance(mark, pytest.Mark) and mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
