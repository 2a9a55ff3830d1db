"""Releases switch while others read and write: no request fails or mixes two of them, no change is lost."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TasteEncoder, world
from tests.releases.test_lifecycle import make
from vecrec import Item, Recommendations, Recommender, User
from vecrec.errors import ReleaseError, StoreUnavailableError
from vecrec.progress import Step
from vecrec.vector_stores import MemoryVectorStore

TWISTS = (0.0, 0.25, 0.5, 1.0)


def assert_whole(found: Recommendations, twists: dict[str, float]) -> None:
    """Every score is the inner product under the encoder of the one release that the result names."""
    encoder = TasteEncoder(twists[found.release])
    encoder.fit(world())
    taste = world().user(int(found.user_id or 0)).features
    user = encoder.encode_users([User(None, taste, world().user(int(found.user_id or 0), history=True).history)])[0]
    items = encoder.encode_items([Item(each.item_id, each.metadata) for each in found])
    assert np.allclose([each.score for each in found], items @ user, atol=1e-5)
    assert len(found) == 5


# -- reading


def test_a_reader_never_fails_and_never_mixes(rec: Recommender) -> None:
    """A thread that asks without pause through eight switches gets whole answers, each of a release that was live."""
    twists, stop, answers = {rec.releases()[0].id: 0.0}, threading.Event(), []
    reader = make(rec)

    def read() -> None:
        user = 0
        while not stop.is_set():
            user = (user + 1) % 40
            answers.append(reader.recommend(user, 5))

    errors: list[BaseException] = []
    threads = [threading.Thread(target=_catching(read, errors)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for twist in TWISTS:
        twists[make(rec, TasteEncoder(twist)).fit(world()).id] = twist
        rec.rollback()
        rec.rollback()
        _wait_for(lambda: answers[-1].release == rec.releases()[0].id, errors)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert {found.release for found in answers} == set(twists)
    for found in answers[:: max(1, len(answers) // 200)]:
        assert_whole(found, twists)


def _catching(work: Callable[[], None], errors: list[BaseException]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must hear of it
            errors.append(error)

    return run


def _wait_for(condition: Callable[[], bool], errors: list[BaseException]) -> None:
    pause, tries = threading.Event(), 0
    while not condition():
        assert not errors, errors
        assert tries < 3_000, "it never came"
        tries += 1
        pause.wait(0.01)


def _serve_until(engine: Engine, last: Any, answers: Any) -> None:
    """A serving process: asks until the release that it is told of answers, then tells all that it got."""
    found: list[Recommendations] = []
    with engine.opened(refresh_seconds=0.2) as rec:
        answers.put(None)
        expected = None
        while expected is None or found[-1].release != expected:
            found.append(rec.recommend(len(found) % 40, 5))
            expected = last.get() if expected is None and not last.empty() else expected
    answers.put(found)


@each_engine(("servers",))
def test_a_serving_process_follows_without_a_fault(engine: Engine) -> None:
    """Another process serves through four switches, in which its first release is dropped: all answers are whole."""
    context = multiprocessing.get_context("spawn")
    last, answers = context.Queue(), context.Queue()
    with engine.recommender() as rec:
        twists = {rec.fit(world()).id: 0.0}
        process = context.Process(target=_serve_until, args=(engine, last, answers))
        process.start()
        assert answers.get(timeout=60) is None
        for twist in TWISTS[1:]:
            twists[make(rec, TasteEncoder(twist)).fit(world()).id] = twist
        last.put(rec.rollback().id)
        found: list[Recommendations] = answers.get(timeout=60)
        process.join()
    assert process.exitcode == 0
    assert {each.release for each in found} <= set(twists)
    assert len({each.release for each in found}) > 1
    assert {each.served_by for each in found} == {"vectors"}
    for each in found[:: max(1, len(found) // 200)]:
        assert_whole(each, twists)


def test_a_request_outlives_its_release(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that is dropped between two steps of a request is no failure: the live one answers from the start."""
    search = MemoryVectorStore._search

    def switch_first(self: MemoryVectorStore, *arguments: Any) -> Any:
        monkeypatch.setattr(MemoryVectorStore, "_search", search)
        for _ in range(2):
            make(rec).fit(world())
        return search(self, *arguments)

    reader = make(rec, refresh_seconds=3_600)
    reader.recommend(1)
    monkeypatch.setattr(MemoryVectorStore, "_search", switch_first)
    found = reader.recommend(1, 3)
    assert found.release == rec.releases()[0].id
    assert [each.item_id for each in found] == [57, 53, 49]


