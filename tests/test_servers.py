"""The servers that the tests run on: if these lie, every other test may."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import (
    SERVERS,
    MariaDBServer,
    MilvusServer,
    PostgresServer,
    RedisClusterServer,
    RedisServer,
    Server,
    ServerError,
    ServerPool,
    provision,
)
from tests.servers.milvus import _fill, _override
from tests.servers.pool import PoolListener, RemotePool
from tests.servers.ports import free_port
from tests.servers.redis import _ask

ALL = [RedisServer, RedisClusterServer, MariaDBServer, PostgresServer, MilvusServer]


def _listens(server: Server) -> bool:
    port = urlsplit(server.url).port
    assert port is not None
    return _is_open(port)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_survives_every_kind_of_end(kind: type[Server]) -> None:
    """Stopped or killed, a server is gone; started again, it answers at the same address."""
    with kind() as server:
        url = server.url
        for end in (server.stop, server.kill):
            assert _listens(server)
            end()
            assert not _listens(server)
            end()  # once more is harmless
            server.start()
            assert server.url == url
    assert not _listens(server)


def test_leaves_no_file() -> None:
    """The data of a closed server is deleted."""
    with RedisServer() as server:
        directory = server.directory
        assert directory is not None
        assert directory.is_dir()
    assert not directory.exists()


def test_sweeps_what_the_killed_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data of a run that was killed is deleted by the next, and that of a living one is not."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    command = [sys.executable, "-m", "tests.servers", "redis"]
    with RedisServer() as living:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as killed:
            assert killed.stdout is not None
            killed.stdout.readline()
            killed.kill()
        assert len(list(tmp_path.iterdir())) == 2
        with RedisServer() as later:
            assert set(tmp_path.iterdir()) == {living.directory, later.directory}


def test_keeps_acknowledged_writes() -> None:
    """A Redis that is killed has, when started again, what it acknowledged."""
    with RedisServer() as server:
        server.command("SET", "key", "kept")
        server.kill()
        server.start()
        assert server.command("GET", "key") == "kept"


def test_pauses() -> None:
    """A paused server takes connections and answers nothing, until it is resumed."""
    with RedisServer() as server:
        server.pause()
        with pytest.raises(TimeoutError):
            server.command("PING", seconds=1.0)
        server.resume()
        assert server.command("PING") == "+PONG"


def test_stops_while_paused() -> None:
    """A paused server can be stopped."""
    with RedisServer() as server:
        server.pause()
        server.stop()
        assert not server.running


def test_servers_of_one_kind_stand_apart() -> None:
    """Two servers of a kind share neither port nor data."""
    with RedisServer() as first, RedisServer() as second:
        first.command("SET", "key", "value")
        assert second.command("DBSIZE") == ":0"


def test_cluster_parts_its_keys() -> None:
    """A key lives on one of the nodes, and the others know which."""
    with RedisClusterServer() as cluster:
        taken, *moved = sorted(_ask(node.port, ["SET", "key", "value"]) for node in cluster.nodes)
    assert taken == "+OK"
    assert len(moved) == 2
    assert all(reply.startswith("-MOVED 12539 127.0.0.1:") for reply in moved)


def test_unstartable_server_shows_its_log() -> None:
    """The error of a failed start ends with what the server said."""
    server = RedisServer(["--no-such-option", "1"])
    with (
        pytest.raises(ServerError, match=r"redis ended with status 1.*'no-such-option'|Bad directive") as caught,
        server,
    ):
        pass
    assert "its log ends with:\n" in str(caught.value)
    assert server.directory is None


def test_silent_server_is_not_awaited_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs but does not answer is ended when its time is over."""
    monkeypatch.setattr(RedisServer, "start_timeout", 0.3)
    monkeypatch.setattr(RedisServer, "_healthy", lambda self: False)
    server = RedisServer()
    with pytest.raises(ServerError, match="redis did not answer in 0 s"):
        server.start()
    assert not server.running
    server.close()


