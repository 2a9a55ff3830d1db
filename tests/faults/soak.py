"""Two processes of four threads that write and read, while their engines and they themselves are killed and frozen."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults.ledger import ABSENT, Ledger, expected_record, operations
from tests.recommender.tastes import TasteEncoder, world
from tests.servers import MariaDBServer, MilvusServer, RedisServer
from tests.servers.base import ProcessServer
from vecrec import Event, Item, Recommender, User
from vecrec import field as item_field
from vecrec.errors import ItemNotFoundError, StoreError, VecrecError
from vecrec.metadata_stores import MetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.vector_stores import VectorStore
from vecrec.vector_stores.file import FileVectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore

__all__ = ["PAIRS", "Pair", "Soak", "Tally", "soak"]

PROCESSES, THREADS = 2, 4
_ITEMS, _USERS = 4, 2
"""Keys of each thread."""
_OF_WORLD = 60
_TIMEOUT = 2.0
_BACK = 240.0
"""Seconds at most until everything works again after the last fault."""


@dataclass(frozen=True)
class Pair:
    """Two stores, as any process opens them."""

    name: str
    vectors: str
    metadata: str
    processes: int = PROCESSES
    """Milvus Lite serves one process at a time."""

    def stores(self, timeout: float = _TIMEOUT) -> tuple[VectorStore, MetadataStore]:
        """The stores, by default with short timeouts."""
        vectors: VectorStore
        if self.vectors.startswith("http") or self.vectors.endswith(".db"):
            vectors = MilvusVectorStore(self.vectors, timeout=timeout)
        else:
            vectors = FileVectorStore(self.vectors, timeout=timeout)
        metadata = RedisMetadataStore if self.metadata.startswith("redis") else SQLMetadataStore
        return vectors, metadata(self.metadata, timeout=timeout)


PAIRS: Mapping[str, tuple[str, str]] = {
    "milvus+redis": ("milvus", "redis"),
    "milvus+mariadb": ("milvus", "mariadb"),
    "file+sqlite": ("file", "sqlite"),
    "lite+sqlite": ("lite", "sqlite"),
}
"""The engines of each pair, by its name."""

_SERVERS: Mapping[str, Callable[[], ProcessServer]] = {
    "milvus": lambda: MilvusServer({"proxy.timeTickInterval": 50}), "redis": RedisServer, "mariadb": MariaDBServer,
}  # fmt: skip


@dataclass
class Tally:
    """What a soak has shown."""

    pair: str
    seconds: float = 0.0
    operations: int = 0
    """Calls that were begun."""
    acknowledged: int = 0
    """Writes that returned."""
    refused: int = 0
    """Calls that raised an error of vecrec."""
    faults: dict[str, int] = field(default_factory=dict)
    """By what was done to what."""
    lost: list[str] = field(default_factory=list)
    """Acknowledged writes that were not there at the end."""
    wrong: list[str] = field(default_factory=list)
    """Answers that contradict what is known, and errors that are not vecrec's."""
    stalls: dict[str, float] = field(default_factory=dict)
    """The longest call in seconds, by the engine that had a fault meanwhile."""

    def to_json(self) -> dict[str, Any]:
        """As figures, with the first of what went wrong."""
        told = {**asdict(self), "lost": len(self.lost), "wrong": len(self.wrong)}
        return {**told, **({"first": [*self.lost, *self.wrong][:5]} if self.lost or self.wrong else {})}


# -- the threads


