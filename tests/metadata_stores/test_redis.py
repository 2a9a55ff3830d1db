"""The traps of Redis."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.metadata_stores.engines import cluster_url, eventually, fresh
from tests.servers import RedisClusterServer, RedisServer
from vecrec.errors import InvalidDataError, StoreError, StoreTimeoutError, StoreUnavailableError
from vecrec.metadata_stores import RedisMetadataStore
from vecrec.metadata_stores.redis.client import Command
from vecrec.types import Event

_FORKING = """
import os, sys
from vecrec.metadata_stores import from_url

store = from_url(sys.argv[1], prefix=sys.argv[2])
store.put("item", {1: {"by": "parent"}})
child = os.fork()
for turn in range(200):
    assert store.get("item", [1]) == {1: {"by": "parent"}}
    store.put("item", {f"{child == 0} {turn}": {}})
if child == 0:
    store.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert store.count("item") == 401
store.close()
"""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, to be stopped, killed and paused."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """A plain client of the shared server."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_keys_of_other_prefixes_stay_theirs(any_redis_url: str) -> None:
    """Prefixes that begin with, contain or nearly match each other share nothing."""
    base = fresh()
    prefixes = [base, f"{base}:", f"{base}:events:s", f"{base}.", f"{base}x", f"{base}-a"]
    stores = [RedisMetadataStore(any_redis_url, prefix=prefix) for prefix in prefixes]
    for n, store in enumerate(stores):
        store.put("item", {n: {"n": n}, "same": {"n": n}})
        store.append_events([Event(n, 1, 1.0), Event("same", n, 1.0)])
    for n, store in enumerate(stores):
        assert dict(store.scan("item")) == {n: {"n": n}, "same": {"n": n}}
        assert dict(store.scan_events()) == {n: [Event(n, 1, 1.0)], "same": [Event("same", n, 1.0)]}
    stores[0].delete("item", ["same"])
    stores[0].delete_events(["same"])
    assert [store.count("item") for store in stores] == [1, 2, 2, 2, 2, 2]
    assert [len(list(store.scan_events())) for store in stores] == [1, 2, 2, 2, 2, 2]
    for store in stores:
        store.close()


def test_a_scan_survives_foreign_keys(redis_url: str, client: Any) -> None:
    """Thousands of keys of other programs on the same server are neither read nor given."""
    prefix = fresh()
    client.mset({f"{prefix}foreign {n}": "x" for n in range(3000)})
    with RedisMetadataStore(redis_url, prefix=prefix) as store:
        store.append_events([Event(user, 1, 1.0) for user in range(50)])
        store.put("item", {n: {} for n in range(50)})
        assert {user for user, _ in store.scan_events(7)} == set(range(50))
        assert store.count("item") == len(list(store.scan("item"))) == 50
    client.delete(*(f"{prefix}foreign {n}" for n in range(3000)))


def test_batches_cross_the_slots_of_a_cluster(redis_cluster_url: str) -> None:
    """A cluster refuses one command for keys of several slots: batches of all sizes work all the same."""
    prefix = fresh()
    with RedisMetadataStore(cluster_url(redis_cluster_url), prefix=prefix) as store:
        for size in (1, 2, 100, 3000):
            ids = [f"{size} {n}" for n in range(size)]
            store.put("item", {key: {"id": key} for key in ids})
            store.append_events([Event(key, n, 1.0) for n, key in enumerate(ids)])
            assert store.get("item", ids) == {key: {"id": key} for key in ids}
            records, events = store.read_users("item", ids)
            assert len(records) == size
            assert [found[0].item_id for found in events.values()] == list(range(size))
            store.delete("item", ids)
            store.delete_events(ids)
            assert store.count("item") == 0
    with redis.Redis.from_url(redis_cluster_url) as node, pytest.raises(redis.ResponseError, match="slot"):
        node.execute_command("MGET", "a", "b", "c", "d")


