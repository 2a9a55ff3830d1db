"""Why an item is recommended: parts that add up, what rules and later steps changed, a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.tastes import world
from vecrec import Event, FeedbackPolicy, Item, Recommender, User, field
from vecrec.encoders import CombinedEncoder, ContentEncoder, EASEEncoder, Encoder, LinearSequenceEncoder
from vecrec.encoders.parts import MOST_EVENTS
from vecrec.errors import InvalidDataError, ItemNotFoundError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.recommendations import Recommendations
from vecrec.recommender.explain import FLOOR
from vecrec.rerankers import MMRReranker
from vecrec.vector_stores import MemoryVectorStore

ENCODERS: dict[str, Encoder] = {
    "content": ContentEncoder(32),
    "ease": EASEEncoder(16),
    "linear": LinearSequenceEncoder(16),
    "combined": CombinedEncoder([EASEEncoder(8), ContentEncoder(32)], dim=16, weights=[1, 2]),
}


def _recommender(encoder: Encoder, artifacts: Path) -> Recommender:
    stores = MemoryVectorStore(), MemoryMetadataStore()
    return Recommender(encoder, *stores, name="movies", artifacts=artifacts, refresh_seconds=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_parts_add_up_to_the_score_that_is_served(name: str, tmp_path: Path) -> None:
    """For a stored user and a posted one, by every kind of encoder; sources add up too, and exact means no rest."""
    recommender = _recommender(ENCODERS[name], tmp_path)
    recommender.fit(world())
    posted = User(None, {"taste": "love"}, [3, 7, 11])
    lists: list[tuple[User | int, Recommendations]] = [
        (3, recommender.recommend(3, 5)),
        (posted, recommender.recommend_for(posted, 5)),
    ]
    for user, served in lists:
        assert len(served) == 5
        for item in served:
            found = recommender.explain(user, item.item_id)
            assert found.score == pytest.approx(item.score, rel=1e-4, abs=1e-5)
            assert sum(part.value for part in found.parts) + found.residual == pytest.approx(found.score)
            assert sum(found.sources.values()) + found.residual == pytest.approx(found.score)
            assert sum(part.share for part in found.parts) == pytest.approx(1)
            assert (found.rules, found.changes) == ((), ())
            if found.method != "permutations" and name != "combined":
                assert found.residual == pytest.approx(0, abs=1e-5)
            assert {*found.sources} == ({"ease", "content"} if name == "combined" else {recommender.encoder.name})


def test_each_part_says_where_it_comes_from(rec: Recommender) -> None:
    """Events by item and title, features by value; for programs as JSON, for people as a sentence and lines."""
    found = rec.explain(User(None, {"taste": "space"}, [3]), 55)
    assert {part.kind for part in found.parts} == {"event", "feature", "base"}
    event = next(part for part in found.parts if part.kind == "event")
    assert (event.item_id, event.title) == (3, "Movie 3")
    assert next(part.feature_value for part in found.parts if part.feature == "taste") == "space"
    assert found.sentence == "Because you liked Movie 3"
    value = json.loads(json.dumps(found.to_dict()))
    assert value["sentence"] == found.sentence
    assert value["parts"][0]["value"] == found.parts[0].value
    assert str(found).startswith("Because you liked Movie 3 (score ")
    assert "Movie 3" in str(found).splitlines()[1]


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (["purchase"], "Because you bought Movie 3"),
        (["view"], "Because you looked at Movie 3"),
        ([None, None], "Because you liked Movie 3 and Movie 7"),
        (["purchase", "view"], "Because you looked at Movie 7"),
    ],
)
def test_the_sentence_says_what_the_user_did(rec: Recommender, kinds: list[str | None], sentence: str) -> None:
    """By the kind of the events; two of one kind together where both weigh."""
    history = [Event(None, 3 + 4 * place, kind=kind) for place, kind in enumerate(kinds)]
    found = rec.explain(User(None, {}, history), 55)
    assert found.sentence in {sentence, "Because you bought Movie 3", "Because you liked Movie 7 and Movie 3"}


def test_a_rating_is_told_as_one(rec: Recommender) -> None:
    """Where no kind says what it means: a low one, which a policy without a limit counts too, was no liking."""
    found = rec.explain(User(None, {}, [Event(None, 3, rating=1.0)]), 55)
    assert found.sentence == "Because you rated Movie 3"
    assert found.parts[0].rating == 1.0
    liked = rec.explain(User(None, {}, [Event(None, 3, kind="like", rating=5.0)]), 55)
    assert liked.sentence == "Because you liked Movie 3"


def test_a_profile_is_a_reason(rec: Recommender) -> None:
    assert rec.explain(User(None, {"taste": "war"}), 55).sentence == "Because of your profile (taste)"


def test_no_reason_below_the_floor(tmp_path: Path) -> None:
    """Where the score is divided among many events, none of them is named; nor where nothing adds to it."""
    recommender = _recommender(ContentEncoder(64), tmp_path)
    recommender.fit(world())
    history = [*range(60)] * 2
    found = recommender.explain(User(None, {}, history), 58, exclude_seen=False)
    assert found.parts
    assert all((part.share >= FLOOR) == (part in found.reasons) for part in found.parts[:1])
    small = [part for part in found.parts if part.share < FLOOR]
    assert small
    assert not {*small} & {*found.reasons}


def test_rules_that_keep_an_item_out(rec: Recommender) -> None:
    """Seen, disliked, excluded, not passing the filter; more than one at a time; none for an item that may come."""
    rec.record([Event("rules", 3), Event("rules", 5, kind="dislike")])
    assert rec.explain("rules", 7).rules == ()
    assert rec.explain("rules", 3).rules == ("seen",)
    assert rec.explain("rules", 3, exclude_seen=False).rules == ()
    assert rec.explain("rules", 5).rules == ("seen", "disliked")
    assert rec.explain("rules", 7, exclude=[7], where=field("year") > 2020).rules == ("excluded", "filter")
    assert rec.explain("rules", 7, disliked=[7]).rules == ("disliked",)


def test_what_dislikes_and_the_second_stage_changed(rec: Recommender) -> None:
    """The places before and after, as the lists with one step more have them."""
    user = User("changes", {}, [3, 7, 0, 4])
    plain = [item.item_id for item in rec.recommend_for(user, 60, rerank=False)]
    lower = [item.item_id for item in rec.recommend_for(user, 60, rerank=False, disliked=[59])]
    stage = MMRReranker(depth=60)
    ranked = [item.item_id for item in rec.recommend_for(user, 60, rerank=stage, disliked=[59])]
    kept = [key for key in plain if key != 59]
    moved = next(key for key in kept if kept.index(key) != lower.index(key))
    found = rec.explain(user, moved, 60, rerank=stage, disliked=[59])
    first, second = found.changes
    assert (first.step, first.before, first.after) == ("dislikes", kept.index(moved) + 1, lower.index(moved) + 1)
    assert (second.step, second.before, second.after) == (
        "second stage", lower.index(moved) + 1, ranked.index(moved) + 1
    )  # fmt: skip
    assert rec.explain(user, lower[-1], 3, disliked=[59]).changes[0].after is None


def test_nobody_is_known(rec: Recommender) -> None:
    """Popularity is the whole score and the reason; an item of no event has none."""
    top = rec.recommend("stranger", 1)[0]
    found = rec.explain("stranger", top.item_id)
    assert (found.served_by, found.score, found.sentence) == ("popularity", top.score, "Because many people chose it")
    rec.upsert_items([Item("fresh", {"title": "Fresh", "tastes": ["war"], "year": 2000})])
    assert rec.explain("stranger", "fresh").sentence is None


def test_several_items_at_the_price_of_one(rec: Recommender) -> None:
    """The same parts as one by one, in the order of the ids; ``None`` for an item that is not there."""
    found = rec.explain_many(3, [55, "no such", 51])
    assert found[1] is None
    for each, key in zip([found[0], found[2]], [55, 51]):
        assert each is not None
        assert (each.item_id, each.parts) == (key, rec.explain(3, key).parts)
    assert rec.explain_many("stranger", ["no such"]) == [None]


def test_bad_questions_are_refused(rec: Recommender) -> None:
    with pytest.raises(ItemNotFoundError, match="no item 'no such'"):
        rec.explain(3, "no such")
    bad: list[tuple[Any, int, Any]] = [(True, 10, {}), (7, 0, {}), (7, 10, {"colour": 1})]
    for item, k, options in bad:
        with pytest.raises(InvalidDataError):
            rec.explain(3, item, k, **options)


def test_long_histories_are_told_apart_at_the_end(rec: Recommender) -> None:
    """Without knowing the encoder, the latest events have a part each and the earlier ones one together."""
    found = rec.explain(User(None, {}, [3, 7] * MOST_EVENTS), 55)
    kinds = [part.kind for part in found.parts]
    assert kinds.count("event") == MOST_EVENTS
    assert kinds.count("earlier") == 1
    assert found.method == "permutations"
    assert sum(part.value for part in found.parts) == pytest.approx(found.score)


def test_negative_events_are_no_reason(tmp_path: Path) -> None:
    """The feedback policy decides what may be told; a disliked item is in no part."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    policy = FeedbackPolicy(negative_rating=2)
    recommender = Recommender(ContentEncoder(32), *stores, artifacts=tmp_path, feedback=policy, refresh_seconds=0)
    recommender.fit(world())
    found = recommender.explain(User(None, {}, [Event(None, 3, rating=5), Event(None, 7, rating=1)]), 55)
    assert {part.item_id for part in found.parts if part.kind == "event"} == {3}
