"""Search by text: what has the words, in the order of the words and of a user's taste, on every pair of stores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TasteEncoder, world
from vecrec import AsyncRecommender, Item, Recommender, User
from vecrec.errors import InvalidDataError, StoreUnavailableError
from vecrec.filters import field
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.recommender import search, words
from vecrec.recommender.words import check_text, words_of
from vecrec.rerankers import MMRReranker
from vecrec.types import Event
from vecrec.vector_stores import MemoryVectorStore

FILMS: dict[Id, tuple[str, str]] = {
    "a": ("The Night Train", "crime"),
    "b": ("The Night Train Returns", "love"),
    "c": ("A Train by Day", "love"),
    "d": ("Léon and the Ship", "space"),
    "e": ('Say "OR" NOT: a* b', "war"),
    "f": ("夜汽車", "war"),
}


@pytest.fixture
def rec(rec: Recommender) -> Recommender:
    """The little world with some titles more."""
    rec.upsert_items([Item(key, {"title": title, "tastes": [taste]}) for key, (title, taste) in FILMS.items()])
    return rec


@each_engine()
def test_every_pair_of_stores_finds_the_same(engine: Engine) -> None:
    """By words, by whom, with a condition; another process finds what this one has written."""
    with engine.recommender() as rec:
        rec.fit(world())
        assert rec.search("night").item_ids == []
        rec.upsert_items([Item(key, {"title": title, "tastes": [taste]}) for key, (title, taste) in FILMS.items()])
        assert rec.search("night train").item_ids[:2] == ["a", "b"]
        assert rec.search("train", user=1).item_ids == ["b", "c", "a"]
        assert rec.search("movie", 3, user=3, where=field("year") < 2000).item_ids == [19, 15, 11]
        rec.delete_items(["c"])
        assert rec.search("train", user=1).item_ids == ["b", "a"]
        with engine.opened() as other:
            assert other.search("train", user=1).item_ids == ["b", "a"]


def test_taste_orders_what_has_the_words(rec: Recommender) -> None:
    """Users of two tastes get the same items, each their own first; the answer says what it is based on."""
    crime, love = User(None, {}, [0, 4, 8]), User(None, {}, [1, 5, 9])
    assert rec.search("night", user=crime).item_ids == ["a", "b"]
    found = rec.search("night", user=love)
    assert found.item_ids == ["b", "a"]
    assert (found.served_by, found.based_on[0], {each.source for each in found}) == ("words", "words", {"words"})
    assert found.shortfall == "2 of 10: no more items were found that have the words"
    assert rec.search("movie", 15, user=2).item_ids == [*range(58, 0, -4)]


def test_an_item_with_all_the_words_comes_before_one_with_some(rec: Recommender) -> None:
    """Whatever the user likes better."""
    found = rec.search("day train", user=User(None, {}, [0, 4, 8]))
    assert found.item_ids == ["c", "a", "b"]
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[1] >= 1


def test_without_a_user_popularity_orders(rec: Recommender) -> None:
    """Of equal words; nothing is said about a user whom there is none of."""
    rec.record([Event(f"new {n}", 55, float(n)) for n in range(100)])
    rec.publish()
    found = rec.search("movie", 3)
    assert found[0].item_id == 55
    assert (found.notes, found.user_id) == ((), None)
    assert rec.search("movie", 3, user="unknown").notes == ("nothing is known about this user, popularity serves",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LEON", ["d"]),
        ("ship leo", ["d"]),  # beginnings of words
        ("nihgt", ["a", "b"]),  # mistyped
        ("the-night", ["a", "b"]),
        ('"OR"', ["e"]),
        ("NOT", ["e"]),
        ("夜汽", ["f"]),
        ("1994", [14]),
        ("2001", [21]),
        ("xyzzyqq", []),
    ],
)
def test_words_are_found_as_people_write_them(rec: Recommender, text: str, expected: list[Id]) -> None:
    assert rec.search(text).item_ids[: len(expected) + 1][: len(expected)] == expected
    assert len(rec.search(text)) == len(expected)


@pytest.mark.parametrize(
    "text", ['"', "* ", "a* OR", "NEAR(a b)", "words:a", "(", "-a", "^a", "\0night", "\ud800a", "{a}"]
)
def test_nothing_in_a_text_is_a_command(rec: Recommender, text: str) -> None:
    """It finds something, or it has no word."""
    try:
        assert len(rec.search(text)) <= 10
    except InvalidDataError:
        assert not any(map(str.isalnum, text))


@pytest.mark.parametrize("text", ["", "  ", "?!", None, 5, ["night"], b"night", "a " * 33, "a" * 1_001])
def test_what_is_no_text_is_refused(rec: Recommender, text: Any) -> None:
    with pytest.raises(InvalidDataError, match="text"):
        rec.search(text)


def test_all_that_has_the_words(rec: Recommender) -> None:
    """Whatever their number, and none that has only some of them."""
    assert {*rec.matching("night train")} == {"a", "b"}
    assert {*rec.matching("TRIAN")} == {"a", "b", "c"}
    assert {*rec.matching("movie")} == {*range(60)}
    with pytest.raises(InvalidDataError, match="text"):
        rec.matching("?")


def test_what_is_excluded_or_seen_stays_away(rec: Recommender) -> None:
    """What was seen only where that is asked for; what is disliked always."""
    seen = {event.item_id for event in rec.history(3)}
    assert seen & {*rec.search("movie", 60, user=3).item_ids}
    unseen = rec.search("movie", 60, user=3, exclude=[59], exclude_seen=True)
    assert not {59, *seen} & {*unseen.item_ids}
    rec.record(Event(3, 55, kind="dislike"))
    assert 55 not in rec.search("movie", 60, user=3).item_ids


def test_a_rare_condition_is_met_far_down_the_list(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none of the most relevant passes it, more are looked through."""
    monkeypatch.setattr(search, "AT_FIRST", 5)
    assert rec.search("movie", 1, where=field("year") == 2039).item_ids == [59]
    assert rec.search("movie", 1, user=0, where=field("year") == 2038).item_ids == [58]
    assert not rec.verify().pending  # what does not pass a condition is not taken for damaged