def test_a_node_that_is_taken_for_a_server_says_so(redis_cluster_url: str) -> None:
    """The message names the cure, instead of a slot's number."""
    events = [Event(user, 1, 1.0) for user in range(20)]  # some of them belong to the node that is asked
    refused = pytest.raises(StoreError, match=r"node of a cluster: give redis\+cluster://")
    with RedisMetadataStore(redis_cluster_url, prefix=fresh()) as store, refused:
        store.append_events(events)


def test_a_cluster_spreads_its_load(redis_cluster_url: str) -> None:
    """Records and histories lie on every node, not in one slot."""
    prefix = fresh()
    with RedisMetadataStore(cluster_url(redis_cluster_url), prefix=prefix) as store:
        store.put("item", {n: {} for n in range(1000)})
        store.append_events([Event(n, 1, 1.0) for n in range(100)])
    with redis.RedisCluster.from_url(redis_cluster_url) as client:
        for node in client.get_primaries():
            keys = client.get_redis_connection(node).keys(f"{prefix}*")
            assert sum(b"/records/" in key for key in keys) >= 10
            assert sum(b"/events/" in key for key in keys) >= 10


def test_a_refused_connection_fails_fast() -> None:
    """Redis-py alone tries for four seconds."""
    with (
        RedisMetadataStore("redis://127.0.0.1:1") as store,
        pytest.raises(StoreUnavailableError) as caught,
    ):
        store.get("item", [1])
    assert isinstance(caught.value.__cause__, redis.ConnectionError)
    with RedisMetadataStore("redis+cluster://127.0.0.1:1") as store, pytest.raises(StoreUnavailableError):
        store.put("item", {1: {}})


def test_a_paused_server_times_out_and_is_used_again(server: RedisServer) -> None:
    """Every call, on an old connection and on a new one, ends with the timeout; no answer reaches a later question."""
    with RedisMetadataStore(server.url, timeout=0.5) as store:
        store.put("item", {1: {"n": 1}, 2: {"n": 2}})
        store.append_events([Event(1, 1, 1.0)])
        server.pause()
        calls = [
            lambda: store.get("item", [1]),
            lambda: store.put("item", {1: {"n": "late"}}),
            lambda: store.read_users("item", [1]),
            lambda: store.append_events([Event(1, 2, 2.0)]),
            lambda: list(store.scan("item")),
            store.ping,
        ]
        for call in calls:
            with pytest.raises(StoreTimeoutError, match=r"0\.5 s"):
                call()
        server.resume()
        eventually(lambda: store.count("item"))
        for _ in range(20):
            assert store.get("item", [2]) == {2: {"n": 2}}
            assert store.count("item") == 2


def test_a_killed_server_is_unavailable_and_comes_back(server: RedisServer) -> None:
    """While it is away the error says so at once; afterwards the same store goes on, with what was acknowledged."""
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")  # else it answers before it writes where the disk is slow
    with RedisMetadataStore(server.url, timeout=2) as store:
        store.put("item", {1: {"n": 1}})
        store.append_events([Event(1, 1, 1.0)])
        server.kill()
        for call in (lambda: store.get("item", [1]), lambda: store.put("item", {2: {}})):
            with pytest.raises(StoreUnavailableError):
                call()
        server.start()
        # The script is unknown to the new process.
        eventually(lambda: store.append_events([Event(1, 2, 2.0)]))
        assert store.get("item", [1, 2]) == {1: {"n": 1}}
        assert [event.item_id for event in store.recent_events([1])[1]] == [1, 2]


def test_a_restart_between_two_reads_is_not_noticed(server: RedisServer) -> None:
    """Idle connections of the pool that have died are replaced."""
    with RedisMetadataStore(server.url) as store:
        store.put("item", {1: {}})
        server.stop()
        server.start()
        assert store.get("item", [1]) == {1: {}}
        server.stop()
        server.start()
        store.put("item", {2: {}})
        assert store.count("item") == 2


