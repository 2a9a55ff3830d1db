"""Real processes on real engines, killed at moments that nobody chose, and many threads at once."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TASTES, world
from vecrec import Event, Item, Recommender, User
from vecrec.ids import Id


def _write_for_ever(engine: Engine, seed: int, progress: Any) -> None:
    """Change the catalogue and publish without pause; tells each step before it is taken."""
    chance = random.Random(seed)
    with engine.recommender() as rec:
        rec.fit(world(8, 24))
        while True:
            ids = chance.sample(range(40), 8)
            step = chance.choice(["upsert", "upsert", "delete", "publish", "record"])
            progress.send(step)
            if step == "upsert":
                rec.upsert_items(
                    [Item(key, {"tastes": [chance.choice(TASTES)], "year": 1990 + chance.randrange(30)}) for key in ids]
                )
            elif step == "delete":
                rec.delete_items(ids[:3])
            elif step == "publish":
                rec.publish()
            else:
                rec.record([Event("reader", key) for key in ids])


def _kill_in_the_middle(engine: Engine, seed: int) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_write_for_ever, args=(engine, seed, theirs))
    process.start()
    theirs.close()
    chance = random.Random(seed)
    for _ in range(chance.randrange(2, 12)):
        assert ours.poll(100), "the writer has stopped"
        ours.recv()
    threading.Event().wait(chance.random() / 50)  # somewhere inside the step
    process.kill()
    process.join()


@pytest.mark.parametrize("seed", range(4))
@each_engine(("embedded", "servers"))
def test_a_process_killed_at_any_moment_leaves_what_repair_mends(engine: Engine, seed: int) -> None:
    """After kill -9 the stores open again, no item is searchable without its record, and quick repair is enough."""
    if engine.name == "servers" and seed > 0:
        return  # servers outlive their client, so there is less to find, and it takes longer
    _kill_in_the_middle(engine, seed)
    with engine.opened() as rec:
        found = rec.verify()
        assert not found.orphaned
        assert set(found.ids) == set(found.pending)
        rec.repair()
        assert rec.verify(), str(rec.verify())
        rec.publish()
        assert rec.verify(), str(rec.verify())
        kept = {release.collection for release in rec.releases()}
        assert {name for name in rec.vector_store.collections() if name.startswith(f"{rec.name}__")} == kept
        assert rec.recommend(1, 3).served_by == "vectors"


def _upsert(rec: Recommender, chance: random.Random) -> None:
    items = [Item(key, {"tastes": [chance.choice(TASTES)], "year": 2000}) for key in chance.sample(range(60), 3)]
    rec.upsert_items(items)


def _delete(rec: Recommender, chance: random.Random) -> None:
    rec.delete_items(chance.sample(range(60), 2))


def _recommend(rec: Recommender, chance: random.Random) -> None:
    found = rec.recommend(chance.randrange(40), 5)
    assert found.served_by == "vectors"
    assert len({each.item_id for each in found}) == len(found) == 5


def _record(rec: Recommender, chance: random.Random) -> None:
    user: Id = f"u{chance.randrange(10)}"
    rec.record(Event(user, chance.randrange(60)))
    rec.upsert_users([User(user, {"taste": chance.choice(TASTES)})])


def _mend(rec: Recommender, chance: random.Random) -> None:
    rec.repair(full=chance.random() < 0.5)
    assert rec.verify(), "changes under way are no differences"


@each_engine()
def test_threads_that_do_everything_at_once_end_consistent(engine: Engine) -> None:
    """Eight threads change, read, record, repair and verify one catalogue: nobody fails, nothing differs afterwards."""
    work = [_upsert, _upsert, _delete, _delete, _recommend, _recommend, _record, _mend]
    with engine.recommender() as rec:
        rec.fit(world())
        errors: list[BaseException] = []

        def run(step: Callable[[Recommender, random.Random], None], seed: int) -> None:
            chance = random.Random(seed)
            try:
                for _ in range(6):
                    step(rec, chance)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test must hear of it
                errors.append(error)

        threads = [threading.Thread(target=run, args=(step, seed)) for seed, step in enumerate(work)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors
        report = rec.verify()
        assert report, str(report)
        assert report.records == report.vectors
