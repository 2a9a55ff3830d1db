"""What a release must show against the live one and the caller's checks, and what was trained when it does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import override

from tests.recommender.tastes import SCHEMA, TASTES, TasteEncoder, world
from vecrec import Event, Item, Recommender, ReleaseChecks, User
from vecrec.data import Dataset
from vecrec.errors import InvalidDataError, ReleaseError, StoreTimeoutError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.progress import Step
from vecrec.recommender import Candidate
from vecrec.vector_stores import MemoryVectorStore

FREE = ReleaseChecks(beat_popularity=False)


class Confused(TasteEncoder):
    """Wants the opposite of what users liked: a broken training."""

    name = "confused"

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return -super()._encode_users(users)


class Recording(TasteEncoder):
    """Remembers the data that it was fitted with."""

    learnt: Dataset

    @override
    def _fit(self, data: Dataset, progress: Any) -> None:
        self.learnt = data
        super()._fit(data, progress)


def opened(path: Path, stores: Any, encoder: Any = None, **options: Any) -> Recommender:
    """The recommender as one more process opens it."""
    options.setdefault("checks", FREE)
    return Recommender(encoder or TasteEncoder(), *stores, name="movies", artifacts=path, refresh_seconds=0, **options)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoders of these tests, as an installed package registers them."""
    kinds = {kind.name: kind for kind in (TasteEncoder, Confused)}
    monkeypatch.setattr("vecrec.recommender.live.find_part", lambda group, name: kinds[name])


@pytest.fixture
def stores() -> Any:
    return MemoryVectorStore(), MemoryMetadataStore()


@pytest.fixture
def lived(tmp_path: Path, stores: Any) -> Recommender:
    """A release, and 60 users who have chosen one more item of their taste since it was trained."""
    made = opened(tmp_path, stores)
    made.fit(world(60, 80))
    made.record([Event(user, 4 * 18 + user % 4) for user in range(60)])
    return made


def test_the_latest_events_are_held_out_and_compared(lived: Recommender, tmp_path: Path, stores: Any) -> None:
    """Half of the users who have one: the encoder has not seen them, the stores keep them, the manifest has figures."""
    encoder = Recording()
    made = opened(tmp_path, stores, encoder)
    data = made.dataset()
    release = made.fit(data)
    assert data.n_events - encoder.learnt.n_events == release.checks["held_out"] == 30
    left = {(event.user_id, event.item_id) for event in data.events()} - {
        (event.user_id, event.item_id) for event in encoder.learnt.events()
    }
    assert left <= {(user, 72 + user % 4) for user in range(60)}
    assert made.dataset().n_events == data.n_events
    figures = release.checks
    assert figures["ndcg"] == figures["live_ndcg"]
    assert figures["difference_low"] == figures["difference_high"] == 0
    assert 0 < float(figures["coverage"] or 0) <= 1
    assert figures["unknown_items"] == 0
    assert release.learnt_until == data.as_of
    # The next night has no event that the live release has not learnt.
    assert "held_out" not in made.fit(made.dataset()).checks


def test_a_release_that_is_clearly_worse_does_not_go_live(lived: Recommender, tmp_path: Path, stores: Any) -> None:
    """The message has the difference with its interval, and the live release goes on serving."""
    served = lived.recommend(1, 5)
    made = opened(tmp_path, stores, Confused())
    with pytest.raises(ReleaseError, match=r"30 held-out events .* worse .*interval.*publish\(trained"):
        made.fit(made.dataset())
    assert opened(tmp_path, stores).recommend(1, 5).items == served.items
    loose = opened(tmp_path, stores, Confused(), checks=ReleaseChecks(beat_popularity=False, beat_live=False))
    release = loose.fit(loose.dataset())
    assert "held_out" not in release.checks, "nothing is held out where nothing is compared"


def test_few_events_are_not_compared(tmp_path: Path, stores: Any) -> None:
    made = opened(tmp_path, stores)
    made.fit(world())
    made.record([Event(user, 56 + user % 4) for user in range(30)])
    assert "held_out" not in opened(tmp_path, stores, Confused()).fit(made.dataset()).checks