class _Thread:
    """One writer of keys that nobody else writes."""

    def __init__(self, rec: Recommender, ledger: Ledger, seed: str) -> None:
        self._rec, self._ledger, self._chance = rec, ledger, random.Random(seed)
        self._items = [f"{ledger.path.stem}-i{n}" for n in range(_ITEMS)]
        self._users = [f"{ledger.path.stem}-u{n}" for n in range(_USERS)]

    def step(self) -> None:
        """Do one thing, and hold its answer against the ledger."""
        doing = self._chance.choices(
            (self._put, self._update, self._delete, self._record, self._profile, self._recommend, self._get,
             self._forget), (4, 2, 1, 4, 1, 6, 4, 0.2),
        )[0]  # fmt: skip
        doing()

    def _put(self) -> None:
        key = self._chance.choice(self._items)
        self._ledger.write("item", key, lambda n: self._rec.upsert_items(Item(key, expected_record(n) or {})))

    def _update(self) -> None:
        key = self._chance.choice(self._items)
        if ABSENT not in self._ledger.possible("item", key):
            self._ledger.write("item", key, lambda n: self._rec.update_items({key: expected_record(n) or {}}))

    def _delete(self) -> None:
        key = self._chance.choice(self._items)
        self._ledger.write("item", key, lambda n: self._rec.delete_items([key]), remove=True)

    def _record(self) -> None:
        key, item = self._chance.choice(self._users), self._chance.randrange(_OF_WORLD)
        self._ledger.write("event", key, lambda n: self._rec.record(Event(key, item, float(n))))

    def _profile(self) -> None:
        key = self._chance.choice(self._users)
        self._ledger.write("user", key, lambda n: self._rec.upsert_users(User(key, {"taste": "war", "n": n})))

    def _forget(self) -> None:
        key = self._chance.choice(self._users)
        self._ledger.write("forget", key, lambda n: self._rec.forget_user(key))

    def _get(self) -> None:
        def get() -> None:
            found = self._rec.get_items(self._items)
            for key in self._items:
                record = dict(found[key].features) if key in found else None
                assert record in map(expected_record, self._ledger.possible("item", key)), f"{key} is {record}"

        self._ledger.read("get", get)

    def _recommend(self) -> None:
        key, year = self._chance.choice(self._users), self._chance.choice((0, 2000, 2030))
        sure = {number for number, there in self._ledger.events.get(key, {}).items() if there}

        def recommend() -> None:
            history = {event.time: event.item_id for event in self._rec.history(key)}
            assert {float(number) for number in sure} <= history.keys(), f"{key} has lost events"
            seen = {history[float(number)] for number in sure}
            found = self._rec.recommend(key, 10, where=item_field("year") >= year)
            assert len({each.item_id for each in found}) == len(found), "an item came twice"
            for each in found:
                assert int(str(each["year"])) >= year, f"{each.item_id} does not pass the filter"
                assert each.item_id not in seen, f"{each.item_id} was seen by {key}"
                if each.item_id in self._items:
                    states = self._ledger.possible("item", str(each.item_id))
                    assert dict(each.metadata) in map(expected_record, states), f"{each.item_id} is {each.metadata}"

        self._ledger.read("recommend", recommend)


def _work(pair: Pair, name: str, folder: Path, slot: int, seed: int) -> None:
    """One process: threads that go on until it is killed."""
    rec = _opened(pair, name, folder)

    def run(number: int) -> None:
        ledger = Ledger.open(folder / f"w{slot}t{number}.journal")
        thread = _Thread(rec, ledger, f"{seed}/{slot}/{number}/{ledger.number}")
        while True:
            try:
                thread.step()
            except (StoreError, ItemNotFoundError):
                time.sleep(0.02)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the tally must know it
                with (folder / "wrong").open("a") as file:
                    file.write(f"{type(error).__name__}: {error}".replace("\n", " ") + "\n")

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS * PROCESSES // pair.processes)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def _opened(pair: Pair, name: str, folder: Path) -> Recommender:
    while True:
        try:
            return Recommender.open(
                name, *pair.stores(), folder / "artifacts", encoder=TasteEncoder, refresh_seconds=0.2
            )
        except StoreError:
            time.sleep(0.1)


# -- the faults


@dataclass
class _Fault:
    what: str
    engine: str
    began: float
    ended: float


