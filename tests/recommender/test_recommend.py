"""What `recommend` and its kin promise, in a world whose right answers are plain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.recommender.tastes import TASTES, TasteEncoder
from vecrec import Event, Filter, Item, Recommendation, Recommendations, Recommender, User, field
from vecrec.errors import InvalidDataError, ItemNotFoundError, NotFittedError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore


def ids(recommendations: Sequence[Recommendation]) -> list[Id]:
    """The recommended items in their order."""
    return [each.item_id for each in recommendations]


# -- whom it serves, and from what


def test_a_known_user_gets_what_they_like_and_have_not_seen(rec: Recommender) -> None:
    """User 1 likes the taste of items 1, 5, 9, ...: the three unseen ones come first, the latest before all."""
    found = rec.recommend(1, 5)
    assert ids(found)[:3] == [57, 53, 49]
    assert (found.user_id, found.served_by, found.shortfall) == (1, "vectors", None)
    assert found.based_on == ("features", "history")
    assert found.release == rec.releases()[0].id


def test_ranks_scores_and_records_belong_together(rec: Recommender) -> None:
    """Ranks count from 1, scores fall and are the inner products of the vectors, each with its item's record."""
    found = rec.recommend(2, 8)
    assert [each.rank for each in found] == list(range(1, 9))
    user = rec.encoder.encode_users([User(2, {"taste": "space"}, [4 * n + 2 for n in range(12)])])[0]
    for each in found:
        item = rec.get_items([each.item_id])[each.item_id]
        assert each.metadata == item.features
        assert each["title"] == f"Movie {each.item_id}"
        assert each.score == pytest.approx(float(rec.encoder.encode_items([item])[0] @ user), abs=1e-6)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_an_unknown_user_gets_what_is_popular_and_is_told(rec: Recommender) -> None:
    """Of somebody unknown nothing can be encoded: popularity serves, under its own name, and scores are shares."""
    found = rec.recommend("a stranger", 4)
    assert (found.served_by, found.based_on) == ("popularity", ())
    assert ids(found) == [0, 1, 2, 3]
    assert all(0 < each.score <= 1 for each in found)
    assert found.notes == ("nothing is known about this user, popularity serves",)


@pytest.mark.parametrize(
    ("user", "based_on", "first"),
    [
        (User(None, {"taste": "war"}), ("features",), 59),
        (User(None, None, [1, 5, 9]), ("history",), 57),
        (User("new", {"taste": "crime"}, [4]), ("features", "history"), 56),
    ],
)
def test_somebody_who_is_not_stored_is_served_by_what_is_given(
    rec: Recommender, user: User, based_on: tuple[str, ...], first: Id
) -> None:
    """A profile, a history or both are enough, and the result says which it was."""
    found = rec.recommend_for(user, 3)
    assert (found.based_on, found.served_by, found.user_id) == (based_on, "vectors", user.id)
    assert ids(found)[0] == first
    assert not {event.item_id for event in user.history} & set(ids(found))


@pytest.mark.parametrize("user", [User(), User("x"), User(None, {"shoe size": 44}), User(None, {"taste": None})])
def test_of_whom_nothing_is_known_that_an_encoder_reads_popularity_serves(rec: Recommender, user: User) -> None:
    """Values that the schema does not name tell the encoder nothing, so the result must not claim otherwise."""
    assert rec.recommend_for(user, 3).served_by == "popularity"


def test_a_profile_outside_the_schema_is_refused(rec: Recommender) -> None:
    """A taste that does not exist is a mistake of the caller, not an unknown user."""
    with pytest.raises(InvalidDataError, match=r"taste.*'opera'.*crime"):
        rec.recommend_for(User(None, {"taste": "opera"}))


def test_a_stored_profile_that_no_longer_fits_is_left_out_and_said(rec: Recommender) -> None:
    """The store may hold what an earlier schema allowed: the rest of the user still counts."""
    rec.metadata_store.put("user", {1: {"taste": "opera"}})
    found = rec.recommend(1, 3)
    assert (found.based_on, ids(found)) == (("history",), [57, 53, 49])
    assert "taste" in found.notes[0]


