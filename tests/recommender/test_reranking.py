"""The second stage through the facade: chosen for a call, or trained, checked, kept and served with a release."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from typing_extensions import override

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TASTES, TasteEncoder, world
from tests.testing.references import BestRated
from vecrec import Event, Recommendation, Recommender, ReleaseChecks, User, field
from vecrec.data import Dataset
from vecrec.encoders import ContentEncoder, Encoder, LinearSequenceEncoder
from vecrec.errors import InvalidDataError, NotFittedError, ReleaseError, StoreUnavailableError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.progress import Progress
from vecrec.rerankers import Candidates, ChainReranker, MMRReranker, RatingReranker, RatingSettings
from vecrec.vector_stores import MemoryVectorStore


def ids(recommendations: Sequence[Recommendation]) -> list[Id]:
    return [each.item_id for each in recommendations]


class Oldest(MMRReranker):
    """The oldest items first: easy to tell from every other order."""

    name: ClassVar[str] = "oldest"

    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        scored = [replace(item, score=-float(str(item["year"]))) for item in candidates]
        return sorted(scored, key=lambda item: -item.score)


class Bound(Oldest):
    """Has learnt from the vectors of one encoder."""

    name: ClassVar[str] = "bound"
    seen: str | None = None

    @property
    @override
    def encoder_fingerprint(self) -> str | None:
        return self.seen

    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        self.seen = encoder.fingerprint


def counted(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The calls that fetch vectors, as they come."""
    trips: list[object] = []
    fetch = rec.vector_store.fetch

    def count(*given: Any) -> Any:
        trips.append(given)
        return fetch(*given)

    monkeypatch.setattr(rec.vector_store, "fetch", count)
    return trips


def made(path: Path, **options: object) -> Recommender:
    """A recommender of the little world with a second stage."""
    options = {"reranker": Oldest(depth=30), "refresh_seconds": 0, **options}
    return Recommender(
        TasteEncoder(),
        MemoryVectorStore(),
        MemoryMetadataStore(),
        name="movies",
        artifacts=path,
        **options,  # type: ignore[arg-type]
    )


# -- handed to a call


def test_a_stage_sees_the_candidates_with_their_vectors(rec: Recommender) -> None:
    """The query is the user's vector, the vectors are those of the collection, and k is what was asked for."""
    seen: list[Candidates] = []

    class Looks:
        depth = 7

        def rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
            assert user.id == 1
            assert [event.item_id for event in user.history] == [4 * n + 1 for n in range(12)]
            seen.append(candidates)
            return candidates

    found = rec.recommend(1, 3, rerank=Looks())
    (candidates,) = seen
    assert (len(candidates), candidates.k, ids(candidates[:3])) == (7, 3, ids(found))
    assert candidates.user_vector is not None
    held = rec.encoder.encode_items([rec.get_items([each.item_id])[each.item_id] for each in candidates])
    np.testing.assert_allclose(candidates.vectors, held, atol=1e-6)
    np.testing.assert_allclose(
        candidates.vectors @ candidates.user_vector, [each.score for each in candidates], atol=1e-5
    )


