"""Writes that wait for each other are committed together, and each caller learns what became of their own."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from vecrec import Item, Recommender
from vecrec.errors import InvalidDataError, StoreTimeoutError, StoreUnavailableError
from vecrec.ids import Id
from vecrec.recommender.group_commit import GroupCommit


class Journal:
    """Commits that wait for a signal, and what was in them."""

    def __init__(self, fails: Callable[[dict[Id, str]], None] = lambda values: None) -> None:
        self.commits: list[dict[Id, str]] = []
        self.begun, self.go_on, self._fails = threading.Event(), threading.Event(), fails
        self.group: GroupCommit[str] = GroupCommit(
            self._commit, lambda seconds: contextlib.nullcontext(), lambda earlier, later: earlier + later
        )

    def _commit(self, values: dict[Id, str]) -> None:
        self.begun.set()
        assert self.go_on.wait(120)
        self.commits.append(values)
        self._fails(values)

    def run(self, *changes: dict[Id, str], seconds: float = 120) -> list[Future[None]]:
        """The first change begins; the others come while it is being committed, in their order."""
        with ThreadPoolExecutor(len(changes)) as pool:
            made = [pool.submit(self.group.add, changes[0], seconds)]
            assert self.begun.wait(120)
            for n, change in enumerate(changes[1:], 1):
                made.append(pool.submit(self.group.add, change, seconds))
                while len(self.group._waiting) < n:
                    threading.Event().wait(0.001)
            self.go_on.set()
        return made


def test_all_that_wait_are_one_commit() -> None:
    """In the order of their coming; of an item that is named twice both changes count."""
    journal = Journal()
    made = journal.run({1: "a"}, {2: "b"}, {3: "c", 2: "d"}, {4: "e"})
    assert [each.exception() for each in made] == [None] * 4
    assert journal.commits == [{1: "a"}, {2: "bd", 3: "c", 4: "e"}]


def test_a_change_that_cannot_be_used_fails_alone() -> None:
    """The others of its group are written."""

    def fails(values: dict[Id, str]) -> None:
        if 3 in values:
            raise InvalidDataError("item 3 is too long", "cut it")

    journal = Journal(fails)
    made = journal.run({1: "a"}, {2: "b"}, {3: "c"}, {4: "d"})
    assert [type(each.exception()) for each in made] == [type(None), type(None), InvalidDataError, type(None)]
    assert journal.commits[2:] == [{2: "b"}, {3: "c"}, {4: "d"}]


def test_an_engine_that_is_away_fails_the_whole_group() -> None:
    """Each caller gets an error object of their own."""

    def fails(values: dict[Id, str]) -> None:
        if 2 in values:
            raise StoreUnavailableError("nobody answers", "start it")

    made = Journal(fails).run({1: "a"}, {2: "b"}, {3: "c"})
    errors = [each.exception() for each in made[1:]]
    assert [str(error) for error in errors] == ["nobody answers: start it"] * 2
    assert errors[0] is not errors[1]


def test_a_change_whose_turn_does_not_come_is_not_written() -> None:
    """It is withdrawn, and says so."""
    journal = Journal()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(journal.group.add, {1: "a"}, 120)
        assert journal.begun.wait(120)
        with pytest.raises(StoreTimeoutError, match="was not written"):
            journal.group.add({2: "b"}, 0.01)
        journal.go_on.set()
        assert first.result(120) is None
    journal.group.add({3: "c"}, 120)
    assert journal.commits == [{1: "a"}, {3: "c"}]


def test_each_that_waits_for_another_process_is_told_which(rec: Recommender) -> None:
    """The one that waits for the lock, and those that wait for that one; none of them is written."""
    with rec._archive.catalogue_lock(), ThreadPoolExecutor(8) as pool:
        made = [pool.submit(rec.upsert_items, Item(n, {"year": 2000}), timeout=0.2) for n in range(1000, 1008)]
        for each in made:
            with pytest.raises(StoreTimeoutError, match=f"process {os.getpid()} .* is changing the catalogue"):
                each.result(120)
    assert rec.get_items(range(1000, 1008)) == {}
    rec.upsert_items(Item(1000, {"year": 2000}))
    assert rec.verify()


@pytest.mark.parametrize("timeout", [0, -1, "1", float("nan"), True])
def test_timeouts_are_checked(rec: Recommender, timeout: Any) -> None:
    """By every call that takes one."""
    calls: list[Callable[..., Any]] = [
        partial(rec.recommend, 1), partial(rec.recommend_many, [1]), partial(rec.rank, 1, [1]), rec.popular,
        partial(rec.similar_items, 1), partial(rec.get_items, [1]), partial(rec.get_users, [1]),
        partial(rec.history, 1), partial(rec.upsert_items, Item(1)), partial(rec.delete_items, [1]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidDataError, match="timeout"):
            call(timeout=timeout)


def test_many_threads_write_single_items(rec: Recommender) -> None:
    """All of them are there afterwards, in both stores."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: rec.upsert_items(Item(n, {"tastes": ["love"], "year": 2000})), range(1000, 1100)))
        list(pool.map(lambda n: rec.delete_items([n]), range(1000, 1050)))
    assert list(rec.get_items(range(1000, 1100))) == list(range(1050, 1100))
    assert rec.verify()
    assert rec.verify().pending == ()