@pytest.mark.parametrize("answer", [None, True, 0.25, 7])
def test_checks_of_the_caller_see_what_would_be_served(lived: Recommender, answer: Any) -> None:
    """They get the candidate, which is not live yet; a number that they return is kept."""
    seen: list[Candidate] = []

    def bestsellers(candidate: Candidate) -> Any:
        seen.append(candidate)
        live = lived.releases()[0].id
        found = candidate.recommend(2, 3, exclude=[58])
        assert found.release == candidate.release.id != live
        assert len(candidate.recommend_many([1, 2], 4)) == 2
        assert candidate.release.checks["hits"] is not None
        assert candidate.encoder.is_fitted
        return answer

    release = lived.fit(lived.dataset(), checks=[bestsellers])
    assert (len(seen), release.id) == (1, lived.releases()[0].id)
    assert release.checks.get("bestsellers") == (None if answer in (None, True) else answer)
    assert lived.publish(checks=[bestsellers]).checks.get("bestsellers") == release.checks.get("bestsellers")


def _refuse(candidate: Candidate) -> bool:
    return False


def _raise(candidate: Candidate) -> None:
    raise LookupError("no bestseller")


@pytest.mark.parametrize(("check", "message"), [(_refuse, "check _refuse"), (_raise, "no bestseller")])
def test_a_check_refuses(lived: Recommender, check: Any, message: str) -> None:
    before = lived.releases()
    with pytest.raises(ReleaseError, match=message):
        lived.fit(lived.dataset(), checks=[check])
    assert lived.releases() == before
    assert lived.vector_store.collections() == sorted(each.collection for each in before)


@pytest.mark.parametrize("checks", [_refuse, [1], None, "check"])
def test_what_is_no_check_is_refused_before_the_training(lived: Recommender, checks: Any) -> None:
    with pytest.raises(InvalidDataError, match="checks is"):
        lived.fit(lived.dataset(), checks=checks)
    with pytest.raises(InvalidDataError, match="checks is"):
        lived.publish(checks=checks)


def test_what_was_trained_is_kept_when_the_index_times_out(lived: Recommender, tmp_path: Path, stores: Any) -> None:
    """Another process goes on from it without training, on the events that were held out; then nothing is kept."""

    class Slow(MemoryVectorStore):
        def _flush(self, *_: Any) -> None:
            raise StoreTimeoutError("the index is not built", "wait")

    slow = Slow()
    slow._data = stores[0]._data
    made = opened(tmp_path, (slow, stores[1]))
    data = made.dataset()
    with pytest.raises(StoreTimeoutError, match=r"publish\(trained=True\)"):
        made.fit(data)
    before = lived.releases()[0]

    class Untrainable(TasteEncoder):
        @override
        def _fit(self, data: Dataset, progress: Any) -> None:
            raise AssertionError("trained again")

    stages: list[str] = []
    other = opened(tmp_path, stores, Untrainable())

    def watch(step: Step) -> None:
        stages.append(step.stage)

    release = other.publish(trained=True, progress=watch)
    assert release.id != before.id
    assert release.checks["held_out"] == 30
    assert (release.learnt_until or 0) > (before.learnt_until or 0)
    assert {"index", "check"} <= {*stages}
    assert other.verify()
    with pytest.raises(ReleaseError, match="holds nothing that was trained"):
        other.publish(trained=True)


def test_what_is_kept_names_nobody(lived: Recommender, tmp_path: Path) -> None:
    """The users whose events were held out stand there as keyed hashes alone."""
    lived.upsert_users(User("anna@example.org", {"taste": TASTES[1]}))
    with pytest.raises(ReleaseError):
        lived.fit(lived.dataset(), checks=[_refuse])
    text = (tmp_path / "movies" / "trained" / "trained.json").read_text()
    assert "anna" not in text
    assert '"held_out"' in text


def test_the_checks_of_what_is_kept_still_count(lived: Recommender, tmp_path: Path, stores: Any) -> None:
    """Going on is no way around them."""
    made = opened(tmp_path, stores, Confused())
    with pytest.raises(ReleaseError, match="worse"):
        made.fit(made.dataset())
    with pytest.raises(ReleaseError, match="worse"):
        opened(tmp_path, stores, Confused).publish(trained=True)
    free = opened(tmp_path, stores, Confused, checks=ReleaseChecks(beat_popularity=False, beat_live=False))
    assert free.publish(trained=True).encoder == "confused"


def test_items_without_events_are_unknown(tmp_path: Path, stores: Any) -> None:
    """Their share is in the manifest."""

    class Choosy(TasteEncoder):
        @override
        def knows(self, item_id: Any) -> bool:
            return str(item_id) != "new"

    made = opened(tmp_path, stores, Choosy())
    base = world()
    made.fit(Dataset([*base.events()], [*base.items(), Item("new", {"tastes": ["war"]})], schema=SCHEMA))
    assert made.releases()[0].checks["unknown_items"] == round(1 / 61, 4)
    assert (made.releases()[0].learnt_until or 0) <= time.time()
