"""Similar items: what the same users choose first, then the nearest vectors; the neighbours are counted exactly."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.recommender.tastes import SCHEMA, TasteEncoder, world
from vecrec import Event, Item, Recommender, User
from vecrec.data import room
from vecrec.data.room import Room
from vecrec.encoders.item_lists import MOST
from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.ids import Id
from vecrec.recommender import neighbours as module
from vecrec.recommender.neighbours import Chosen, Neighbours
from vecrec.recommender.similar import liked
from vecrec.types import Hit


def _histories(n_users: int = 60, n_items: int = 40) -> list[list[Id]]:
    rng = np.random.default_rng(1)
    return [rng.choice(n_items, rng.integers(0, 12), replace=False).tolist() for _ in range(n_users)]


def _chosen(histories: Iterable[Iterable[Id]]) -> Chosen:
    chosen = Chosen()
    for history in histories:
        chosen.add(history)
    return chosen


@pytest.mark.parametrize("pairs", [10, 200, 4_000_000], ids="pairs {}".format)
def test_weights_are_what_the_formula_says(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, without features; whatever fits into memory at a time, by a table or by a sort."""
    monkeypatch.setattr(module, "_PAIRS", pairs)
    histories = _histories()
    found = Neighbours.of(_chosen(histories), [], SCHEMA)
    counts = Counter(key for history in histories for key in history)
    both = Counter(pair for history in histories for pair in itertools.permutations(history, 2))
    assert both
    for item in counts:
        near = found.near(item)
        expected = {o: n / (np.sqrt(counts[item] * counts[o]) + 20) for (i, o), n in both.items() if i == item}
        assert near.keys() == expected.keys()
        assert list(near.values()) == sorted(near.values(), reverse=True)
        assert all(near[other] == pytest.approx(weight, rel=1e-3) for other, weight in expected.items())


def test_features_order_what_is_chosen_alike() -> None:
    """Two companions that are chosen equally often: the one of the same taste is nearer, by half the cosine."""
    tastes = {0: ["love"], 1: ["war"], 2: ["love"]}
    found = Neighbours.of(
        _chosen([[0, 1, 2]] * 3), [(key, {"tastes": [*each]}) for key, each in tastes.items()], SCHEMA
    )
    assert list(found.near(0)) == [2, 1]
    assert found.near(0)[2] == pytest.approx(1.5 * found.near(0)[1], rel=1e-3)


def test_lists_are_bounded_and_long_histories_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user with everything gives each item at most `MOST` neighbours, and does not count whole."""
    monkeypatch.setattr(module, "_LONGEST", 80)
    found = Neighbours.of(_chosen([list(range(1_000))]), [], SCHEMA)
    assert len(found.ids) == 80
    assert all(len(found.near(key)) == MOST for key in found.ids)


def test_neighbours_survive_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come back equal, mapped into memory; without files there are none, and halves are refused."""
    assert Neighbours.load(tmp_path, "neighbour").near(1) == {}
    monkeypatch.setattr(room, "_IN_MEMORY", 0)
    found = Neighbours.of(_chosen([["a", 1], ["a", 1, "b"]]), [], SCHEMA, Room.at(tmp_path))
    found.save(tmp_path, "neighbour")
    loaded = Neighbours.load(tmp_path, "neighbour")
    assert isinstance(loaded.places, np.memmap)
    assert [loaded.near(key) for key in ("a", 1, "b", "none")] == [found.near(key) for key in ("a", 1, "b", "none")]
    (tmp_path / "neighbours.json").write_text(json.dumps(["a"]))
    with pytest.raises(ReleaseError, match="do not belong together"):
        Neighbours.load(tmp_path, "neighbour")


def test_nobody_having_chosen_anything_is_fine(tmp_path: Path) -> None:
    """No users, and users without items."""
    cases: list[list[list[Id]]] = [[], [[], []]]
    for histories in cases:
        found = Neighbours.of(_chosen(histories), [], SCHEMA)
        found.save(tmp_path, "neighbour")
        assert Neighbours.load(tmp_path, "neighbour").near(1) == {}


