"""What every engine could get wrong in its own way."""

from __future__ import annotations

import itertools

import pytest

from tests.metadata_stores.engines import at_once, together
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore, RedisMetadataStore, SQLMetadataStore, from_url
from vecrec.types import Event

_APPENDING = """
import sys
from vecrec import Event
from vecrec.metadata_stores import from_url

url, prefix, worker = sys.argv[1:]
with from_url(url, prefix=prefix) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for turn in range(25):
        # An event of its own, one that all processes append, and both for two users in one call.
        events = [Event("shared", f"{worker} {turn}", float(turn)), Event("shared", "same", float(turn))]
        store.append_events([*events, Event(7, f"{worker} {turn}", 5.0)])
"""


def _address(store: MetadataStore) -> tuple[str, str]:
    if isinstance(store, RedisMetadataStore):
        return store._client._settings.url.replace(
            "redis:", "redis+cluster:" if store._client.shards > 1 else "redis:"
        ), (store._keys.prefix)
    assert isinstance(store, SQLMetadataStore)
    return store._database.engine.url.render_as_string(hide_password=False), store._names.meta.removesuffix("meta")


def test_ids_that_collations_merge_are_kept_apart(store: MetadataStore) -> None:
    """Case, trailing spaces, accents, normal forms, emoji, and lengths that differ in the last of 512 bytes."""
    long = "é" * 95
    ids: list[Id] = [
        "abc",
        "ABC",
        "abc ",
        "abc  ",
        "äbc",
        "a\u0308bc",
        "abc\x00",
        "\U0001f600",
        "\U0001f601",
        "ss",
        "ß",
    ]
    ids += [long, long + "a", long + "b", "x" * 511, "x" * 512, "x" * 511 + "y", "", " ", 42, "42", "i42", "s42"]
    store.put("item", {key: {"n": n} for n, key in enumerate(ids)})
    store.append_events([Event(key, other, 1.0, float(n)) for n, key in enumerate(ids) for other in (key, "x")])

    assert [record["n"] for record in store.get("item", ids).values()] == list(range(len(ids)))
    assert sorted(map(repr, dict(store.scan("item", 5)))) == sorted(map(repr, ids))
    for n, (user, events) in enumerate(store.recent_events(ids).items()):
        assert events == [Event(user, item, 1.0, float(n)) for item in (user, "x")]


def test_integers_beyond_the_doubles_survive(store: MetadataStore) -> None:
    """Lua and JavaScript-minded parsers know doubles only: 2**53 + 1 becomes 2**53 there."""
    large = [2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1, -(2**63), -(2**53) - 1]
    store.put("item", {key: {"n": key} for key in large})
    store.append_events([Event(large[1], key, 3.0) for key in large])
    store.append_events([Event(large[1], key, 3.0, 1.0) for key in reversed(large)])

    assert [record["n"] for record in store.get("item", large).values()] == large
    assert [event.item_id for event in store.recent_events([large[1]])[large[1]]] == large


def test_histories_are_those_of_the_reference(store: MetadataStore) -> None:
    """Ties, repeats, late events, odd numbers, in calls of many sizes: the same as in memory, at every step."""
    reference = MemoryMetadataStore()
    times = [0.0, -0.0, 1.5, 1.0000000000000002, -3.25, 9e10, 1e-300, 1700000000.123457]
    users: list[Id] = ["u", 1]
    items: list[Id] = ["a", "b,\n\"'", 1, "1"]
    everything = [
        Event(u, i, t, r, kind) for u, i, t, r, kind in itertools.product(users, items, times, (None, 0.1), (None, "v"))
    ]
    for turn in range(12):
        events = everything[turn::7] + everything[turn * 3 : turn * 4][::-1]
        store.append_events(events)
        reference.append_events(events)
        for limit in (None, 3):
            assert store.recent_events(users, limit) == reference.recent_events(users, limit)
            assert store.recent_events(["u"], limit) == reference.recent_events(["u"], limit)
    assert dict(store.scan_events()) == dict(reference.scan_events())


