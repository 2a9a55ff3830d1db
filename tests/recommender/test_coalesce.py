"""Concurrent recommendations share their reads and their search, and each caller gets what is their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Recommender, User, field
from vecrec.errors import InvalidDataError, StoreTimeoutError, StoreUnavailableError
from vecrec.recommendations import Recommendations
from vecrec.recommender import coalesce
from vecrec.recommender.coalesce import Coalescer, Waiting
from vecrec.recommender.request import Request

Ask = Callable[[Recommender], Recommendations]


class Gate:
    """Holds the searches of a store until it opens, and notes how many queries each one had."""

    def __init__(self, rec: Recommender) -> None:
        self.queries: list[int] = []
        self.open = threading.Event()
        store: Any = rec.vector_store
        self._search = store._search
        store._search = self

    def __call__(self, collection: str, spec: Any, queries: Any, k: int, where: Any) -> Any:
        self.queries.append(len(queries))
        assert self.open.wait(120)
        return self._search(collection, spec, queries, k, where)


def until(condition: Callable[[], bool], *made: Future[Recommendations]) -> None:
    """Wait for a condition that calls bring about; raise where one of them ends before."""
    pause = threading.Event()
    while not condition():
        assert not any(each.done() and not condition() for each in made), [each.result() for each in made]
        pause.wait(0.001)


@contextlib.contextmanager
def crowded(rec: Recommender) -> Iterator[tuple[Gate, Callable[[Ask], Future[Recommendations]]]]:
    """A recommender whose own thread and its turn are held up, so that whoever asks now waits to be answered together.

    Leaving the block lets them go on.
    """
    gate, shared = Gate(rec), rec._pipeline._shared
    assert shared is not None
    with ThreadPoolExecutor(40) as pool:
        first = pool.submit(rec.recommend, 0, 3)
        until(lambda: len(gate.queries) == 1, first)
        shared._turns = 1  # with two, what waits would be shared out between them
        second = pool.submit(rec.recommend, 1, 3)
        until(lambda: len(gate.queries) == 2, second)

        def submit(ask: Ask) -> Future[Recommendations]:
            before = len(shared._waiting)
            made = pool.submit(ask, rec)
            until(lambda: made.done() or len(shared._waiting) > before)
            return made

        try:
            yield gate, submit
        finally:
            gate.open.set()


def plain(found: Recommendations) -> Any:
    """What counts of an answer."""
    return found.user_id, found.item_ids, found.served_by, found.notes


def test_those_that_wait_share_one_search(rec: Recommender) -> None:
    """Each gets the list that they get alone, one user twice, and users who are not stored among them."""
    someone = User(None, {}, history=[1, 3])
    asks: list[Ask] = [*(lambda r, n=n: r.recommend(n, 4) for n in (3, 4, 5, 3)), lambda r: r.recommend_for(someone, 4)]
    alone = [plain(ask(rec)) for ask in asks]
    with crowded(rec) as (gate, submit):
        made = [submit(ask) for ask in asks]
    assert gate.queries == [1, 1, len(asks)]
    assert [plain(each.result()) for each in made] == alone
    assert len({each.result().request_id for each in made}) == len(asks)


def test_other_options_are_another_search(rec: Recommender) -> None:
    """Requests are told apart by everything that counts, also where Python finds 1 and True equal."""
    with crowded(rec) as (gate, submit):
        one = [submit(lambda r: r.recommend(3, 4, where=field("year") >= 2000)) for _ in range(3)]
        other = [submit(lambda r: r.recommend(3, 4, exclude=[2])) for _ in range(2)]
        wrong = submit(lambda r: r.recommend(3, 4, where=field("year") == True))  # noqa: E712
    assert sorted(gate.queries[2:]) == [2, 3]
    assert [plain(each.result()) for each in one] == [plain(rec.recommend(3, 4, where=field("year") >= 2000))] * 3
    assert [plain(each.result()) for each in other] == [plain(rec.recommend(3, 4, exclude=[2]))] * 2
    with pytest.raises(InvalidDataError):
        wrong.result()


def test_equal_numbers_of_other_types_are_not_the_same_condition() -> None:
    condition = {"where": field("year") == 1}
    assert Request.of(3, condition).agrees(Request.of(3, {"where": field("year") == 1}))
    assert not Request.of(3, condition).agrees(Request.of(3, {"where": field("year") == 1.0}))
    assert not Request.of(3, condition).agrees(Request.of(4, condition))


def test_a_user_that_cannot_be_used_fails_alone(rec: Recommender) -> None:
    with crowded(rec) as (gate, submit):
        good = [submit(lambda r, n=n: r.recommend(n, 4)) for n in (3, 4)]  # type: ignore[misc]
        bad = submit(lambda r: r.recommend_for(User(None, {"taste": 7}), 4))
    with pytest.raises(InvalidDataError, match="taste"):
        bad.result()
    assert [plain(each.result()) for each in good] == [plain(rec.recommend(n, 4)) for n in (3, 4)]
    assert gate.queries[2:][:2] == [1, 1]


def test_an_engine_that_fails_is_told_to_each(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an error object of their own."""

    def away(*_: Any) -> Any:
        raise StoreUnavailableError("the records are away", "start the server")

    with crowded(rec) as (_, submit):
        made = [submit(lambda r, n=n: r.recommend(n, 4)) for n in (3, 4, 5)]  # type: ignore[misc]
        monkeypatch.setattr(rec.metadata_store, "read_users", away)
    errors = [each.exception() for each in made]
    assert [str(error) for error in errors] == ["the records are away: start the server"] * 3
    assert len({id(error) for error in errors}) == 3


