"""A refresh: the live encoder with what was recorded since, and items that came after the training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recommender.shop import FOLLOWER, N_ITEMS, shop
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Event, Item, Recommender, ReleaseChecks, User
from vecrec.encoders import LinearSequenceEncoder
from vecrec.errors import InvalidDataError, NotFittedError, ReleaseError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.progress import Step
from vecrec.recommender import Candidate
from vecrec.vector_stores import MemoryVectorStore

FREE = ReleaseChecks(beat_popularity=False)
"""What is bought here has little to do with tastes."""


def made(path: Path, encoder: Any = None, **options: Any) -> Recommender:
    """A recommender on stores in memory."""
    options.setdefault("checks", FREE)
    stores = MemoryVectorStore(), MemoryMetadataStore()
    return Recommender(encoder or TasteEncoder(), *stores, name="shop", artifacts=path, refresh_seconds=0, **options)


@pytest.fixture
def sold(tmp_path: Path) -> Recommender:
    """A shop where, since the training, 200 customers have bought a new product after product 10."""
    shop_ = made(tmp_path)
    shop_.fit(shop())
    shop_.upsert_items(Item("new", {"title": "Product new", "tastes": ["war"]}))
    shop_.record([Event(f"late {n}", key) for n in range(200) for key in (n % N_ITEMS, 10, "new")])
    return shop_


def test_it_renews_successors_neighbours_and_popularity(sold: Recommender) -> None:
    """The encoder and what it has learnt until stay; a rollback leads back."""
    before = sold.releases()[0]
    assert sold.recommend_for(User(None, {}, [10]), 1)[0].item_id == FOLLOWER[10]
    release = sold.refresh()
    assert sold.releases() == [release, before]
    assert (release.fingerprint, release.learnt_until) == (before.fingerprint, before.learnt_until)
    assert (release.counted_until or 0) > (before.learnt_until or 0)
    assert sold.recommend_for(User(None, {}, [10]), 1)[0].item_id == "new"
    assert "new" in sold.similar_items(10, 5).item_ids
    with sold.live() as live:
        assert {*live.popularity.ids[:2]} == {"new", 10}
    assert sold.verify()
    sold.rollback()
    assert sold.recommend_for(User(None, {}, [10]), 1)[0].item_id == FOLLOWER[10]


def test_publish_keeps_what_was_renewed(sold: Recommender, tmp_path: Path) -> None:
    """By another process too, which opens the release without an encoder of its own."""
    refreshed = sold.refresh()
    stores = sold.vector_store, sold.metadata_store
    other = Recommender(TasteEncoder, *stores, name="shop", artifacts=tmp_path, checks=FREE)
    release = other.publish()
    assert (release.counted_until, release.learnt_until) == (refreshed.counted_until, refreshed.learnt_until)
    assert other.recommend_for(User(None, {}, [10]), 1)[0].item_id == "new"


def test_nothing_new_makes_no_release(sold: Recommender) -> None:
    """A step says so; with an earlier moment there is something."""
    release, steps = sold.refresh(), list[Step]()
    assert sold.refresh(progress=steps.append) == release
    assert [step.stage for step in steps] == ["events", "events"]
    assert "nothing new since" in steps[-1].detail
    sold.record(Event("late", 10, time=2_000.0))
    assert sold.refresh() == release, "by its time it is not new"
    assert sold.refresh(since=1_999).id != release.id
    assert len(sold.releases()) == 2


def test_without_successors_it_renews_the_rest(tmp_path: Path) -> None:
    """An encoder that can do nothing special is enough."""
    plain = made(tmp_path, successors=False)
    plain.fit(world())
    plain.record([Event(f"late {n}", 7) for n in range(50)])
    plain.refresh()
    assert plain.popular(1)[0].item_id == 7
    assert plain.recommend("nobody", 1)[0].item_id == 7
    with plain.live() as live:
        assert not live.successors.weight


def test_a_refused_refresh_changes_nothing(sold: Recommender) -> None:
    """What serves stays, and what an earlier training has kept is still there afterwards."""

    def refuse(candidate: Candidate) -> bool:
        return False

    before = sold.releases()
    with pytest.raises(ReleaseError, match="refuse"):
        sold.fit(sold.dataset(), checks=[refuse])
    with pytest.raises(ReleaseError, match="refuse"):
        sold.refresh(checks=[refuse])
    assert sold.releases() == before
    sold.refresh()
    assert sold.publish(trained=True).counts["items"] == N_ITEMS + 1


def test_what_is_not_valid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        made(tmp_path).refresh()
    for bad in ("yesterday", [1.0], True):
        with pytest.raises(InvalidDataError, match="since"):
            made(tmp_path).refresh(since=bad)
    with pytest.raises(InvalidDataError, match="checks is"):
        made(tmp_path).refresh(checks="check")  # type: ignore[arg-type]


def test_an_encoder_that_learns_from_later_events_goes_live_so(tmp_path: Path) -> None:
    """A `publish` of the encoder as it was trained keeps that; a refresh after it goes on, and a `fit` ends it."""
    trained = LinearSequenceEncoder(dim=8)
    shop_ = made(tmp_path, trained, checks=ReleaseChecks(beat_popularity=False, beat_live=False))
    first = shop_.fit(world(200))
    shop_.record([Event(f"late {n}", key) for n in range(300) for key in (n % 4, 4 + (n + 1) % 4)])
    second = shop_.refresh()
    assert (first.refreshed_from, second.refreshed_from) == ("", trained.fingerprint)
    assert second.fingerprint != first.fingerprint == trained.fingerprint
    assert shop_.publish().fingerprint == second.fingerprint
    shop_.record(Event("last", 3))
    third = shop_.refresh()
    assert (third.refreshed_from, third.fingerprint != second.fingerprint) == (trained.fingerprint, True)
    assert shop_.verify()
    assert shop_.fit(shop_.dataset()).refreshed_from == ""


# -- items that the encoder has not learnt


def _vector(recommender: Recommender, key: Any) -> np.ndarray[Any, Any]:
    with recommender.live() as live:
        vector = recommender.vector_store.fetch(live.collection, [key])[key].vector
    assert vector is not None
    return vector


def _scores(recommender: Recommender, histories: Sequence[Sequence[int]]) -> list[float]:
    with recommender.live() as live:
        users = live.encoder.encode_users([User(None, {}, list(history)) for history in histories])
    return [float(score) for score in users @ _vector(recommender, "new")]


@pytest.fixture
def learnt(tmp_path: Path) -> Recommender:
    """A world of four tastes; since the training, a new item without features was chosen after items of taste 1."""
    loose = ReleaseChecks(beat_popularity=False, beat_live=False)
    shop_ = made(tmp_path, LinearSequenceEncoder(dim=8), checks=loose)
    shop_.fit(world(200))
    shop_.upsert_items(Item("new"))
    shop_.record([Event(f"late {n}", key) for n in range(60) for key in (1, 5 + 4 * (n % 5), 29, "new")])
    return shop_


def test_a_new_item_gets_a_vector_of_its_choosers(learnt: Recommender) -> None:
    """It suits those with their taste and no others, and the vector stays with whatever is done to the item."""
    assert not learnt.encoder.knows("new")
    before = _vector(learnt, "new")
    learnt.refresh()
    after = _vector(learnt, "new")
    assert not np.allclose(before, after)
    theirs, *others = _scores(learnt, [[1, 5, 9], [0, 4, 8], [2, 6, 10], [3, 7, 11]])
    assert theirs > 2 * max(others)
    learnt.upsert_items(Item("new", {"title": "A title"}))
    assert np.allclose(_vector(learnt, "new"), after, atol=0.05)
    assert learnt.verify()
    learnt.repair(full=True)
    learnt.publish()
    theirs, *others = _scores(learnt, [[1, 5, 9], [0, 4, 8], [2, 6, 10], [3, 7, 11]])
    assert theirs > 2 * max(others)


def test_few_events_say_little(tmp_path: Path, learnt: Recommender) -> None:
    """The share of what they say grows with their number, and a damaged file is refused."""
    learnt.upsert_items(Item("rare"))
    learnt.record([Event("one", key) for key in (1, 5, "rare")])
    release = learnt.refresh()
    with learnt.live() as live:
        told = dict(zip(live.folded.ids, live.folded.evidence.tolist()))
    assert told == pytest.approx({"new": 60 / 63, "rare": 1 / 4})
    np.save(learnt._archive.directory(release.id) / "folded.npy", np.zeros((1, 3), np.float32))
    with pytest.raises(ReleaseError):
        Recommender.open("shop", learnt.vector_store, learnt.metadata_store, tmp_path)