def test_second_start_is_refused() -> None:
    """Starting a running server is a mistake of the caller, and is said to be one."""
    with RedisServer() as server, pytest.raises(ServerError, match="stop it first"):
        server.start()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_dies_with_its_parent(ending: signal.Signals) -> None:
    """No server outlives the process that started it, however that one ends."""
    command = [sys.executable, "-m", "tests.servers", "redis"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        line = parent.stdout.readline()
        port = int(line.rpartition(":")[2].split("/")[0])
        assert _is_open(port)
        parent.send_signal(ending)
    deadline = time.monotonic() + 60
    while _is_open(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_open(port)


def test_command_line_hands_over_addresses() -> None:
    """A command run by `python -m tests.servers` finds the addresses, and its status is passed on."""
    script = "import os, sys; print(os.environ['VECREC_TEST_REDIS_URL']); sys.exit(3)"
    command = [sys.executable, "-m", "tests.servers", "redis", "--", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("redis://127.0.0.1:")
    assert done.returncode == 3


def test_named_server_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that the environment names is used, and none is started."""
    monkeypatch.setenv("VECREC_TEST_MILVUS_URI", "http://milvus.test:19530")
    pool = ServerPool()
    assert pool.url("milvus") == "http://milvus.test:19530"
    pool.close()


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the servers that the environment names."""
    for kind in SERVERS.values():
        monkeypatch.delenv(kind.variable, raising=False)


@pytest.mark.usefixtures("unnamed")
def test_workers_share_one_server() -> None:
    """All workers are given the same server, which ends with the listener."""
    listener = PoolListener(ServerPool())
    urls = {RemotePool(listener.address, listener.key).url("redis") for _ in range(3)}
    (url,) = urls
    port = urlsplit(url).port
    assert port is not None
    assert _is_open(port)
    listener.close()
    assert not _is_open(port)


@pytest.mark.usefixtures("unnamed")
def test_workers_hear_of_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that can't start fails each test that wants it, with the reason, after one attempt."""
    attempts = []

    def fail(self: RedisServer) -> None:
        attempts.append(self)
        raise ServerError("no Redis today")

    monkeypatch.setattr(RedisServer, "start", fail)
    listener = PoolListener(ServerPool())
    for _ in range(2):
        with pytest.raises(ServerError, match="no Redis today"):
            RemotePool(listener.address, listener.key).url("redis")
    assert len(attempts) == 1
    listener.close()


def test_missing_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a program is missing and can't be installed, the error names the package and the way out."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get, no sudo
    with pytest.raises(ServerError, match=r"Install some-package .*VECREC_TEST_"):
        provision.require("no-such-program", ["some-package"])


def test_ports_are_free_and_given_once() -> None:
    """A port is given once, and is not one that somebody listens on."""
    ports = [free_port(beside=10_000) for _ in range(200)]
    assert len(set(ports)) == 200
    assert all(port + 10_000 < 2**16 for port in ports)
    assert not any(map(_is_open, ports))


def test_milvus_template() -> None:
    """Each place is filled by the given value, by a free port, or by its default."""
    text, values = _fill("a: {{ a }}\nb: {{ b(int): 7 }}\nc: {{ c_port(int): 1 }}\nd: {{ c_port }}", {"a": "x"})
    port = values["c_port"]
    assert text == f"a: x\nb: 7\nc: {port}\nd: {port}"
    assert int(port) > 1


def test_milvus_settings() -> None:
    """A setting is found by its dotted name; a name that doesn't exist is an error."""
    text = "a:\n  x: 1 # one\nb:\n  x: 2\n"
    assert _override(text, {"b.x": 3}) == "a:\n  x: 1 # one\nb:\n  x: 3\n"
    with pytest.raises(KeyError, match=r"b\.y"):
        _override(text, {"b.y": 3})


def test_process_is_ours() -> None:
    """A server is a child of this process, in a session of its own: Ctrl-C reaches the tests alone."""
    with RedisServer() as server:
        assert os.getsid(server.pid) == server.pid