def test_ids_of_both_types_are_different_users_and_items(rec: Recommender) -> None:
    """1 and "1" share nothing: neither profile nor history nor item."""
    rec.upsert_users([User("1", {"taste": "space"})])
    rec.upsert_items([Item("57", {"tastes": ["love"], "year": 2100, "title": "a text"})])
    assert ids(rec.recommend("1", 2)) == [58, 54]
    assert ids(rec.recommend(1, 2)) == ["57", 57]
    assert ids(rec.recommend(1, 2, exclude=["57"])) == [57, 53]
    assert ids(rec.recommend(1, 2, exclude=[57])) == ["57", 53]
    assert rec.get_items(["57", 57]).keys() == {"57", 57}


def test_without_a_release_every_reader_says_what_to_do(unfitted: Recommender) -> None:
    """Before the first fit there is nothing to serve, and the message names the call that is missing."""
    for call in (
        lambda: unfitted.recommend(1),
        lambda: unfitted.recommend_many([1]),
        lambda: unfitted.recommend_for(User(1)),
        lambda: unfitted.similar_items(1),
        lambda: unfitted.upsert_items([Item(1)]),
        lambda: unfitted.upsert_users([User(1)]),
        lambda: unfitted.delete_items([1]),
        unfitted.verify,
        unfitted.repair,
        unfitted.publish,
    ):
        with pytest.raises(NotFittedError, match="fit"):
            call()


# -- what is left out


def test_seen_items_come_back_only_when_asked_for(rec: Recommender) -> None:
    """By default nothing that the user has an event with comes; with exclude_seen=False it does."""
    seen = {4 * n + 1 for n in range(12)}
    assert not seen & set(ids(rec.recommend(1, 40)))
    assert seen & set(ids(rec.recommend(1, 40, exclude_seen=False)))


def test_excluded_items_do_not_come_and_are_replaced(rec: Recommender) -> None:
    """Leaving out the best ones brings the next ones, still k of them."""
    assert ids(rec.recommend(1, 3, exclude=[57, 49, "nobody"])) == [53, 59, 58]
    assert ids(rec.recommend(1, 3, exclude=iter([57]))) == [53, 49, 59]


def test_a_filter_and_exclusions_work_together(rec: Recommender) -> None:
    """All that comes passes the filter, was not seen and not excluded."""
    where = field("tastes").contains("love") & (field("year") < 2035)
    found = rec.recommend(1, 10, where=where, exclude=[49])
    assert ids(found) == [53]
    assert found.shortfall is not None


def test_a_filter_holds_for_popularity_too(rec: Recommender) -> None:
    """Popular items are filtered and excluded like all others."""
    found = rec.recommend("a stranger", 3, where=field("tastes").contains("war"), exclude=[3])
    assert ids(found) == [7, 11, 15]


def test_a_filter_on_what_is_not_filterable_is_refused(rec: Recommender) -> None:
    """The message names the fields that there are; the library's own attribute is not among them."""
    for name in ("title", "_digest", "nothing"):
        with pytest.raises(InvalidDataError, match=r"tastes.*year"):
            rec.recommend(1, where=field(name) == "x")


# -- exactly k, or why not


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"k": 100}, "48 of 100: no more items were found that were neither seen nor excluded"),
        ({"k": 100, "exclude_seen": False}, "60 of 100: no more items were found"),
        (
            {"where": field("year") > 3000, "exclude_seen": False},
            "0 of 10: no more items were found that pass the filter",
        ),
        (
            {"where": field("year") > 2036},
            "3 of 10: no more items were found that pass the filter and were neither seen nor excluded",
        ),
        ({"exclude": range(60)}, "0 of 10: no more items were found that were neither seen nor excluded"),
    ],
)
def test_a_shortfall_says_why(rec: Recommender, arguments: dict[str, object], reason: str) -> None:
    """Fewer than k come only when there are no more, and the reason names what was in the way."""
    found = rec.recommend(1, **arguments)  # type: ignore[arg-type]
    assert found.shortfall == reason
    assert len(found) == int(reason.split(maxsplit=1)[0])