@pytest.mark.slow
def test_a_node_of_a_cluster_that_hangs_costs_one_timeout() -> None:
    """Redis-py's own pipeline waits a timeout for each command of the node."""
    with RedisClusterServer() as cluster, RedisMetadataStore(cluster_url(cluster.url), timeout=1) as store:
        store.put("item", {n: {} for n in range(500)})
        cluster.nodes[1].pause()
        with pytest.raises(StoreUnavailableError):
            store.get("item", range(500))
        cluster.nodes[1].resume()
        eventually(lambda: store.get("item", range(500)))
        assert store.count("item") == 500


def test_forgotten_scripts_are_told_again(redis_store: RedisMetadataStore) -> None:
    """After SCRIPT FLUSH an append still works, and happens once."""
    redis_store.append_events([Event(1, 1, 1.0)])
    for _ in redis_store._client.on_each_node("SCRIPT", "FLUSH"):
        pass
    redis_store.append_events([Event(user, 2, 2.0) for user in range(20)])
    found = redis_store.recent_events(range(20))
    assert [len(events) for events in found.values()] == [1, 2, *[1] * 18]


def test_a_batch_that_does_not_fit_leaves_nothing() -> None:
    """A server that is full refuses the whole transaction, of records and of events, and says so."""
    options = ["--maxmemory", "4mb", "--appendonly", "no"]
    with RedisServer(options) as server, RedisMetadataStore(server.url) as store:
        store.put("item", {"before": {"kept": True}})
        with pytest.raises(StoreError, match="full"):
            store.put("item", {n: {"text": "x" * 50_000} for n in range(400)})
        assert dict(store.scan("item")) == {"before": {"kept": True}}
        with pytest.raises(StoreError, match="full"):
            store.append_events([Event(user, f"{'x' * 500}{n}", 1.0) for user in range(100) for n in range(100)])
        assert list(store.scan_events()) == []


def test_a_full_server_accepts_deletions() -> None:
    """What frees memory passes: records, whole histories and single events, of one id and of many."""
    with RedisServer() as server, RedisMetadataStore(server.url, event_ttl=500) as store:
        store.put("user", {n: {"n": n} for n in range(20)})
        store.append_events([Event(user, item, 1.0, kind="like") for user in range(20) for item in range(3)])
        server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreError, match="full"):
            store.put("item", {1: {}})
        with pytest.raises(StoreError, match="full"):
            store.append_events([Event(1, "x" * 500, 2.0)])
        store.delete_events([1, 2], item_ids=[1], kinds=["like"])
        assert [[e.item_id for e in store.recent_events([user])[user]] for user in (1, 2, 3)] == [
            [0, 2], [0, 2], [0, 1, 2],
        ]  # fmt: skip
        assert 400 < store._client.run([Command("", ("TTL", "vecrec/events/i1"))], again=True)[0] <= 500
        store.delete("user", range(5))
        store.delete_events(range(10))
        assert store.count("user") == 15
        assert {user for user, _ in store.scan_events()} == set(range(10, 20))


def test_a_server_without_hello_is_spoken_to() -> None:
    """Redis 5 and some proxies know the older protocol only."""
    with RedisServer(["--rename-command", "HELLO", ""]) as server, RedisMetadataStore(server.url) as store:
        store.put("item", {1: {"n": 1}})
        store.append_events([Event(1, 1, 1.0)])
        assert store.read_users("item", [1]) == ({1: {"n": 1}}, {1: [Event(1, 1, 1.0)]})
        assert dict(store.scan("item")) == {1: {"n": 1}}
        assert dict(store.scan_events()) == {1: [Event(1, 1, 1.0)]}


def test_a_user_without_info_has_no_warnings(server: RedisServer) -> None:
    """What INFO would have told is missing, and everything else works; a forbidden command is told as such."""
    server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-@dangerous", "-hlen")
    with RedisMetadataStore(server.url.replace("//", "//app:secret@")) as store:
        store.put("item", {1: {}})
        assert store.warnings() == []
        with pytest.raises(StoreError, match="does not allow this user"):
            store.count("item")
        server.kill()
        with pytest.raises(StoreUnavailableError):
            store.warnings()