def test_what_users_choose_together_counts_before_the_vectors(rec: Recommender) -> None:
    """Items of two tastes that are always chosen together are similar after the next release."""
    rec.record([Event(f"new {n}", item, float(n)) for n in range(80) for item in (57, 58)])
    assert rec.similar_items(57, 1)[0].item_id != 58
    rec.publish()
    assert rec.similar_items(57, 1)[0].item_id == 58


def test_another_process_finds_the_same(rec: Recommender) -> None:
    """From the files of the release."""
    stores = rec.vector_store, rec.metadata_store
    other = Recommender.open(rec.name, *stores, rec._archive.path.parent, encoder=TasteEncoder)
    assert [each.item_id for each in other.similar_items(9, 20)] == [each.item_id for each in rec.similar_items(9, 20)]


def test_a_new_item_is_found_by_its_vector(rec: Recommender) -> None:
    """Scores are cosines then. ``exclude`` leaves items out."""
    rec.upsert_items([Item("new", {"tastes": ["love"], "year": 1990})])
    found = rec.similar_items("new", 10, exclude=[1, 5])
    assert all(int(each.item_id) % 4 == 1 for each in found)
    assert found[0].score == pytest.approx(1, abs=1e-4)
    assert not {1, 5, "new"} & {each.item_id for each in found}


def test_neighbours_of_a_data_set_are_those_of_the_store(rec: Recommender) -> None:
    """The same events, the same lists."""
    with rec.live() as live:
        ours, theirs = Neighbours.of_dataset(world()), live.neighbours
    for item in range(48):
        assert ours.near(item) == pytest.approx(theirs.near(item))


def test_for_a_user_it_is_ordered_by_their_taste_too(rec: Recommender) -> None:
    """Two crime films with a share of another taste are alike to a crime film; each user finds theirs first."""
    for key, taste in ((900, "love"), (901, "war")):
        rec.upsert_items([Item(key, {"title": f"Crime and {taste}", "tastes": ["crime", taste], "year": 1990})])
    rec.upsert_items([Item(902, {"title": "Crime", "tastes": ["crime"], "year": 1990})])
    lover, warrior = (User(None, {}, [taste, taste + 4, taste + 8]) for taste in (1, 3))
    anybody = rec.similar_items(902, 62)
    loving, fighting = (rec.similar_items(902, 62, user=user).item_ids for user in (lover, warrior))
    assert loving.index(900) < loving.index(901)
    assert fighting.index(901) < fighting.index(900)
    assert {*anybody.item_ids} == {*loving, 1, 5, 9} == {*fighting, 3, 7, 11}
    assert loving[:2] != anybody.item_ids[:2] or fighting[:2] != anybody.item_ids[:2]


def test_what_the_user_has_seen_or_dislikes_is_not_similar_to_anything(rec: Recommender) -> None:
    seen = {event.item_id for event in rec.history(0)}
    rec.record(Event(0, 48, kind="dislike"))
    found = rec.similar_items(0, 60, user=0)
    assert found.user_id == 0
    assert found.based_on[0] == "item"
    assert len(found) + len(seen | {0, 48}) == 60
    assert not {*found.item_ids} & {*seen, 0, 48}


def test_a_user_about_whom_nothing_is_known_changes_nothing(rec: Recommender) -> None:
    assert rec.similar_items(0, 9, user="nobody").item_ids == rec.similar_items(0, 9).item_ids
    with pytest.raises(InvalidDataError):
        rec.similar_items(0, 9, user=True)
    with pytest.raises(InvalidDataError, match="taste"):
        rec.similar_items(0, 9, user=User(None, {"taste": 7}))


def test_a_taste_counts_by_its_distance_from_the_best_liked_item() -> None:
    """By hand: half a standard deviation of the similarity for one of the taste, among the first items alone."""
    found = [Hit("a", 0.3), Hit("b", 0.2), Hit("c", 0.1), Hit("d", 0.05)]
    held: dict[Id, NDArray[np.float32]] = {
        key: np.array([taste], np.float32) for key, taste in zip("abcd", (1, 2, 3, 9))
    }
    ordered = liked(found, held, np.ones(1, np.float32), 3)
    assert [hit.id for hit in ordered] == ["a", "b", "c", "d"]
    assert [hit.score for hit in ordered] == pytest.approx([0.2, 0.15, 0.1, 0.05])