def test_one_thread_loads_while_the_others_serve(rec: Recommender) -> None:
    """A switch stops nobody: until the next release is loaded, the one before it answers."""
    loading, go = threading.Event(), threading.Event()

    class Heavy(TasteEncoder):
        @classmethod
        def load(cls, directory: str | Path) -> Any:
            if threading.current_thread() is not threading.main_thread():
                loading.set()
                assert go.wait(60)
            return super().load(directory)

    reader = make(rec, Heavy())
    before = reader.recommend(1).release
    after = rec.fit(world()).id
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(reader.recommend(1).release))
    thread.start()
    assert loading.wait(60)
    assert reader.recommend(1).release == before
    go.set()
    thread.join()
    assert (found, reader.recommend(1).release) == ([after], after)


def test_a_release_that_cannot_be_loaded_does_not_replace_one_that_can(
    rec: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    """A serving process goes on with what it has, and says so; a writer must not write there, and is told."""
    reader = make(rec)
    before = reader.recommend(1).release
    release = rec.fit(world()).id
    (rec._archive.directory(release) / "golden.npz").unlink()
    assert reader.recommend(1).release == before
    assert f"release {before} goes on serving" in caplog.text
    with pytest.raises(ReleaseError, match=r"golden\.npz"):
        reader.upsert_items([Item(1)])
    with pytest.raises(ReleaseError, match=r"golden\.npz"):
        reader.verify()


def test_a_switch_is_noticed_in_time_and_not_at_every_request(rec: Recommender) -> None:
    """The pointer is looked at every refresh_seconds; own switches count at once."""
    lazy = make(rec, refresh_seconds=3_600)
    before = lazy.recommend(1).release
    after = rec.fit(world()).id
    assert lazy.recommend(1).release == before
    assert make(rec).recommend(1).release == after
    assert lazy.fit(world()).id == lazy.recommend(1).release


def test_a_process_that_starts_without_its_vector_store_serves_what_is_popular(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage while processes restart must not take them all down."""

    def down(*arguments: object) -> None:
        raise StoreUnavailableError("nobody answers")

    with monkeypatch.context() as patch:
        for name in ("_search", "_collections", "_spec"):
            patch.setattr(MemoryVectorStore, name, down)
        late = make(rec)
        assert late.recommend(1, 3).served_by == "popularity"
    assert late.recommend(1, 3).served_by == "vectors"


# -- writing


def _change(rec: Recommender, round_: int) -> None:
    """Add, change and delete, differently each time."""
    rec.upsert_items(
        [
            Item(f"new {round_}", {"title": "new", "tastes": ["love"], "year": 2100 + round_}),
            Item(round_, {"title": f"changed {round_}", "tastes": ["war"], "year": 1900 + round_}),
        ]
    )
    rec.delete_items([20 + round_, f"new {round_ - 3}"])


@each_engine()
def test_changes_during_a_build_reach_both_generations(engine: Engine) -> None:
    """Whatever is written between the stages of a build is in the new release, and after a rollback in the old one."""
    with engine.recommender() as rec, engine.recommender() as writer:
        rec.fit(world())
        rounds = iter(range(1, 100))

        def write(step: Step) -> None:
            if step.stage in ("index", "check") and not (step.stage == "check" and step.done):
                _change(writer, next(rounds))
                assert writer.verify(), str(writer.verify())

        rec.fit(world(), progress=write)
        rec.publish(progress=write)
        assert rec.verify(), str(rec.verify())
        assert rec.recommend(1, 1)[0]["title"] == "new"
        assert next(rounds) > 4
        rec.rollback()
        assert rec.verify(), str(rec.verify())


def _write_until(engine: Engine, stop: Any, progress: Any) -> None:
    """Another process changes the catalogue until it is stopped."""
    with engine.recommender() as rec:
        for round_ in range(1, 10_000):
            _change(rec, round_ % 15 + 1)
            progress.put(round_)
            if stop.is_set():
                return


@each_engine(("servers",))
def test_changes_of_another_process_during_a_build_are_not_lost(engine: Engine) -> None:
    """A process that writes without pause through a fit and a rollback: both sides agree, in both generations."""
    context = multiprocessing.get_context("spawn")
    stop, rounds = context.Event(), context.Queue()
    with engine.recommender() as rec:
        rec.fit(world())
        process = context.Process(target=_write_until, args=(engine, stop, rounds))
        process.start()

        def wait_for_a_round(step: Step) -> None:
            if step.stage in ("index", "check") and not (step.stage == "check" and step.done):
                while not rounds.empty():
                    rounds.get()
                rounds.get(timeout=60)

        rec.fit(world(), progress=wait_for_a_round)
        rounds.get(timeout=60)
        rec.rollback()
        rounds.get(timeout=60)
        stop.set()
        while process.is_alive():
            process.join(0.1)
            while not rounds.empty():
                rounds.get()
        assert process.exitcode == 0
        assert rec.verify(), str(rec.verify())
        rec.rollback()
        assert rec.verify(), str(rec.verify())