def test_a_socket_of_the_machine_is_an_address(tmp_path: Path) -> None:
    """``unix://`` reaches a server by a path, with a database and a password."""
    path = f"{tmp_path}/redis.sock"
    with RedisServer(["--unixsocket", path]), RedisMetadataStore(f"unix://{path}?db=1", timeout=2) as store:
        store.put("item", {1: {"n": 1}})
        assert store.get("item", [1]) == {1: {"n": 1}}
        assert path in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret/x@127.0.0.1:1/0",
        "redis://:secret#x@127.0.0.1:1/0",
        "redis://:secret?x@127.0.0.1:1/0",
        "redis://127.0.0.1:secret/0",
        "redis+cluster://:secret/x@127.0.0.1:1",
        "redis://127.0.0.1:1/0?no_such_option=secret",
        "redis://127.0.0.1:1/0?socket_timeout=secret",
        "redis+cluster://127.0.0.1:1?no_such_option=secret",
        "unix:///tmp/redis.sock?no_such_option=secret",
    ],
)
def test_bad_urls_are_refused_without_their_secrets(url: str) -> None:
    """A password that is not quoted, and options that redis-py does not know, are told when the store is made."""
    with pytest.raises(InvalidDataError) as caught:
        RedisMetadataStore(url)
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
    assert caught.value.cure


def test_quoted_passwords_reach_the_server(server: RedisServer) -> None:
    """Any password can be written in a URL."""
    server.command("ACL", "SETUSER", "app", "on", ">a/b#c?d@e", "~*", "+@all")
    with RedisMetadataStore(server.url.replace("//", "//app:a%2Fb%23c%3Fd%40e@")) as store:
        store.ping()


def test_events_expire_as_a_whole(any_redis_url: str) -> None:
    """With a time to live, a user's events go so long after the last one; records stay."""
    prefix = fresh()
    with RedisMetadataStore(any_redis_url, prefix=prefix, event_ttl=500) as store:
        store.put("user", {1: {}})
        store.append_events([Event(1, 1, 1.0)])
        key = f"{prefix}/events/i1"
        for late in (False, True):
            store._client.run([Command(key, ("EXPIRE", key, 100))], again=False)
            # A later event, and one that is put in its place before others.
            store.append_events([Event(1, 2, 0.5 if late else 2.0)])
            assert 400 < store._client.run([Command(key, ("TTL", key))], again=True)[0] <= 500
        store._client.run([Command(key, ("PEXPIRE", key, 1))], again=False)
        deadline = time.monotonic() + 60
        while store.recent_events([1])[1] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(store.scan_events()) == []
        assert store.count("user") == 1


def test_memory_of_a_history_is_bounded(redis_url: str, client: Any) -> None:
    """Thousands of events in any order leave no more bytes than the latest hundred and an eighth take."""
    prefix = fresh()
    with RedisMetadataStore(redis_url, prefix=prefix, max_events_per_user=100) as store:
        for start in range(0, 4000, 7):
            store.append_events([Event(1, n, 1e9 + (n % 1000)) for n in range(start, start + 7)])
        assert client.strlen(f"{prefix}/events/i1") <= 113 * 25
        assert len(store.recent_events([1])[1]) == 100


