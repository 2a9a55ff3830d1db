"""What somebody dislikes never comes, and what is like it sinks: measured with encoders that learn clusters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TasteEncoder, world
from tests.recommender.test_reranking import counted
from vecrec import Event, FeedbackPolicy, Item, Recommendations, Recommender, ReleaseChecks, User, field
from vecrec.data import Categorical, Dataset, Schema
from vecrec.encoders import (
    ContentEncoder,
    Encoder,
    LinearSequenceEncoder,
    LinearSequenceSettings,
    TwoTowerEncoder,
    TwoTowerSettings,
)
from vecrec.errors import InvalidDataError, StoreUnavailableError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.recommender.dislikes import LATEST, similarity_to_disliked
from vecrec.rerankers import MMRReranker
from vecrec.vector_stores import MemoryVectorStore

CLUSTERS, SIZE, USERS = 6, 25, 240
STARS = 2.0


PAIRS = list(itertools.combinations(range(CLUSTERS), 2))


def _clustered() -> Dataset:
    """Item i is of cluster i % 6; each user likes two clusters, every pair alike, ten items of each in any order."""
    rng = np.random.default_rng(0)
    events = []
    for user in range(USERS):
        own = [
            int(item) * CLUSTERS + cluster
            for cluster in PAIRS[user % len(PAIRS)]
            for item in rng.choice(SIZE, 10, replace=False)
        ]
        rng.shuffle(own)
        events += [Event(user, item, float(n), float(rng.integers(3, 6))) for n, item in enumerate(own)]
    items = [Item(item, {"shelf": f"shelf {item % CLUSTERS}"}) for item in range(CLUSTERS * SIZE)]
    return Dataset(events, items, schema=Schema(items=(Categorical("shelf", filterable=True),)))


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "content": lambda: ContentEncoder(dim=64),
    "linear": lambda: LinearSequenceEncoder(dim=8, settings=LinearSequenceSettings(ridge=3.0)),
    "two-tower": lambda: TwoTowerEncoder(
        dim=32, settings=TwoTowerSettings(hidden=0, negatives=64, epochs=4, min_steps=200), threads=1
    ),
}


@pytest.fixture(scope="module", params=ENCODERS)
def clusters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """A recommender of the clusters, where one and two stars are dislikes."""
    with Recommender(
        ENCODERS[request.param](),
        MemoryVectorStore(),
        MemoryMetadataStore(),
        artifacts=tmp_path_factory.mktemp("artifacts"),
        feedback=FeedbackPolicy(negative_rating=STARS),
        checks=ReleaseChecks(beat_popularity=False),
        refresh_seconds=0,
    ) as rec:
        rec.fit(_clustered())
        yield rec


def _places(found: Recommendations) -> dict[Id, int]:
    return {item.item_id: item.rank for item in found}


def test_what_is_like_a_dislike_sinks(clusters: Recommender) -> None:
    """Thirty users dislike their first recommendation: for each its cluster loses to the other one that they like.

    By scores for nine in ten at least, and by ranks, over all items that may come, by a tenth of them on average.
    The other cluster rises.
    """
    lost: list[float] = []
    sunk: list[float] = []
    others: list[float] = []
    for user in range(30):
        before = clusters.recommend(user, CLUSTERS * SIZE)
        disliked = before[0].item_id
        clusters.record(Event(user, disliked, rating=1.0))
        after = clusters.recommend(user, CLUSTERS * SIZE)
        assert disliked not in _places(after)
        own = int(disliked) % CLUSTERS
        (other,) = [cluster for cluster in PAIRS[user % len(PAIRS)] if cluster != own][:1]
        gaps = [_means(found, own, disliked)[0] - _means(found, other, disliked)[0] for found in (before, after)]
        lost.append(gaps[0] - gaps[1])
        sunk.append(_means(after, own, disliked)[1] - _means(before, own, disliked)[1])
        others.append(_means(after, other, disliked)[1] - _means(before, other, disliked)[1])
    assert np.mean(np.array(lost) > 0) >= 0.9, lost
    assert np.mean(sunk) > CLUSTERS * SIZE / 10, sunk
    assert np.mean(others) < 0, others


def _means(found: Recommendations, cluster: int, but: Id) -> tuple[float, float]:
    """The mean score and the mean rank of a cluster's items in a list."""
    kind = [item for item in found if int(item.item_id) % CLUSTERS == cluster and item.item_id != but]
    assert len(kind) >= SIZE - 11
    return float(np.mean([item.score for item in kind])), float(np.mean([item.rank for item in kind]))