def test_each_has_a_time_of_their_own(rec: Recommender) -> None:
    """The one with little time is told in time, although the search that all wait for has not come back."""
    with crowded(rec) as (gate, submit):
        patient = submit(lambda r: r.recommend(3, 4, timeout=100))
        hurried = submit(lambda r: r.recommend(4, 4, timeout=0.05))
        with pytest.raises(StoreTimeoutError, match="was not answered within"):
            hurried.result(120)
        assert not gate.open.is_set()
    assert patient.result().item_ids == rec.recommend(3, 4).item_ids


def test_a_short_time_does_not_shorten_that_of_others(rec: Recommender) -> None:
    """Requests are answered together only where the time of the first to end suits all."""
    with crowded(rec) as (gate, submit):
        made = [submit(lambda r, s=s: r.recommend(3, 4, timeout=s)) for s in (100, 100, 1000)]  # type: ignore[misc]
    assert sorted(gate.queries[2:]) == [1, 2]
    assert all(each.result() for each in made)
    assert coalesce._alike(3, 3.1)
    assert not coalesce._alike(3, 100)


def test_a_request_that_is_alone_is_answered_by_its_own_thread(rec: Recommender) -> None:
    """After the others have gone it is so again."""
    seen: list[str] = []
    store: Any = rec.vector_store
    search = store._search
    with crowded(rec) as (_, submit):
        made = [submit(lambda r: r.recommend(3, 4)) for _ in range(3)]
    for each in made:
        each.result()

    def noted(*given: Any) -> Any:
        seen.append(threading.current_thread().name)
        return search(*given)

    store._search = noted
    shared = rec._pipeline._shared
    assert shared is not None
    rec.recommend(3, 4)
    rec.recommend(3, 4)
    assert seen == [threading.current_thread().name] * 2
    assert not shared.alone.locked()


def test_it_can_be_switched_off(tmp_path: Any) -> None:
    rec = Recommender(TasteEncoder(), *_memory(), name="movies", artifacts=tmp_path, coalesce=False)
    rec.fit(world())
    gate = Gate(rec)
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(rec.recommend, n, 4) for n in range(8)]
        until(lambda: len(gate.queries) == 8)
        gate.open.set()
    assert gate.queries == [1] * 8
    assert all(each.result() for each in made)


def _memory() -> Any:
    from vecrec.metadata_stores import MemoryMetadataStore
    from vecrec.vector_stores import MemoryVectorStore

    return MemoryVectorStore(), MemoryMetadataStore()


@each_engine()
def test_many_threads_get_what_one_gets(engine: Engine) -> None:
    """On real engines, with two kinds of requests at a time."""
    with engine.recommender() as rec:
        rec.fit(world())
        users = list(range(30)) * 4
        alone = [plain(rec.recommend(n, 5 + n % 2)) for n in range(30)]
        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(lambda n: plain(rec.recommend(n, 5 + n % 2)), users))
    assert [(n, one, alone[n]) for n, one in zip(users, found) if one != alone[n]] == []


class Interrupted(Coalescer[int, int]):
    """Answers by squares; the first group is interrupted in its own thread."""

    def __init__(self) -> None:
        super().__init__(1)
        self.go_on, self.groups = threading.Event(), list[list[int]]()

    def _turn(self, mine: Waiting[int, int]) -> AbstractContextManager[None]:
        if not self.groups:
            assert self.go_on.wait(120)
        return nullcontext()

    def _choose(self, mine: Any, others: list[Any]) -> list[Any]:
        return others

    def _answer(self, group: Sequence[Waiting[int, int]]) -> list[int]:
        self.groups.append([each.value for each in group])
        if len(self.groups) == 1:
            raise KeyboardInterrupt
        return [each.value**2 for each in group]

    def _withdraw(self, mine: Waiting[int, int], seconds: float) -> None:
        raise AssertionError("nobody has so little time")

    def _is_of_one(self, error: Exception) -> bool:
        return False


def test_an_interrupted_thread_leaves_the_others_to_be_answered() -> None:
    """Ctrl-C is of the thread that leads; those that it was answering are answered by the next one."""
    shared, outcome = Interrupted(), list[type]()

    def leads() -> None:
        try:
            shared.ask(1, None)
        except KeyboardInterrupt as error:
            outcome.append(type(error))

    thread = threading.Thread(target=leads)
    thread.start()
    until(lambda: len(shared._waiting) == 1)
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(shared.ask, n, 120) for n in (2, 3)]
        until(lambda: len(shared._waiting) == 3)
        shared.go_on.set()
    thread.join()
    assert sorted(each.result() for each in made) == [4, 9]
    assert outcome == [KeyboardInterrupt]
    assert shared._busy == 0