class Soak:
    """A recommender on a pair of engines, its processes, and what is done to them."""

    def __init__(self, pair: Pair, servers: Mapping[str, ProcessServer], folder: Path, seed: int) -> None:
        self.pair, self._servers, self._folder, self._seed = pair, servers, folder, seed
        self._name = f"t{uuid.uuid4().hex[:12]}"
        self._chance = random.Random(seed)
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._faults: list[_Fault] = []
        self._deck: list[Callable[[], None]] = []
        self._began = 0.0

    def __enter__(self) -> Soak:
        stores = self.pair.stores(30.0)
        with Recommender(TasteEncoder(), *stores, name=self._name, artifacts=self._folder / "artifacts") as rec:
            rec.fit(world(n_items=_OF_WORLD))
        self._began = time.monotonic()
        self._processes = [self._started(slot) for slot in range(self.pair.processes)]
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._processes:
            _signal(each, signal.SIGCONT)
            each.kill()
            each.join()

    def _started(self, slot: int) -> BaseProcess:
        process = self._context.Process(
            target=_work, args=(self.pair, self._name, self._folder, slot, self._seed), daemon=True
        )
        process.start()
        return process

    def load(self, operations_each: int) -> None:
        """Wait until each process has made so many more calls."""
        end = time.monotonic() + _BACK
        before = [self._count(slot) for slot in range(self.pair.processes)]
        while any(self._count(slot) < then + operations_each for slot, then in enumerate(before)):
            assert time.monotonic() < end, "the processes make no progress"
            assert all(each.is_alive() for each in self._processes), "a process has ended by itself"
            time.sleep(0.05)

    def _count(self, slot: int) -> int:
        return sum(path.read_bytes().count(b'"end"') for path in self._folder.glob(f"w{slot}t*.journal"))

    def kill_process(self) -> None:
        """Kill one of the processes, and start another in its place."""
        with self._fault("kill", "process"):
            slot = self._chance.randrange(len(self._processes))
            self._processes[slot].kill()
            self._processes[slot].join()
            self._processes[slot] = self._started(slot)

    def freeze_process(self, seconds: float) -> None:
        """Stop one of the processes for a while, perhaps with a lock in its hands."""
        with self._fault("freeze", "process"):
            process = self._chance.choice(self._processes)
            _signal(process, signal.SIGSTOP)
            time.sleep(seconds)
            _signal(process, signal.SIGCONT)

    def kill_engine(self, name: str) -> None:
        """Kill an engine, and start it again."""
        with self._fault("kill", name):
            self._servers[name].kill()
            self._servers[name].start()

    def freeze_engine(self, name: str, seconds: float) -> None:
        """Let an engine hang for a while."""
        with self._fault("freeze", name):
            self._servers[name].pause()
            time.sleep(seconds)
            self._servers[name].resume()

    def any_fault(self) -> None:
        """The next of the faults, all of which come once before any of them comes again."""
        if not self._deck:
            self._deck = self._faults_by_chance()
        self._deck.pop()()

    def _faults_by_chance(self) -> list[Callable[[], None]]:
        engines = [name for name in PAIRS[self.pair.name] if name in self._servers]
        doing: list[Callable[[], None]] = [self.kill_process, lambda: self.freeze_process(self._chance.uniform(0.2, 4))]
        for name in engines:
            # A Milvus that is frozen for ten seconds ends by itself.
            seconds = self._chance.uniform(0.2, 6)
            doing += [partial(self.kill_engine, name), partial(self.freeze_engine, name, seconds)]
        self._chance.shuffle(doing)
        return doing

    @contextlib.contextmanager
    def _fault(self, what: str, engine: str) -> Iterator[None]:
        fault = _Fault(what, engine, time.monotonic(), 0.0)
        self._faults.append(fault)
        try:
            yield
        finally:
            fault.ended = time.monotonic()

    # -- the end

    def settle(self) -> Tally:
        """End the processes, mend what their deaths have left, and hold everything against the journals."""
        seconds = time.monotonic() - self._began
        self.__exit__()
        tally = Tally(self.pair.name, round(seconds, 1))
        tally.faults = dict(Counter(f"{each.what} {each.engine}" for each in self._faults))
        told = self._folder / "wrong"
        tally.wrong = told.read_text().splitlines() if told.exists() else []
        self._repair()
        with self.open() as rec:
            for path in sorted(self._folder.glob("*.journal")):
                self._count_calls(path, tally)
                _compare(rec, Ledger.open(path), tally)
            for collection in rec.vector_store.collections():
                if collection.startswith(f"{self._name}__"):
                    rec.vector_store.drop(collection)
        return tally

    def open(self) -> Recommender:
        """The recommender, with patience."""
        stores = self.pair.stores(10.0)
        return Recommender.open(self._name, *stores, self._folder / "artifacts", encoder=TasteEncoder)

    def _repair(self) -> None:
        end = time.monotonic() + _BACK
        while True:
            try:
                with self.open() as rec:
                    rec.repair()
                    report = rec.verify()
                    assert report, str(report)
                    assert rec.recommend(1, 5).served_by == "vectors"
                    return
            except VecrecError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def _count_calls(self, path: Path, tally: Tally) -> None:
        for each in operations(path):
            tally.operations += 1
            tally.refused += each.outcome == "refused"
            tally.acknowledged += each.outcome == "ok" and each.name not in ("get", "recommend")
            if each.ended is None:
                continue
            for fault in self._faults:
                if each.began < fault.ended and each.ended > fault.began and fault.engine != "process":
                    longest = max(tally.stalls.get(fault.engine, 0.0), each.ended - each.began)
                    tally.stalls[fault.engine] = round(longest, 2)