def test_a_user_keeps_only_the_latest_events(store: MetadataStore) -> None:
    """However many are appended, in one call or in many, in order or not, the store and the engine stay bounded."""
    url, prefix = _address(store)
    with from_url(url, prefix=prefix, max_events_per_user=10) as small:
        small.append_events([Event("all at once", item, float(item)) for item in range(300)])
        for item in range(120):
            small.append_events([Event("one by one", item, float(item % 50))])
        found = small.recent_events(["all at once", "one by one"])
        assert [event.item_id for event in found["all at once"]] == list(range(290, 300))
        # The last one has the time 19, and is kept for all that.
        assert [event.time for event in found["one by one"]] == [
            19.0, 45.0, 46.0, 46.0, 47.0, 47.0, 48.0, 48.0, 49.0, 49.0,
        ]  # fmt: skip
        assert dict(small.scan_events()) == found
    # What the engine holds, seen without the limit: a little over at most.
    assert all(10 <= len(events) <= 11 for events in store.recent_events(["all at once", "one by one"]).values())


def test_processes_that_append_at_once_lose_nothing(store: MetadataStore) -> None:
    """Three processes append to the same users: every event is there once, and ties keep each process's order."""
    url, prefix = _address(store)
    store.ping()
    at_once(_APPENDING, [(url, prefix, str(worker)) for worker in range(3)])

    found = store.recent_events(["shared", 7])
    assert len(found["shared"]) == 25 * 4
    assert [event.time for event in found["shared"]] == sorted(float(turn) for turn in range(25) for _ in range(4))
    for worker in range(3):
        own = [str(event.item_id) for event in found[7] if str(event.item_id).startswith(f"{worker} ")]
        assert own == [f"{worker} {turn}" for turn in range(25)]


def test_records_change_while_they_are_scanned(store: MetadataStore) -> None:
    """Redis gives fields again when a hash shrinks under a scan, and pages shift in SQL: what stays comes once."""
    store.put("item", {key: {"n": key} for key in range(6000)})
    scan = store.scan("item", batch_size=50)
    first = [next(scan)[0] for _ in range(60)]
    doomed = [key for key in range(6000) if key % 100 and key not in first]
    store.delete("item", doomed)
    store.put("item", {key: {"n": key} for key in range(7000, 7200)})

    given = first + [key for key, _ in scan]
    assert len(given) == len(set(given))
    assert set(range(0, 6000, 100)) <= set(given)


def test_threads_share_a_store(store: MetadataStore) -> None:
    """More threads than cores read and write through one store."""

    def work(worker: int) -> None:
        for turn in range(15):
            store.put("item", {f"{worker} {turn}": {"n": turn}})
            assert store.read_users("item", [f"{worker} {turn}"], 5)[0] == {f"{worker} {turn}": {"n": turn}}

    together(*[lambda worker=worker: work(worker) for worker in range(12)])
    assert store.count("item") == 12 * 15


@pytest.mark.parametrize(
    "hostile", ["x'); DROP TABLE records; --", "*", "a\r\nFLUSHALL\r\n", "\\", "%s", "{x}", ":id", "?"]
)
def test_text_is_never_syntax(store: MetadataStore, hostile: str) -> None:
    """What an id or a value says is stored, not obeyed; a kind that is no name is refused."""
    store.put("item", {"kept": {}, hostile: {hostile: [hostile]}})
    store.append_events([Event(hostile, hostile, 1.0), Event("kept", 1, 1.0)])
    assert store.get("item", [hostile]) == {hostile: {hostile: [hostile]}}
    assert store.recent_events([hostile]) == {hostile: [Event(hostile, hostile, 1.0)]}
    store.delete("item", [hostile])
    store.delete_events([hostile])
    assert store.count("item") == 1
    assert dict(store.scan_events()) == {"kept": [Event("kept", 1, 1.0)]}
    with pytest.raises(ValueError, match="is not a valid kind"):
        store.count(hostile)