def test_a_disliked_item_never_comes(clusters: Recommender) -> None:
    """Whether seen items may come or not, filtered or not, reranked or not, for stored users and for given ones."""
    user = 100
    first = clusters.recommend(user, 1)[0].item_id
    shelf = f"shelf {int(first) % CLUSTERS}"
    assert first in _places(clusters.recommend(user, 5, exclude_seen=False, where=field("shelf") == shelf))
    clusters.record(Event(user, first, rating=2.0))
    stored = [event.item_id for event in clusters.metadata_store.recent_events([user], 100)[user]]
    visitor = User(None, None, [*(Event(None, item) for item in stored[:-1]), Event(None, first, rating=1.5)])
    for options in (
        {},
        {"exclude_seen": False},
        {"exclude_seen": False, "where": field("shelf") == shelf},
        {"exclude_seen": False, "rerank": MMRReranker(0.3)},
    ):
        given: dict[str, Any] = options
        for found in (
            clusters.recommend(user, 149, **given),
            clusters.recommend_many([user, 101], 149, **given)[0],
            clusters.recommend_for(visitor, 149, **given),
            clusters.recommend_for(User(None, None, stored[:-1]), 149, disliked=[first], **given),
        ):
            assert len(found) > 10
            assert first not in _places(found)
            assert "dislikes" in found.based_on


def test_more_dislikes_sink_deeper_than_one(clusters: Recommender) -> None:
    """Of a visitor who likes two clusters, the one that is disliked too goes down with each dislike."""
    own = [item for item in range(CLUSTERS * SIZE) if item % CLUSTERS in (2, 3)]
    visitor = User(None, None, own[1:21])
    shelf = [item for item in own[21:] if item % CLUSTERS == 2]
    places = []
    for count in (0, 1, 8):
        found = clusters.recommend_for(visitor, CLUSTERS * SIZE, disliked=shelf[:count])
        places.append(np.mean([item.rank / len(found) for item in found if item.item_id in shelf[8:]]))
    assert places[0] + 0.1 < places[1] < places[2]


def test_somebody_who_only_dislikes_gets_popular_items_of_another_kind(clusters: Recommender) -> None:
    """Popularity serves, those that are like the disliked ones further down; and says what is known."""
    plain = clusters.recommend("a stranger", 40)
    kind = int(plain[0].item_id) % CLUSTERS
    disliked = [item for item in range(CLUSTERS * SIZE) if item % CLUSTERS == kind][:5]
    found = clusters.recommend_for(User(None, None, [Event(None, item, rating=1.0) for item in disliked]), 40)
    assert found.served_by == "popularity"
    assert found.notes == ("only what they dislike is known about this user, popularity serves",)
    assert not set(disliked) & set(_places(found))
    shares = [np.mean([int(item.item_id) % CLUSTERS == kind for item in each]) for each in (plain, found)]
    assert shares[1] < shares[0] / 2
    assert all(0 <= item.score <= 1 for item in found)
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


# -- in a world whose right answers are plain


def test_the_last_word_counts(rec: Recommender) -> None:
    """A dislike takes back a like, and a like a dislike: the user's vector is what it would be without the first."""
    rec.record([Event("fickle", 2, 1.0, 5.0), Event("fickle", 3, 2.0, -1.0), Event("fickle", 3, 3.0, 5.0)])
    likes = rec.recommend_for(User(None, None, [2, 3]), 8)
    assert _places(rec.recommend("fickle", 8)) == _places(likes)
    rec.record(Event("fickle", 3, 4.0, 0.0))
    one = rec.recommend_for(User(None, None, [Event(None, 2)]), 12, disliked=[3])
    assert _places(rec.recommend("fickle", 12)) == _places(one)
    assert {str(item["tastes"]) for item in one} == {"['space']"}