def test_who_has_seen_everything_gets_nothing_and_a_reason(rec: Recommender) -> None:
    """An empty list is an answer, not an error."""
    rec.record([Event(1, item, float(item)) for item in range(60)])
    found = rec.recommend(1)
    assert (len(found), list(found)) == (0, [])
    assert found.shortfall is not None


@pytest.mark.parametrize(
    ("k", "where", "sources", "served_by", "shortfall"),
    [
        (48, None, (48, 0), "popularity", None),
        (60, None, (48, 12), "popularity", None),
        (61, None, (48, 12), "popularity", "60 of 61: no more items were found"),
        (12, field("year") >= 2028, (0, 12), "catalogue", None),
        (16, field("year") >= 2024, (4, 12), "popularity", None),
        (20, field("year") >= 2028, (0, 12), "catalogue", "12 of 20: no more items were found that pass the filter"),
    ],
)
def test_a_visitor_gets_k_items_whenever_k_pass(
    *, rec: Recommender, k: int, where: Filter | None, sources: tuple[int, int], served_by: str, shortfall: str | None
) -> None:
    """48 of the 60 items have events: the popular ones come first, then the rest of the catalogue, labelled."""
    found = rec.recommend("a stranger", k, where=where)
    assert [each.source for each in found] == ["popularity"] * sources[0] + ["catalogue"] * sources[1]
    assert (found.served_by, found.shortfall) == (served_by, shortfall)
    assert len(set(ids(found))) == sum(sources)
    assert all(each.score == 0 for each in found if each.source == "catalogue")
    assert any("rest of the catalogue" in note for note in found.notes) == bool(sources[1])


