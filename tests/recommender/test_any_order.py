"""Calls in any order, by two processes, with crashes and clocks that jump: what was acknowledged is there.

Hypothesis draws the order and, where it finds a wrong answer, the shortest one that leads to it. A model in plain
dictionaries says what every answer must be. ``VECREC_ORDERS=2000`` draws as many others, instead of the same few.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.recommender.faults import FaultyMetadataStore, FaultyVectorStore, Killed, Kind, Saboteur, When, sabotaged
from tests.recommender.tastes import TASTES, TasteEncoder, world
from vecrec import Event, Item, Recommender
from vecrec.errors import VecrecError
from vecrec.ids import Id
from vecrec.recommender import words

ITEMS = st.sampled_from([0, 1, 5, 10, 19, "new", "newer"])
USERS = st.sampled_from([0, 1, 7, "ann"])
TITLES = st.sampled_from(["heron", "stork", "ibis"])
PROCESSES = st.sampled_from([0, 1])
FAULTS: st.SearchStrategy[tuple[Kind, When]] = st.sampled_from(
    [("error", "before"), ("error", "after"), ("kill", "half"), ("kill", "after")]
)
DAY = 86_400.0

Record = dict[str, Any]


class AnyOrder(RuleBasedStateMachine):
    """Two processes on the same stores and artifacts, and what they must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="any-order-"))
        self.patch = pytest.MonkeyPatch()
        self.clock, now = 0.0, time.time
        self.patch.setattr(time, "time", lambda: now() + self.clock)
        self.patch.setattr(words, "_SECONDS", 0.0)
        self.patch.setattr(words, "_REST", 0)
        self.vectors: Any = FaultyVectorStore()
        self.metadata: Any = FaultyMetadataStore()
        self._training().fit(world(8, 20))
        self.processes = [self._opened(), self._opened()]
        self.items: dict[Id, Record] = {
            item.id: dict(item.features) for item in world(8, 20).items() if item.id is not None
        }
        self.events = {user: [event.item_id for event in self.processes[0].history(user)] for user in (0, 1, 7, "ann")}

    def _opened(self) -> Recommender:
        stores = self.vectors, self.metadata
        return Recommender.open("movies", *stores, self.path, encoder=TasteEncoder, refresh_seconds=0)

    def _training(self) -> Recommender:
        stores = self.vectors, self.metadata
        return Recommender(TasteEncoder(), *stores, name="movies", artifacts=self.path, refresh_seconds=0)

    def teardown(self) -> None:
        """Leave the clock as it was, and no file."""
        self.patch.undo()
        shutil.rmtree(self.path)

    # -- what people do

    @rule(process=PROCESSES, key=ITEMS, title=TITLES, taste=st.sampled_from(TASTES))
    def upsert(self, process: int, key: Id, title: str, taste: str) -> None:
        """An item as a whole."""
        record: Record = {"title": title, "tastes": [taste]}
        self.processes[process].upsert_items([Item(key, record)])
        self.items[key] = record

    @rule(process=PROCESSES, key=ITEMS, title=TITLES)
    def update(self, process: int, key: Id, title: str) -> None:
        """A field; an item that is not there is an error."""
        if key not in self.items:
            with pytest.raises(VecrecError):
                self.processes[process].update_items({key: {"title": title}})
            return
        self.processes[process].update_items({key: {"title": title}})
        self.items[key] = {**self.items[key], "title": title}

    @rule(process=PROCESSES, key=ITEMS)
    def delete(self, process: int, key: Id) -> None:
        """One that is not there is no error."""
        self.processes[process].delete_items([key])
        self.items.pop(key, None)

    @rule(process=PROCESSES, user=USERS, key=ITEMS)
    def record(self, process: int, user: Id, key: Id) -> None:
        """An event of now, whatever the clock says: it is the user's last."""
        self.processes[process].record(Event(user, key))
        self.events[user].append(key)

    @rule(process=PROCESSES, user=USERS, key=ITEMS)
    def take_back(self, process: int, user: Id, key: Id) -> None:
        """All events with an item."""
        gone = self.processes[process].delete_events(user, key)
        assert gone == self.events[user].count(key)
        self.events[user] = [each for each in self.events[user] if each != key]

    @rule(process=PROCESSES, user=USERS)
    def forget(self, process: int, user: Id) -> None:
        """Everything of a user."""
        assert self.processes[process].forget_user(user).events == len(self.events[user])
        self.events[user] = []

    # -- what operators do

    @rule(process=PROCESSES)
    def publish(self, process: int) -> None:
        """The encoder again, over what is stored."""
        self.processes[process].publish()

    @rule()
    def train(self) -> None:
        """On what is stored, which changes nothing of it."""
        rec = self._training()
        rec.fit(rec.dataset())

    @rule(process=PROCESSES)
    def refresh(self, process: int) -> None:
        """What was recorded is counted."""
        self.processes[process].refresh(since=0)

    @precondition(lambda self: len(self.processes[0].releases()) > 1)
    @rule(process=PROCESSES)
    def roll_back(self, process: int) -> None:
        """To the release before: the catalogue stays what it is."""
        self.processes[process].rollback()

    @rule(process=PROCESSES)
    def reopen(self, process: int) -> None:
        """As a new process."""
        self.processes[process] = self._opened()

    @rule(days=st.sampled_from([-400.0, -1.0, 1.0, 400.0]))
    def jump(self, days: float) -> None:
        """The clock of the machine."""
        self.clock += days * DAY

    # -- what goes wrong

    @rule(
        process=PROCESSES,
        at=st.integers(1, 12),
        fault=FAULTS,
        keys=st.lists(ITEMS, min_size=1, max_size=3),
        title=TITLES,
    )
    def crash_of_an_upsert(self, process: int, at: int, fault: tuple[Kind, When], keys: list[Id], title: str) -> None:
        """Each of the items is as before or as wanted."""
        record: Record = {"title": title, "tastes": ["war"]}
        given = [Item(key, record) for key in keys]
        self._crash(process, lambda rec: rec.upsert_items(given), at, fault, dict.fromkeys(keys, record))

    @rule(process=PROCESSES, at=st.integers(1, 12), fault=FAULTS, keys=st.lists(ITEMS, min_size=1, max_size=3))
    def crash_of_a_deletion(self, process: int, at: int, fault: tuple[Kind, When], keys: list[Id]) -> None:
        """Each of the items is as before or gone."""
        self._crash(process, lambda rec: rec.delete_items(keys), at, fault, dict.fromkeys(keys))

    @rule(
        process=PROCESSES, at=st.integers(1, 60), fault=FAULTS,
        build=st.sampled_from([Recommender.publish, Recommender.refresh, Recommender.rollback]),
    )  # fmt: skip
    def crash_of_a_build(
        self, process: int, at: int, fault: tuple[Kind, When], build: Callable[[Recommender], Any]
    ) -> None:
        """The catalogue is as before."""
        self._crash(process, build, at, fault, {})

    def _crash(
        self,
        process: int,
        call: Callable[[Recommender], Any],
        at: int,
        fault: tuple[Kind, When],
        wanted: dict[Id, Record | None],
    ) -> None:
        kind, when = fault
        try:
            with sabotaged(Saboteur(at, when, kind), self.vectors, self.metadata, self.path):
                call(self.processes[process])
        except (VecrecError, Killed):
            if kind == "kill":
                self.processes[process] = self._opened()
            self.processes[1 - process].repair()
            held = self.processes[process].get_items(list(wanted))
            for key, record in wanted.items():
                found = dict(held[key].features) if key in held else None
                assert found in (record, self.items.get(key))
                wanted[key] = found
        for key, record in wanted.items():
            self.items.pop(key, None)
            if record is not None:
                self.items[key] = record

    # -- what must be

    @invariant()
    def the_catalogue_is_what_was_acknowledged(self) -> None:
        """In both stores, by every process: records, words, and vectors with their filters."""
        for rec in self.processes:
            held = rec.get_items([*self.items, "new", "newer", 0, 1, 5, 10, 19])
            assert {key: dict(item.features) for key, item in held.items()} == self.items
            for title in ("heron", "stork", "ibis"):
                named = {key for key, record in self.items.items() if record.get("title") == title}
                assert {hit.item_id for hit in rec.search(title, 50) if hit["title"] == title} == named

    @invariant()
    def lists_have_no_seen_items_and_no_lost_ones(self) -> None:
        """All that is unseen comes, and nothing else."""
        for user, seen in self.events.items():
            assert [event.item_id for event in self.processes[0].history(user)] == seen
            found = self.processes[1].recommend(user, 50)
            assert not found.missing
            if found.served_by == "vectors":
                assert {*found.item_ids} == self.items.keys() - {*seen}
            else:
                assert not {*found.item_ids} - (self.items.keys() - {*seen})

    @invariant()
    def nothing_is_left_to_mend(self) -> None:
        """Since each crash was mended."""
        report = self.processes[0].verify()
        assert not (*report.unsearchable, *report.orphaned, *report.stale, *report.pending), report


AnyOrder.TestCase.settings = settings(
    max_examples=int(os.environ.get("VECREC_ORDERS", "25")),
    stateful_step_count=20,
    deadline=None,
    derandomize="VECREC_ORDERS" not in os.environ,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAnyOrder = AnyOrder.TestCase