def test_vectors_are_read_once_for_all_users_and_only_if_wanted(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more round trip for a call that reranks by vectors, however many users it has; none for any other."""
    trips = counted(rec, monkeypatch)
    rec.recommend_many(range(8), 5)
    rec.recommend_many(range(8), 5, rerank=Oldest())
    assert trips == []
    rec.recommend_many(range(8), 5, rerank=MMRReranker(0.5))
    assert len(trips) == 1


def test_diversity_shows_in_the_list(rec: Recommender) -> None:
    """Somebody of two tastes gets both of them at once, where the vectors alone would give the stronger one first."""
    user = User(None, None, [1, 5, 9, 13, 17, 21, 2, 6, 10])
    plain = rec.recommend_for(user, 6)
    mixed = rec.recommend_for(user, 6, rerank=MMRReranker(0.5))
    kinds = [{str(each["tastes"]) for each in found} for found in (plain, mixed)]
    assert kinds[0] == {"['love']"}
    assert len(kinds[1]) >= 2
    assert mixed[0].item_id == plain[0].item_id


def test_popular_items_are_reranked_too(rec: Recommender) -> None:
    """Of somebody unknown there is no vector, but the items have theirs."""
    found = rec.recommend("a stranger", 4, rerank=MMRReranker(0.0))
    assert found.served_by == "popularity"
    assert {str(each["tastes"]) for each in found} == {f"['{taste}']" for taste in TASTES}


def test_filters_and_exclusions_hold_whatever_the_stage_does(rec: Recommender) -> None:
    """It gets only what may come, and cannot bring back anything else; still k of them."""
    where = field("year") < 2020
    found = rec.recommend(1, 8, where=where, exclude=[0, 2], rerank=Oldest(depth=1000))
    allowed = set(range(40)) - {4 * n + 1 for n in range(12)} - {0, 2}
    assert ids(found) == sorted(allowed)[:8]
    assert found.shortfall is None


def test_an_order_without_numbers_is_refused(rec: Recommender) -> None:
    """A score that JSON cannot carry would break the reply of the service."""

    class Endless:
        depth = 5

        def rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
            return [replace(item, score=float("inf")) for item in candidates]

    with pytest.raises(InvalidDataError, match="Endless gave item"):
        rec.recommend(1, 3, rerank=Endless())


def test_without_the_vectors_the_order_stays_and_says_so(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vector store goes away between the search and the second stage: the user is served all the same."""
    plain = rec.recommend(1, 4)

    def away(*given: object) -> object:
        raise StoreUnavailableError("nobody answers")

    monkeypatch.setattr(rec.vector_store, "fetch", away)
    found = rec.recommend(1, 4, rerank=MMRReranker(0.2))
    assert ids(found) == ids(plain)
    assert "nothing was reranked" in found.notes[-1]


# -- kept in a release


def test_a_release_has_its_second_stage(tmp_path: Path) -> None:
    """Trained by ``fit`` after the encoder, saved, named by the manifest, and used by every call unless told not to."""
    with made(tmp_path) as rec:
        rec.fit(world())
        release = rec.releases()[0]
        assert (release.reranker, release.reranker_fingerprint) == ("oldest", Oldest(depth=30).fingerprint)
        assert any(name.startswith("reranker/") for name in release.checksums)
        plain, found = rec.recommend(1, 5, rerank=False), rec.recommend(1, 5)
        assert ids(plain) == [57, 53, 49, 59, 58]
        assert ids(found) == sorted(ids(rec.recommend(1, 30, rerank=False)))[:5]
        assert ids(rec.recommend_many([1], 5)[0]) == ids(rec.recommend_for(rec_user(1), 5)) == ids(found)
        assert ids(rec.recommend(1, 5, rerank=MMRReranker(1.0))) == ids(plain)


def rec_user(user: int) -> User:
    """A stored user of the little world, to be given."""
    return User(user, {"taste": TASTES[user % 4]}, [4 * n + user % 4 for n in range(12)])


def test_similar_items_are_not_reranked(tmp_path: Path) -> None:
    """They are for no user, and their order is that of the similarity."""
    with made(tmp_path) as rec:
        rec.fit(world())
        scores = [each.score for each in rec.similar_items(9, 5)]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 0.4


@each_engine(("embedded",))
def test_another_process_serves_it(engine: Engine) -> None:
    """Opened on stores of its own, by the class or by the registered name, it gives the same."""
    with engine.recommender(reranker=MMRReranker(0.3, depth=40)) as rec:
        rec.fit(world())
        expected = rec.recommend_many(range(6), 8)
        assert [ids(one) for one in expected] != [ids(one) for one in rec.recommend_many(range(6), 8, rerank=False)]
    with engine.opened() as opened:
        assert [ids(one) for one in opened.recommend_many(range(6), 8)] == [ids(one) for one in expected]
        assert isinstance(opened.reranker, MMRReranker)
        assert opened.reranker.balance == 0.3


def test_an_unregistered_one_needs_its_class(tmp_path: Path) -> None:
    """As for encoders: the message names it and says what to do."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    with Recommender(TasteEncoder(), *stores, name="movies", artifacts=tmp_path, reranker=Oldest()) as rec:
        rec.fit(world())
        with pytest.raises(InvalidDataError, match=r"'oldest' in 'vecrec.rerankers'.*pass the class"):
            Recommender.open("movies", *stores, tmp_path, encoder=TasteEncoder)
        opened = Recommender.open("movies", *stores, tmp_path, encoder=TasteEncoder, reranker=Oldest)
        assert ids(opened.recommend(1, 5)) == ids(rec.recommend(1, 5))


def test_publishing_goes_on_with_it(tmp_path: Path) -> None:
    """Whoever opened the release publishes with both of its parts; an encoder alone makes a release without."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    options = {"name": "movies", "artifacts": tmp_path, "refresh_seconds": 0}
    first = Recommender(TasteEncoder(), *stores, reranker=MMRReranker(0.4), **options)  # type: ignore[arg-type]
    first.fit(world())
    opened = Recommender.open("movies", *stores, tmp_path, encoder=TasteEncoder)
    assert [opened.publish().reranker for _ in range(2)] == ["mmr", "mmr"]
    encoder = TasteEncoder().fit(world())
    alone = Recommender(encoder, *stores, **options)  # type: ignore[arg-type]
    assert alone.publish().reranker == ""
    assert first.rollback().reranker == "mmr"


def test_one_that_has_learnt_nothing_is_not_published(tmp_path: Path) -> None:
    """Before anything is built."""
    with made(tmp_path, reranker=BestRated()) as rec:
        rec.encoder.fit(world())
        with pytest.raises(NotFittedError, match="the reranker has learnt nothing"):
            rec.publish()
        assert rec.releases() == []


def test_the_vectors_of_another_encoder_are_refused(tmp_path: Path) -> None:
    """At publishing, and where one is handed to a call: its order would be noise."""
    with made(tmp_path, reranker=Bound()) as rec:
        rec.fit(world())
        assert rec.recommend(1, 3)
        stranger = Bound().fit(world(), ContentEncoder(dim=8).fit(world()))
        with pytest.raises(InvalidDataError, match="Bound has learnt from the vectors of another encoder"):
            rec.recommend(1, 3, rerank=stranger)
    with made(tmp_path / "other", reranker=stranger) as rec:
        rec.encoder.fit(world())
        with pytest.raises(ReleaseError, match="another encoder"):
            rec.publish()
        assert list((tmp_path / "other").rglob("manifest.json")) == []


def test_a_refresh_does_not_shut_out_what_has_learnt_with_the_trained_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed to a call, or given to the recommender since; one that is in the release keeps the vectors as they are."""
    encoder, free = LinearSequenceEncoder(dim=8), ReleaseChecks(beat_popularity=False, beat_live=False)
    stores = MemoryVectorStore(), MemoryMetadataStore()
    options: dict[str, Any] = {"name": "movies", "artifacts": tmp_path, "refresh_seconds": 0, "checks": free}
    alone = Recommender(encoder, *stores, **options)
    alone.fit(world())
    alone.record([Event(f"late {n}", key) for n in range(200) for key in (n % 4, 4 + (n + 1) % 4)])
    assert alone.refresh().fingerprint != encoder.fingerprint
    bound = Bound().fit(world(), encoder)
    assert ids(alone.recommend(1, 3, rerank=bound))
    both = Recommender(encoder, *stores, reranker=bound, **options)
    monkeypatch.setattr(Bound, "seen", encoder.fingerprint)  # also once it is loaded
    published = both.publish()
    assert (published.reranker, published.refreshed_from) == ("bound", encoder.fingerprint)
    both.record(Event("last", 3))
    assert both.refresh().fingerprint == published.fingerprint


def test_a_stage_that_is_not_what_it_was_is_not_served(tmp_path: Path) -> None:
    """Files that were changed are told by their checksums, code that was changed by the fingerprint."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    with Recommender(TasteEncoder(), *stores, name="movies", artifacts=tmp_path, reranker=MMRReranker(0.4)) as rec:
        release = rec.fit(world())
        directory = tmp_path / "movies" / "releases" / release.id
        manifest = directory / "manifest.json"
        whole = manifest.read_text()
        manifest.write_text(json.dumps(json.loads(whole) | {"reranker_fingerprint": "0" * 32}))
        with pytest.raises(ReleaseError, match="another fingerprint"):
            Recommender.open("movies", *stores, tmp_path, encoder=TasteEncoder)
        manifest.write_text(whole)
        (directory / "reranker" / "reranker.json").unlink()
        with pytest.raises(ReleaseError, match=r"reranker/reranker.json .* is missing or changed"):
            Recommender.open("movies", *stores, tmp_path, encoder=TasteEncoder)


@pytest.mark.parametrize("reranker", [5, "mmr", object(), MMRReranker.rerank, TasteEncoder()], ids=type)
def test_what_is_no_reranker_is_refused(tmp_path: Path, reranker: object) -> None:
    """When it is handed in, and not at the first request."""
    with pytest.raises(InvalidDataError, match="reranker is"):
        made(tmp_path, reranker=reranker)


def test_predicted_ratings_serve_from_a_release(tmp_path: Path) -> None:
    """Ratings and diversity in a row, trained by ``fit`` and loaded again: scores are stars, whoever asks."""
    rng = np.random.default_rng(0)
    events = [
        Event(user, item, float(n), 5.0 if item % 4 == user % 4 else 2.0)
        for user in range(40)
        for n, item in enumerate(rng.choice(60, 25, replace=False).tolist())
    ]
    data = Dataset(events, list(world().items()), list(world().users()), world().schema)
    stage = RatingReranker(settings=RatingSettings(width=8, hidden=(16,), users=10, epochs=15, learning_rate=0.01))
    chain = ChainReranker([stage, MMRReranker(0.8)])
    stores = MemoryVectorStore(), MemoryMetadataStore()
    options = {"name": "movies", "artifacts": tmp_path}
    with Recommender(ContentEncoder(dim=32), *stores, reranker=chain, **options) as rec:  # type: ignore[arg-type]
        rec.fit(data)
        opened = Recommender.open("movies", *stores, tmp_path)
        for user in range(4):
            found = opened.recommend(user, 5)
            assert [(each.item_id, each.score) for each in found] == [
                (each.item_id, each.score) for each in rec.recommend(user, 5)
            ]
            assert all(1 < each.score < 5.5 for each in found)
            assert found[0].score > 4
            assert int(found[0].item_id) % 4 == user
        assert len(opened.recommend("a stranger", 5)) == 5


# -- given items


def test_given_items_are_put_in_order(rec: Recommender) -> None:
    """Scores are those of the recommendations, seen items come as well, and what is not there is said."""
    scores = {each.item_id: each.score for each in rec.recommend(1, 60, exclude_seen=False)}
    found = rec.rank(1, [2, 57, "none", 1, 57])
    assert ids(found) == [57, 1, 2]
    assert [each.score for each in found] == pytest.approx([scores[57], scores[1], scores[2]], abs=1e-5)
    assert found.shortfall == "3 of 4: the others are not in the catalogue"
    assert (found.served_by, found.based_on, found.user_id) == ("vectors", ("features", "history"), 1)
    assert found[0]["title"] == "Movie 57"
    assert ids(rec.rank(rec_user(1), [2, 57, 1])) == [57, 1, 2]


def test_given_items_of_a_stranger_are_ranked_by_popularity(rec: Recommender) -> None:
    """Scores are shares; equal ones keep the order given."""
    found = rec.rank("a stranger", [59, 0, 3])
    assert (found.served_by, ids(found)[-1], found[-1].score) == ("popularity", 59, 0.0)


def test_given_items_go_through_the_second_stage(tmp_path: Path) -> None:
    """All of them, however many it wants to see."""
    with made(tmp_path, reranker=Oldest(depth=2)) as rec:
        rec.fit(world())
        assert ids(rec.rank(1, [57, 3, 20, 2])) == [2, 3, 20, 57]
        assert ids(rec.rank(1, [57, 3, 20, 1], rerank=False))[:2] == [57, 1]
        assert ids(rec.rank(1, [])) == []


def test_a_given_item_without_a_record_is_marked(rec: Recommender) -> None:
    """As in any other answer."""
    rec.metadata_store.delete("item", [57])
    found = rec.rank(1, [57, 53])
    assert (ids(found), found.missing) == ([53], (57,))
    assert rec.verify().pending == (57,)


@pytest.mark.parametrize("wrong", [None, "12", [None], [1.5], 3], ids=repr)
def test_what_are_no_ids_are_refused(rec: Recommender, wrong: object) -> None:
    """By name."""
    with pytest.raises(InvalidDataError, match="item id"):
        rec.rank(1, wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match="user id"):
        rec.rank(None, [1])  # type: ignore[arg-type]


# -- measured


def test_what_the_second_stage_loses_is_told_apart(tmp_path: Path) -> None:
    """Held-out items that the vectors had among the first k and the stage put behind are its loss, not the index's."""
    data = world()
    last = np.zeros(data.n_events, bool)
    last[data.user_offsets[1:] - 1] = True
    with made(tmp_path, reranker=Oldest(depth=60)) as rec:
        rec.fit(data.select_events(~last))
        found = rec.evaluate(data.select_events(last), 5)
        plain = [ids(rec.recommend(user, 5, rerank=False)) for user in range(40)]
        targets = [44 + user % 4 for user in range(40)]
        had = [target in row for target, row in zip(targets, plain)]
        kept = [target in ids(rec.recommend(user, 5)) for user, target in enumerate(targets)]
        lost = sum(one and not two for one, two in zip(had, kept)) / 40
        assert lost > 0.5
        assert found.fates["reranker"][5] == pytest.approx(lost)
        assert sum(shares[5] for shares in found.fates.values()) == pytest.approx(1)
        assert found.fates["index"][5] == 0