def test_a_second_stage_orders_it(rec: Recommender) -> None:
    """Two of one taste are not neighbours after it."""
    plain, varied = (rec.search("movie", 8, user=3, rerank=stage) for stage in (False, MMRReranker(0.3)))
    assert {int(key) % 4 for key in plain.item_ids if isinstance(key, int)} == {3}
    assert {int(key) % 4 for key in varied.item_ids if isinstance(key, int)} != {3}


def test_without_the_vector_store_popularity_is_the_taste(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the answer says so."""

    def down(*arguments: object, **options: object) -> None:
        raise StoreUnavailableError("no answer")

    monkeypatch.setattr(MemoryVectorStore, "_search", down)
    found = rec.search("train", user=1)
    assert {*found.item_ids} == {"a", "b", "c"}
    assert found.notes == ("the vector store does not answer, popularity serves as taste",)


def test_a_release_and_the_edits_of_others_are_read(unfitted: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of others after some seconds, which are none here; a new release is read from the records."""
    monkeypatch.setattr(words, "_SECONDS", 0.0)
    monkeypatch.setattr(words, "_REST", 0)
    unfitted.fit(world())
    stores = unfitted.vector_store, unfitted.metadata_store
    other = Recommender.open(
        unfitted.name, *stores, unfitted._archive.path.parent, encoder=TasteEncoder, refresh_seconds=0
    )
    assert other.search("heron").item_ids == []
    unfitted.upsert_items([Item("h", {"title": "Heron", "tastes": ["war"]})])
    assert other.search("heron").item_ids == ["h"]
    unfitted.update_items({"h": {"title": "Stork"}})
    assert other.search("stork").item_ids == ["h"]
    unfitted.delete_items(["h"])
    assert other.search("stork").item_ids == []
    more = world()
    more.item_records[0] = {**(more.item_records[0] or {}), "title": "Pelican"}
    unfitted.fit(more)
    assert other.search("pelican").item_ids == unfitted.search("pelican").item_ids == [0]


def test_records_that_cannot_be_read_are_an_error_at_first(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """And later, the words that were read serve as long as the records of the hits can be read."""

    def down(*arguments: object, **options: object) -> None:
        raise StoreUnavailableError("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(MemoryMetadataStore, "scan", down)
        with pytest.raises(StoreUnavailableError):
            rec.search("night")
    monkeypatch.setattr(words, "_SECONDS", 0.0)
    monkeypatch.setattr(words, "_REST", 0)
    assert len(rec.search("night")) == 2
    monkeypatch.setattr(MemoryMetadataStore, "scan", down)
    assert len(rec.search("night")) == 2


def test_searches_and_changes_at_a_time(rec: Recommender) -> None:
    """Each search finds every item that was there before it began; none is found twice."""

    def write(part: int) -> None:
        for n in range(20):
            key = f"{part}-{n}"
            rec.upsert_items([Item(key, {"title": f"Zebra {key}", "tastes": ["war"]})])
            assert key in rec.search(f"zebra {part}", 200).item_ids

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    found = rec.search("zebra", 200).item_ids
    assert len(found) == len({*found}) == 120


async def _search_async(rec: Recommender) -> list[Id]:
    return (await AsyncRecommender(rec).search("night", user=1)).item_ids


def test_it_can_be_awaited(rec: Recommender) -> None:
    import asyncio

    assert asyncio.run(_search_async(rec)) == rec.search("night", user=1).item_ids


def test_the_words_of_a_record() -> None:
    """Texts and whole numbers, also in lists and objects; no addresses, fractions and flags."""
    record: dict[str, Any] = {
        "title": "Night", "year": 1999, "tags": ["one", {"two": "three"}], "price": 2.5, "new": True, "none": None,
        "poster": "https://example.org/night.png",
    }  # fmt: skip
    assert words_of(record).split() == ["Night", "1999", "one", "three"]
    assert words_of({"text": "\ud800" + "x" * 30_000}).encode()
    assert check_text("  space \0 opera ?") == ["space", "opera"]
