"""Whatever is handed to a public call: an error that names the value and the cure, nothing written, nothing lost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recommender.engines import ENGINES, running_engine, snapshot
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Event, Item, Recommender, ReleaseChecks, User, VecrecError, field
from vecrec.errors import InvalidDataError, ItemNotFoundError, NotFittedError, ReleaseError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore


def _shown(value: object) -> str:
    # Without addresses, since every worker of a parallel run must find the same names.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:40]


INJECTIONS = (
    "zz'] or id != 'zz' or id in ['zz",
    '"] or 1 == 1 or id in ["',
    "'; DROP TABLE vecrec_records; --",
    "x\\' OR 1=1 -- ",
    "*\r\nFLUSHALL\r\n",
    "{}[]^?*",
    "%s%n%(x)s{0}",
    "../../etc/passwd",
    "a\tb\\",
    "\x00",
    "\u202eemoji 🎬 é",
    " ",
    "",
)

NO_IDS: list[Any] = [
    None,
    True,
    1.5,
    math.nan,
    math.inf,
    b"1",
    2**63,
    "x" * 513,
    "\ud800",
    (1,),
    [1],
    {},
    object(),
    np.float64(1),
]

NO_SEQUENCES: list[Any] = [None, 5, "abc", b"abc", math.nan, True]


def _no_list_of(*elements: Any) -> list[Any]:
    """Things that are no list of something: no list, or one with a wrong element at its end."""
    return [*NO_SEQUENCES, *([element] for element in elements)]


def _huge() -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(100):
        nested = {"deeper": nested}
    return nested


NO_RECORDS: list[Any] = [
    "abc", 5, [("a", 1)], {1: "a"}, {"a": math.nan}, {"a": math.inf}, {"a": b"x"}, {"a": {1, 2}}, {"a": object()},
    {"a": 2**63}, {"a": "\ud800"}, {"\ud800": 1}, {"a": 1j}, _huge(),
]  # fmt: skip

# -- the values that calls are made of


@pytest.mark.parametrize("value", [value for value in NO_IDS if value is not None], ids=_shown)
@pytest.mark.parametrize("make", [Item, User, lambda key: Event(1, key), lambda key: Event(key, 1)])
def test_what_is_no_id_makes_no_value(make: Callable[[Any], Any], value: Any) -> None:
    """Items, users and events refuse it, and show it."""
    with pytest.raises(InvalidDataError) as caught:
        make(value)
    assert repr(value)[:40] in str(caught.value) or str(value)[:40] in str(caught.value)


def test_an_event_needs_an_item() -> None:
    """Only the user may be missing, inside a history."""
    with pytest.raises(InvalidDataError, match="item id None"):
        Event(1, None)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match="needs a user"):
        MemoryMetadataStore().append_events([Event(None, 1, 1.0)])


@pytest.mark.parametrize("value", NO_RECORDS, ids=_shown)
@pytest.mark.parametrize("make", [Item, User])
def test_what_is_no_record_makes_no_value(make: type[Any], value: Any) -> None:
    """What JSON cannot carry is refused when the value is made, and not when it meets a store."""
    with pytest.raises(InvalidDataError):
        make(1, value)


@pytest.mark.parametrize("value", ["now", True, math.nan, math.inf, -math.inf, 1j, b"1", [1]], ids=_shown)
@pytest.mark.parametrize("name", ["time", "rating"])
def test_times_and_ratings_are_finite_numbers(name: str, value: Any) -> None:
    """The message names which of the two it was."""
    with pytest.raises(InvalidDataError, match=name):
        Event(1, 1, **{name: value})


@pytest.mark.parametrize("value", ["abc", b"abc", 5, {"a": 1}, [None], [1.5], [User(1)], [[1]]], ids=_shown)
def test_a_history_holds_events_or_ids(value: Any) -> None:
    """Nothing else makes one."""
    with pytest.raises(InvalidDataError):
        User(1, None, value)


# -- making a recommender


@pytest.mark.parametrize(
    ("change", "says"),
    [
        *(({"name": value}, "name") for value in ("", "A", "a b", "a__b", "_a", "a_", "1a", "ä", "a-b", "x" * 65)),
        *(({"name": value}, "name") for value in ("a\n", "../a", None, 5, True)),
        *(({"artifacts": value}, "artifacts") for value in (None, 5, "", "a\0b", b"a")),
        *(({"encoder": value}, "encoder") for value in (5, "taste", object(), Recommender)),
        *(({"vector_store": value}, "VectorStore") for value in (None, "movies.db", MemoryMetadataStore())),
        *(({"metadata_store": value}, "MetadataStore") for value in (None, "redis://", MemoryVectorStore())),
        *(({"max_history": value}, "max_history") for value in (0, -1, None, 1.5, True, "all")),
        *(({"refresh_seconds": value}, "refresh_seconds") for value in (-1, math.nan, math.inf, None, True, "1")),
        ({"checks": {}}, "ReleaseChecks"),
    ],
    ids=_shown,
)  # fmt: skip
def test_a_recommender_of_wrong_parts_is_not_made(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    """The message names the argument, and the directory stays empty."""
    parts = {
        "encoder": TasteEncoder(),
        "vector_store": MemoryVectorStore(),
        "metadata_store": MemoryMetadataStore(),
        "artifacts": tmp_path,
    }
    with pytest.raises(InvalidDataError, match=says):
        Recommender(**{**parts, **change})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "settings",
    [
        *({"index_recall": value} for value in (-0.1, 1.1, math.nan, None, "1", True)),
        *({"sampled_users": value} for value in (0, None, 1.5)),
        *({"beat_popularity": value} for value in (None, 1, "no")),
    ],
    ids=_shown,
)
def test_checks_that_check_nothing_are_not_made(settings: dict[str, Any]) -> None:
    """A share is a share, a count a count, and a flag a flag."""
    with pytest.raises(InvalidDataError, match=next(iter(settings))):
        ReleaseChecks(**settings)


# -- every call


ARGUMENTS: dict[str, list[Any]] = {
    "k": [0, -1, None, 1.5, math.nan, "10", True, [1]],
    "where": [
        5, "year > 1", {"year": 1}, field("year"), field("title") == "x", field("nope") == 1, field("year") == "x",
        field("year").contains(1), field("tastes") == "war", field("_digest") == "x",
    ],
    "exclude": _no_list_of(*NO_IDS),
    "exclude_seen": [None, 1, "no"],
    "rerank": [5, "x", len, type("Depthless", (), {"rerank": len})()],
}  # fmt: skip
"""What the calls that recommend have in common."""


def _asked(call: str, name: str) -> Callable[[Recommender, Any], Any]:
    asks: dict[str, Any] = {"recommend": 1, "recommend_many": [1, 2], "recommend_for": User(1)}
    return lambda rec, value: getattr(rec, call)(asks[call], **{name: value})


def _items(name: str, *values: Any) -> list[list[Item]]:
    return [[Item(1, {name: value})] for value in values]


CALLS: dict[str, tuple[Callable[[Recommender, Any], Any], list[Any]]] = {
    "recommend": (lambda rec, value: rec.recommend(value), NO_IDS),
    "recommend_many": (lambda rec, value: rec.recommend_many(value), _no_list_of(*NO_IDS)),
    "recommend_for": (
        lambda rec, value: rec.recommend_for(value),
        [None, 1, "x", {}, Item(1), User, *(User(1, {"taste": taste}) for taste in ("opera", 5, ["war"]))],
    ),
    "similar_items": (lambda rec, value: rec.similar_items(value), [*NO_IDS, *INJECTIONS, 10**9]),
    "get_items": (lambda rec, value: rec.get_items(value), _no_list_of(*NO_IDS)),
    "delete_items": (lambda rec, value: rec.delete_items(value), _no_list_of(*NO_IDS, Item(1))),
    "delete_items after good ones": (lambda rec, value: rec.delete_items([1, 2, value]), NO_IDS),
    "upsert_items": (
        lambda rec, value: rec.upsert_items(value),
        [
            *_no_list_of(1, "x", None, {"id": 1}, User(1), Item(), Item(None, {"year": 1})),
            *_items("year", "1999", 1.5, True, [1], {}),
            *_items("tastes", "war", [1], [["war"]], [None], 5, {}),
            *_items("title", 5, ["x"]),
            {1: Item(1)},
        ],
    ),
    "upsert_items after good ones": (
        lambda rec, value: rec.upsert_items([Item(1), Item("new"), value]),
        [None, 1, Item(), Item(2, {"year": "x"})],
    ),
    "upsert_users": (
        lambda rec, value: rec.upsert_users(value),
        [
            *_no_list_of(1, "x", None, Item(1), User(), User(None, {"taste": "war"}), User(1, None, [2])),
            *([User(1, {"taste": taste})] for taste in ("opera", "", 5, True, ["war"])),
        ],
    ),
    "record": (
        lambda rec, value: rec.record(value),
        [*_no_list_of(1, None, (1, 2), Item(1), Event(None, 1)), [Event(1, 1), Event(None, 1)]],
    ),
    "forget_user": (lambda rec, value: rec.forget_user(value), NO_IDS),
    "repair": (lambda rec, value: rec.repair(full=value), [None, 1, "yes"]),
    "rollback": (lambda rec, value: rec.rollback(value), ["", "x", "..", "../live", 5, True, b"x", *INJECTIONS]),
    "fit": (lambda rec, value: rec.fit(value), [None, 5, "ml-1m", [], {}, world(2, 16).items()]),
    **{
        f"{call} {name}": (_asked(call, name), values)
        for call in ("recommend", "recommend_many", "recommend_for")
        for name, values in ARGUMENTS.items()
    },
    "search k": (lambda rec, value: rec.search("movie", value), [0, -1, None, 1.5, True, "x"]),
    "search where": (lambda rec, value: rec.search("movie", where=value), [5, "x", field("nope") == 1]),
    "search user": (lambda rec, value: rec.search("movie", user=value), [*NO_IDS[1:], Item(1)]),
    "similar_items k": (lambda rec, value: rec.similar_items(1, value), [0, -1, None, 1.5, True, "x"]),
    "similar_items where": (lambda rec, value: rec.similar_items(1, where=value), [5, "x", field("nope") == 1]),
}  # fmt: skip


@pytest.fixture(scope="module")
def world_on(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server_url: Callable[[str], str]
) -> Iterator[Recommender]:
    """A recommender with two releases, which the tests of this module share: none of them may change it."""
    with (
        running_engine(request.param, tmp_path_factory.mktemp("bad"), server_url) as engine,
        engine.recommender() as rec,
    ):
        rec.fit(world(8, 24))
        rec.fit(world(8, 24))
        yield rec


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("world_on", ENGINES, indirect=True)
def test_a_bad_value_is_refused_and_nothing_changes(world_on: Recommender, call: str) -> None:
    """Each value by itself: an error of ours that says something, and both stores and the releases are as before."""
    perform, values = CALLS[call]
    before, releases = snapshot(world_on), world_on.releases()
    for value in values:
        with pytest.raises((InvalidDataError, ItemNotFoundError, NotFittedError, ReleaseError)) as caught:
            perform(world_on, value)
        assert isinstance(caught.value, VecrecError)
        assert len(str(caught.value)) > 20, value
    assert snapshot(world_on) == before
    assert world_on.releases() == releases


@pytest.mark.parametrize("world_on", ENGINES, indirect=True)
def test_hostile_text_is_only_text(world_on: Recommender) -> None:
    """As an id, a title, a taste or a filter's value, it is stored, found, read and deleted, and does nothing else."""
    before = snapshot(world_on)
    items = [Item(text, {"title": text, "tastes": [text, "war"], "year": n}) for n, text in enumerate(INJECTIONS)]
    world_on.upsert_items(items)
    world_on.upsert_users([User(text, {"taste": "war", "name": text}) for text in INJECTIONS])
    world_on.record([Event(text, 3, 1.0) for text in INJECTIONS])
    assert world_on.get_items(INJECTIONS) == {item.id: item for item in items}
    for n, text in enumerate(INJECTIONS):
        found = world_on.recommend(text, 3, where=field("tastes").contains(text))
        assert [each.item_id for each in found] == [text]
        assert found[0]["title"] == text
        assert world_on.similar_items(text, 1, where=field("year") == n).shortfall is not None
        assert text not in [each.item_id for each in world_on.recommend(text, 40, exclude=[text])]
        world_on.forget_user(text)
        world_on.delete_items([text])
    assert snapshot(world_on) == before
    assert world_on.verify()


def test_a_store_of_another_recommender_is_refused(tmp_path: Path) -> None:
    """Two recommenders in one metadata store would mix up their users: the second one is told, at fit and at open."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    Recommender(TasteEncoder(), *stores, name="movies", artifacts=tmp_path).fit(world(8, 24))
    other = Recommender(TasteEncoder(), *stores, name="books", artifacts=tmp_path)
    before = snapshot(other)
    with pytest.raises(InvalidDataError, match=r"'movies', not 'books'.*store of its own"):
        other.fit(world(8, 24))
    assert snapshot(other) == before
    other.encoder.fit(world(8, 24))
    with pytest.raises(InvalidDataError, match=r"'movies', not 'books'"):
        other.publish()


def test_data_that_cannot_be_learnt_from_is_refused_before_anything_is_written(unfitted: Recommender) -> None:
    """No interaction, no release, and the store is still nobody's."""
    nothing = world(2, 16)
    with pytest.raises(InvalidDataError, match="no events"):
        unfitted.fit(nothing.select_events(np.zeros(nothing.n_events, bool)))
    assert not any(snapshot(unfitted).values())
    assert unfitted.releases() == []