def test_values_changed_by_hand_spoil_themselves_only(
    redis_url: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that is not JSON is left out and logged, a history that cannot be read is an error that names it."""
    prefix = fresh()
    with RedisMetadataStore(redis_url, prefix=prefix) as store:
        store.put("item", {1: {"n": 1}, "two": {}, 3: {"n": 3}})
        for text in ("{no json", "{},{}", "[1]", b"\xff"):
            client.hset(f"{prefix}/records/item", "stwo", text)
            assert store.get("item", [1, "two", 3]) == dict(store.scan("item")) == {1: {"n": 1}, 3: {"n": 3}}
            assert "item 'two'" in caplog.text
            caplog.clear()
        client.hset(f"{prefix}/records/item", "no id", "{}")
        assert dict(store.scan("item")) == {1: {"n": 1}, 3: {"n": 3}}
        for text in ("what is this", "       1,2,\n1,2,3,\n", "       1,2,\n1,2,", "       1,\n1,2,{},4,\n"):
            client.set(f"{prefix}/events/i5", text)
            with pytest.raises(StoreError, match="user 5"):
                store.recent_events([5])
        store.delete_events([5])
        store.append_events([Event(6, 1, 1.0)])
        client.set(f"{prefix}/events/no id", "x")
        assert dict(store.scan_events()) == {6: [Event(6, 1, 1.0)]}
        client.set(f"{prefix}/records/other", "a string")
        with pytest.raises(StoreError, match="WRONGTYPE"):
            store.count("other")


def test_busy_connections_are_waited_for_and_then_told(server: RedisServer) -> None:
    """With the pool used up, a call waits for the timeout and says which option to raise."""
    with RedisMetadataStore(server.url, timeout=0.3, max_connections=1) as store:
        store.ping()
        taken = store._client._pool.get_connection()  # type: ignore[attr-defined]
        with pytest.raises(StoreTimeoutError, match="max_connections"):
            store.ping()
        store._client._pool.release(taken)  # type: ignore[attr-defined]
        store.ping()


def test_refused_credentials_are_told(redis_url: str) -> None:
    """A wrong password is no outage: nothing is tried again, and the password is not shown."""
    url = redis_url.replace("redis://", "redis://nobody:wrong-password@")
    with RedisMetadataStore(url) as store, pytest.raises(StoreError, match="credentials") as caught:
        store.ping()
    assert not isinstance(caught.value, StoreUnavailableError)
    assert "wrong-password" not in str(caught.value)


def test_tls_and_other_options_reach_the_connections(redis_url: str) -> None:
    """TLS is spoken where the scheme says so, with the options given; the server that has none is not available."""
    url = redis_url.replace("redis://", "rediss://")
    options = {"ssl_ca_certs": "/nowhere/ca.pem", "ssl_check_hostname": False, "client_name": "vecrec-test"}
    with RedisMetadataStore(url, timeout=2, options=options) as store:
        made = store._client._pool.make_connection()  # type: ignore[attr-defined]
        assert isinstance(made, redis.SSLConnection)
        assert made.ca_certs == "/nowhere/ca.pem"
        assert made.client_name == "vecrec-test"
        assert made.protocol == 2
        with pytest.raises(StoreError):
            store.ping()
    with pytest.raises(InvalidDataError, match="options"):
        RedisMetadataStore(redis_url, options={"connection_class": redis.Connection, "max_connections": -1})


def test_risks_of_a_server_are_told() -> None:
    """A server that evicts or forgets is reported, each risk with its cure; one that keeps everything is not."""
    risky = ["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]
    with RedisServer(risky) as server, RedisMetadataStore(server.url) as store:
        warnings = store.warnings()
        assert [risk.cure for risk in warnings] == ["set maxmemory-policy noeviction", "set appendonly yes"]
        assert all(server.url.rpartition("//")[2] in risk.problem for risk in warnings)
        assert str(warnings[0]) == f"{warnings[0].problem}: {warnings[0].cure}"


def test_a_safe_server_has_no_risks(redis_store: RedisMetadataStore) -> None:
    """The servers of the tests append every write to a file and evict nothing."""
    assert redis_store.warnings() == []


def test_a_forked_process_has_connections_of_its_own(any_redis_url: str) -> None:
    """Parent and child talk at once and never read each other's answers."""
    command = [sys.executable, "-W", "ignore", "-c", _FORKING, any_redis_url, fresh()]
    subprocess.run(command, check=True, timeout=60)