def test_zero_and_below_are_dislikes_by_default(rec: Recommender) -> None:
    """One star is not: whoever counts stars says so. ``None`` has no dislikes."""
    likes = [Event(None, item, rating=5.0) for item in (1, 5, 2)]
    for rating, disliked in ((0.0, True), (-1.0, True), (1.0, False), (None, False)):
        user = User(None, None, [*likes, Event(None, 9, rating=rating)])
        found = rec.recommend_for(user, 60, exclude_seen=False)
        assert (9 in _places(found)) is not disliked
        assert ("dislikes" in found.based_on) is disliked


def test_no_rating_is_a_dislike_where_none_is_to_be(tmp_path: Path) -> None:
    """``negative_rating=None``: events tell of what was seen, and nothing else."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    with Recommender(TasteEncoder(), *stores, artifacts=tmp_path, feedback=FeedbackPolicy(negative_rating=None)) as rec:
        rec.fit(world())
        user = User(None, None, [Event(None, 9, rating=-5.0)])
        assert 9 in _places(rec.recommend_for(user, 60, exclude_seen=False))
        assert 9 not in _places(rec.recommend_for(user, 60, exclude_seen=False, disliked=[9]))


@pytest.mark.parametrize("wrong", [2, True, FeedbackPolicy, {"negative_rating": 2}], ids=repr)
def test_what_is_not_a_policy_is_refused(tmp_path: Path, wrong: Any) -> None:
    """By name."""
    with pytest.raises(InvalidDataError, match="feedback is"):
        Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path, feedback=wrong)


def test_scores_lose_what_the_formula_says(rec: Recommender) -> None:
    """The product of the vectors, less the similarity as a share of the span of all candidates."""
    user = User(None, None, [1, 2])
    found = {item.item_id: item.score for item in rec.recommend_for(user, 60, disliked=[5])}
    plain = {item.item_id: item.score for item in rec.recommend_for(user, 60, exclude=[5])}
    assert found.keys() == plain.keys()
    span = max(plain.values()) - min(plain.values())
    vectors = {key: rec.encoder.encode_items([item])[0] for key, item in rec.get_items([5, *found]).items()}
    with rec.live() as live:
        similarity = similarity_to_disliked(list(plain), [5], vectors, live.shares, live.popularity.ids)
    assert {0.0, 1.0} <= {*similarity.tolist()}
    for (key, score), share in zip(plain.items(), similarity.tolist()):
        assert found[key] == pytest.approx(score - 1.01 * span * share, abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def _around(cosines: list[float]) -> dict[Id, NDArray[np.float32]]:
    """Vectors with these cosines to that of the item "bad"."""
    rows = [[each, np.sqrt(1 - each**2)] for each in cosines]
    return {"bad": np.array([1, 0], np.float32), **{n: np.array(row, np.float32) for n, row in enumerate(rows)}}


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.6])
def test_how_large_cosines_are_says_nothing(shift: float) -> None:
    """An encoder whose cosines are all larger has the same similarities: only the one that stands out is similar."""
    cosines = [0.02 + 0.001 * n for n in range(99)] + [0.25]
    found = similarity_to_disliked(range(100), ["bad"], _around([each + shift for each in cosines]), {})
    assert found[-1] == 1
    assert found[:60].tolist() == [0.0] * 60


def test_popularity_does_not_make_similar() -> None:
    """Cosines that rise with popularity and nothing else make no item similar; without knowing it they would."""
    shares: dict[Id, float] = {n: float(n**3 / 1e6) for n in range(1, 101)}
    cosines = [0.1 * float(np.log1p(1_000 * share)) for share in shares.values()]
    vectors = {key + 1 if isinstance(key, int) else key: row for key, row in _around(cosines).items()}
    assert similarity_to_disliked(list(shares), ["bad"], vectors, shares).max() == 0
    assert similarity_to_disliked(list(shares), ["bad"], vectors, {}).max() > 0


@pytest.mark.parametrize("vectors", [{}, {"bad": np.ones(2, np.float32)}, _around([])], ids=len)
def test_without_vectors_nothing_is_similar(vectors: dict[Id, NDArray[np.float32]]) -> None:
    """Neither of the items nor of the disliked one."""
    assert similarity_to_disliked([0, 1], ["bad"], vectors, {}).tolist() == [0, 0]


def test_given_items_that_are_like_a_dislike_come_last(rec: Recommender) -> None:
    """Of two tastes that are liked alike, the one that is disliked too."""
    user = User(None, None, [1, 2])
    assert [item.item_id for item in rec.rank(user, [53, 54, 5], disliked=[9])] == [54, 53, 5]
    assert [item.item_id for item in rec.rank(user, [53, 54])] == [54, 53]
    assert [item.item_id for item in rec.rank(user, [53, 54], disliked=[10])] == [53, 54]
    stranger = [item.item_id for item in rec.rank(User(), [0, 1, 2, 3], disliked=[8])]
    assert stranger == [1, 2, 3, 0]


@each_engine(("embedded",))
def test_engines_on_disk_know_dislikes_too(engine: Engine) -> None:
    """The events are read back with their ratings, and the disliked items' vectors from the live collection."""
    with engine.recommender() as rec:
        rec.fit(world())
        rec.record([Event("anna", 1, 1.0), Event("anna", 2, 2.0), Event("anna", 5, 3.0, 0.0)])
        found = rec.recommend("anna", 12, exclude_seen=False)
        assert {str(item["tastes"]) for item in found} == {"['space']"}
        assert found.based_on == ("history", "dislikes")
        assert 5 not in _places(rec.recommend("anna", 60, exclude_seen=False))