def test_a_visitor_with_a_narrow_filter_costs_few_reads(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The popular items are not read one page after the other: the catalogue is searched with the filter."""
    monkeypatch.setattr("vecrec.recommender.steps._POPULAR_FIRST", 10)
    calls: list[str] = []
    for store, name in ((rec.vector_store, "search"), (rec.metadata_store, "get")):
        monkeypatch.setattr(store, name, _counted(getattr(store, name), name, calls))
    found = rec.recommend("a stranger", 10, where=field("year") >= 2020)
    assert [each.source for each in found] == ["popularity"] * 8 + ["catalogue"] * 2
    assert calls.count("search") == 1
    assert len(calls) <= 3


@pytest.mark.parametrize(
    ("history", "features", "based_on", "note"),
    [
        (["1", "5"], None, (), "knows none of the 2 items"),
        (["1", 5], None, ("history",), ""),
        (["1"], {"taste": "war"}, ("features",), "knows none of the 1 items"),
    ],
)
def test_an_answer_is_based_on_a_history_that_is_known(
    *,
    rec: Recommender,
    monkeypatch: pytest.MonkeyPatch,
    history: list[Id],
    features: dict[str, str] | None,
    based_on: tuple[str, ...],
    note: str,
) -> None:
    """Items that the encoder does not know tell it nothing; without anything else the visitor's rule applies."""
    monkeypatch.setattr(TasteEncoder, "knows", lambda self, key: isinstance(key, int))
    found = rec.recommend_for(User(None, features, history), 3)
    assert found.based_on == based_on
    assert (found.served_by == "popularity") == (not based_on)
    assert any(note in each for each in found.notes) if note else not found.notes


def test_ten_thousand_exclusions_leave_k(rec: Recommender) -> None:
    """A long list of exclusions costs no item that may come."""
    found = rec.recommend(1, 3, exclude=[*range(1_000, 11_000), 57])
    assert ids(found) == [53, 49, 59]


def test_a_history_of_thousands_leaves_k(rec: Recommender) -> None:
    """Whoever has seen nearly all of a larger catalogue gets the rest of it."""
    rec.upsert_items([Item(n, {"tastes": ["love"], "year": 2_000 + n}) for n in range(1_000, 4_000)])
    rec.record([Event(1, n, float(n)) for n in range(1_010, 4_000)])
    assert ids(rec.recommend(1, 10)) == list(range(1_009, 999, -1))


# -- many at once


def test_many_get_what_each_gets_alone(rec: Recommender) -> None:
    """Batched or one by one, the same lists in the order of the ids, repeated and unknown ones included."""
    users: list[Id] = [3, "nobody", 0, 3, "3", 39]
    together = rec.recommend_many(users, 7, where=field("year") < 2030, exclude=[1])
    alone = [rec.recommend(user, 7, where=field("year") < 2030, exclude=[1]) for user in users]
    assert [each.user_id for each in together] == users
    for ours, theirs in zip(together, alone):
        assert (ids(ours), ours.served_by, ours.shortfall) == (ids(theirs), theirs.served_by, theirs.shortfall)
        assert [each.score for each in ours] == pytest.approx([each.score for each in theirs], abs=1e-6)
    assert len({each.request_id for each in together + alone}) == 12


def test_more_users_than_one_batch(rec: Recommender) -> None:
    """A thousand users get a thousand lists."""
    found = rec.recommend_many(list(range(1_000)), 2)
    assert [each.user_id for each in found] == list(range(1_000))
    assert {each.served_by for each in found[:40]} == {"vectors"}
    assert {each.served_by for each in found[40:]} == {"popularity"}


def test_nobody_gets_nothing(rec: Recommender) -> None:
    """An empty list of users is an empty list of results."""
    assert rec.recommend_many([]) == []


def test_many_cost_round_trips_by_the_batch(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty users cost one read of users, one search and one read of records."""
    calls: list[str] = []
    for store, name in ((rec.metadata_store, "read_users"), (rec.vector_store, "search"), (rec.metadata_store, "get")):
        original = getattr(store, name)

        def counted(*args: object, original: object = original, name: str = name) -> object:
            calls.append(name)
            return original(*args)  # type: ignore[operator]

        monkeypatch.setattr(store, name, counted)
    rec.recommend_many(list(range(40)), 5)
    assert calls == ["read_users", "search", "get"]


# -- similar items


def test_similar_items_share_the_taste(rec: Recommender) -> None:
    """More like this, the item itself left out, by falling cosine; filters hold."""
    found = rec.similar_items(9, 14)
    assert set(ids(found)) == {*range(1, 60, 4)} - {9}
    assert (found.based_on, found.user_id) == (("item",), None)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    chosen = [each.item_id in range(48) for each in found]  # the others have no events, and the cosine alone
    assert chosen == sorted(chosen, reverse=True)
    assert all(each.score == pytest.approx(0.05, abs=1e-4) for each in found if each.item_id not in range(48))
    assert set(ids(rec.similar_items(9, 2, where=field("year") < 1990))) == {1, 5}
    assert rec.similar_items(9, 100).shortfall == "59 of 100: no more items were found"


def test_a_long_vector_is_not_similar_to_everything(rec: Recommender) -> None:
    """Items of two tastes have the longer vectors and the larger inner products; by angle the pure ones are nearer."""
    rec.upsert_items([Item(f"both {n}", {"tastes": ["love", "war"], "year": 9_000_000}) for n in range(5)])
    assert not {f"both {n}" for n in range(5)} & set(ids(rec.similar_items(9, 10)))


def test_similar_items_backfill_what_has_no_record(rec: Recommender) -> None:
    """As for users: skipped, replaced, told; however many they are."""
    rec.upsert_items([Item(n, {"tastes": ["love"], "year": 1989}) for n in range(1_000, 1_400)])
    rec.metadata_store.delete("item", range(1_000, 1_399))
    found = rec.similar_items(9, 50)
    assert (len(found), found.shortfall) == (50, None)
    assert 1_399 in ids(found)
    assert len(found.missing) == 399


def test_items_similar_to_nothing_are_refused(rec: Recommender) -> None:
    """An id that is not in the catalogue is an error that names it."""
    with pytest.raises(ItemNotFoundError, match="'9'"):
        rec.similar_items("9")


# -- a record that is missing


def test_a_hit_without_its_record_is_skipped_replaced_marked_and_mended(
    rec: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    """One lost record costs one item and not the reply: k still come, the item is named, and repair takes it out."""
    rec.metadata_store.delete("item", [57, 49])
    with caplog.at_level(logging.WARNING, "vecrec"):
        found = rec.recommend(1, 5)
    assert ids(found) == [53, 59, 58, 56, 55]
    assert found.missing == (57, 49)
    assert "2 items" in caplog.text
    report = rec.verify()
    assert set(report.pending) == set(report.orphaned) == {57, 49}
    assert set(rec.repair()) == {57, 49}
    assert rec.verify()
    assert rec.recommend(1, 5).missing == ()


def test_a_catalogue_without_records_is_no_endless_search(rec: Recommender) -> None:
    """Where every record is gone, the answer is empty and says so."""
    rec.metadata_store.delete("item", range(60))
    found = rec.recommend(1, 5)
    assert (len(found), len(found.missing)) == (0, 48)
    assert found.shortfall is not None


def test_an_item_that_is_deleted_while_it_is_found_is_not_marked(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the search and the read of the records others may delete: that is no damage."""
    store = rec.metadata_store
    assert isinstance(store, MemoryMetadataStore)
    read = store.get

    def delete_first(kind: str, keys: Sequence[Id]) -> object:
        monkeypatch.setattr(store, "get", read)
        rec.delete_items([57])
        return read(kind, keys)

    monkeypatch.setattr(store, "get", delete_first)
    found = rec.recommend(1, 3)
    assert ids(found) == [53, 49, 59]
    assert rec.verify()


# -- a second stage


class Backwards:
    """Turns the best five around."""

    depth = 5

    def rerank(self, user: User, candidates: Sequence[Recommendation]) -> Sequence[Recommendation]:
        """The last first."""
        return list(reversed(candidates))


def test_a_reranker_sees_its_depth_and_has_the_last_word(rec: Recommender) -> None:
    """It gets depth candidates with their records, and its order is kept, ranked anew, cut to k."""
    plain = rec.recommend(1, 5)
    turned = rec.recommend(1, 2, rerank=Backwards())
    assert ids(turned) == ids(plain)[::-1][:2]
    assert [each.rank for each in turned] == [1, 2]
    assert ids(rec.recommend_many([1], 2, rerank=Backwards())[0]) == ids(turned)
    assert len(rec.recommend_for(User(None, {"taste": "war"}), 8, rerank=Backwards())) == 8


def test_a_reranker_that_keeps_too_few_is_said(rec: Recommender) -> None:
    """Its choice is respected, and the shortfall names it."""

    class Picky(Backwards):
        def rerank(self, user: User, candidates: Sequence[Recommendation]) -> Sequence[Recommendation]:
            return candidates[:1]

    shortfall = rec.recommend(1, 3, rerank=Picky()).shortfall
    assert shortfall == "1 of 3: the reranker kept no more of 48 candidates"


class Even(Backwards):
    """Keeps one in seven of what it is given, by their ids."""

    depth = 3

    def rerank(self, user: User, candidates: Sequence[Recommendation]) -> Sequence[Recommendation]:
        return [each for each in candidates if isinstance(each.item_id, int) and each.item_id % 7 == 0]


def test_a_reranker_that_drops_items_is_given_more(rec: Recommender) -> None:
    """The search goes deeper for those users whose list would be short, and for similar items too."""
    wanted = [each.item_id for each in rec.recommend(1, 48) if int(str(each.item_id)) % 7 == 0]
    assert ids(rec.recommend(1, 5, rerank=Even())) == wanted[:5]
    found = rec.recommend_many([1, 2, 3], 4, rerank=Even(), exclude={2: [wanted[0]], 3: wanted})
    assert ids(found[0]) == wanted[:4]
    assert wanted[0] not in ids(found[1])
    assert not {*wanted} & {*ids(found[2])}
    assert [each.rank for each in found[0]] == [1, 2, 3, 4]
    near = [each.item_id for each in rec.similar_items(5, 59) if int(str(each.item_id)) % 7 == 0]
    assert ids(rec.similar_items(5, 6, rerank=Even(), exclude=[near[0]])) == near[1:7]
    disliked = rec.recommend(1, 4, rerank=Even(), disliked=[wanted[0]])
    assert (len(disliked), disliked.based_on.count("dislikes")) == (4, 1)


def test_similar_items_by_a_second_stage(rec: Recommender) -> None:
    """For this call, over its depth; by default none."""
    plain = ids(rec.similar_items(5, 5, where=field("year") > 1990))
    assert ids(rec.similar_items(5, 5, where=field("year") > 1990, rerank=Backwards())) == plain[::-1]
    assert ids(rec.similar_items(5, 2, where=field("year") > 1990, rerank=Backwards())) == plain[::-1][:2]


@pytest.mark.parametrize("gives", [["57"], "twice", "stranger"])
def test_a_reranker_that_makes_things_up_is_caught(rec: Recommender, gives: object) -> None:
    """What it gives must be its candidates, each once at most."""

    class Liar(Backwards):
        def rerank(self, user: User, candidates: Sequence[Recommendation]) -> Sequence[Recommendation]:
            if gives == "twice":
                return [candidates[0], candidates[0]]
            if gives == "stranger":
                return [Recommendation(1, "stranger", 1.0, {})]
            return gives  # type: ignore[return-value]

    with pytest.raises(InvalidDataError, match="Liar returned"):
        rec.recommend(1, 3, rerank=Liar())


def test_results_are_sequences(rec: Recommender) -> None:
    """They index, slice, iterate, compare in length and give tables."""
    found = rec.recommend(1, 5)
    assert isinstance(found, Recommendations)
    assert found[0] is next(iter(found))
    assert ids(found[1:3]) == ids(found)[1:3]
    assert found.to_arrow().column("item_id").to_pylist() == ids(found)
    assert TASTES[1] in found._repr_html_()


def test_results_print_as_a_small_table(rec: Recommender) -> None:
    """Who was served and how, then rank, id, score and title in columns; the repr stays on one short line."""
    found = rec.recommend(1, 10)
    release = rec.releases()[0].id
    lines = str(found).splitlines()
    assert lines[0] == f"10 recommendations for 1, served by vectors, release {release}"
    assert lines[1] == " 1  57  1.0204  Movie 57"
    assert lines[10] == "10  51  0.0203  Movie 51"
    assert repr(found) == f"<10 recommendations for 1 by vectors of {release}>"
    none = rec.recommend_for(User(None, {"taste": "war"}), 1, where=field("year") > 9_000)
    assert str(none).splitlines()[-1].endswith("0 of 1: no more items were found that pass the filter")
    assert repr(none).endswith("0 of 1: no more items were found that pass the filter>")


def test_what_has_no_title_prints_what_text_it_has(rec: Recommender) -> None:
    """A name, or else the first text, on one line however it was written; nothing where there is none."""
    rec.upsert_items(
        [
            Item("a", {"year": 2103, "colour": "dark\nred", "name": "A\tname"}),
            Item("b", {"year": 2102, "colour": "dark\nred"}),
            Item("c", {"year": 2101}),
        ]
    )
    lines = str(rec.recommend_for(User(None, None, [1]), 3, where=field("year") > 2100)).splitlines()[1:]
    assert [line.split("  ")[-1] for line in lines] == ["A name", "dark red", "0.0210"]


def _counted(method: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    """The method, which writes its name down first."""

    def called(*given: Any) -> Any:
        calls.append(name)
        return method(*given)

    return called