def _compare(rec: Recommender, ledger: Ledger, tally: Tally) -> None:
    """Note what of a ledger's acknowledged writes is not there, and what is there that must not be."""
    keys = [key for kind, key in ledger.states if kind == "item"]
    items = rec.get_items(keys)
    for key in keys:
        record, states = dict(items[key].features) if key in items else None, ledger.possible("item", key)
        if record not in map(expected_record, states):
            tally.lost.append(f"{key} is {record}, and not of {states}")
    users = [key for kind, key in ledger.states if kind == "user"]
    profiles = rec.get_users(users)
    for key in users:
        held: Any = profiles[key].features.get("n", ABSENT) if key in profiles else ABSENT
        if held not in ledger.possible("user", key):
            tally.lost.append(f"{key} is {held}, and not of {ledger.possible('user', key)}")
    for key in {*ledger.events, *ledger.forgotten}:
        there = {int(event.time or 0) for event in rec.history(key)}
        known = ledger.events.get(key, {})
        tally.lost += [f"event {n} of {key}" for n, sure in known.items() if sure and n not in there]
        tally.wrong += [f"event {n} of {key} came back" for n in there & ledger.forgotten.get(key, set()) - {*known}]


def _signal(process: BaseProcess, number: signal.Signals) -> None:
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@contextlib.contextmanager
def soak(name: str, folder: Path, seed: int, servers: Mapping[str, ProcessServer] | None = None) -> Iterator[Soak]:
    """A soak of a pair under load; on servers of its own, or on given ones that it may kill."""
    with contextlib.ExitStack() as stack:
        held = dict(servers or {})
        for engine in PAIRS[name]:
            if engine in _SERVERS and engine not in held:
                held[engine] = stack.enter_context(_SERVERS[engine]())
        vectors, metadata = PAIRS[name]
        addresses = {
            **{engine: server.url for engine, server in held.items()},
            "file": str(folder / "vectors"), "lite": str(folder / "vectors.db"),
            "sqlite": f"sqlite:///{folder / 'records.sqlite'}",
        }  # fmt: skip
        pair = Pair(name, addresses[vectors], addresses[metadata], 1 if vectors == "lite" else PROCESSES)
        yield stack.enter_context(Soak(pair, held, folder, seed))