def test_dislikes_are_read_in_one_round_trip_and_only_if_there_are_some(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many users dislike something; nobody else pays for them."""
    trips = counted(rec, monkeypatch)
    rec.recommend_many(range(8), 5)
    assert trips == []
    rec.record([Event(user, 57, rating=-1.0) for user in range(4)])
    rec.recommend_many(range(8), 5)
    assert len(trips) == 1


def test_while_the_vectors_are_away_popularity_serves_without_the_disliked(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be turned then; the disliked items still do not come."""
    waited = []

    def away(*given: object) -> object:
        waited.append(given)
        raise StoreUnavailableError("nobody answers")

    monkeypatch.setattr(rec.vector_store, "fetch", away)
    monkeypatch.setattr(rec.vector_store, "search", away)
    for user in (User(None, None, [1, Event(None, 0, rating=0.0)]), User(None, None, [Event(None, 0, rating=0.0)])):
        waited.clear()
        found = rec.recommend_for(user, 5)
        assert (found.served_by, len(found)) == ("popularity", 5)
        assert 0 not in _places(found)
        assert len(waited) == 1
    waited.clear()
    assert len(rec.recommend_for(User(None, None, [1]), 5, rerank=MMRReranker(0.3))) == 5
    assert len(waited) == 1


def test_dislikes_count_when_the_live_path_is_measured(rec: Recommender) -> None:
    """The exact search that the index is held against turns the same vectors: nothing is taken for its loss."""
    data = world()
    last = np.zeros(data.n_events, bool)
    last[data.user_offsets[1:] - 1] = True
    rec.record([Event(user, 4 * 13 + (user + 1) % 4, 5_000.0, -1.0) for user in range(20)])
    unseen = [Event(user, 56 + user % 4, 6_000.0) for user in range(40)]
    found = rec.evaluate(Dataset(unseen, list(data.items()), list(data.users()), data.schema), 5)
    assert found.fates["index"][5] == 0
    assert found.fates["found"][5] == pytest.approx(1)


def test_the_latest_fifty_dislikes_count() -> None:
    """An item equal to the oldest of fifty is wholly similar to it; one more dislike, and it is not."""
    axes = np.eye(LATEST + 2, dtype=np.float32)
    vectors: dict[Id, NDArray[np.float32]] = {"equal": axes[0], "other": axes[-1], **dict(enumerate(axes[:-1]))}
    for count, expected in ((LATEST, 1), (LATEST + 1, 0)):
        assert similarity_to_disliked(["equal", "other"], range(count), vectors, {}).tolist() == [expected, 0]
