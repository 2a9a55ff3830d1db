"""Several processes behind one port: they share the requests, are started again, and end together."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.servers.ports import free_port
from tests.serving.web import get
from vecrec.cli import main
from vecrec.config.compose import compose
from vecrec.config.settings import Settings
from vecrec.data import Dataset
from vecrec.encoders import ContentEncoder
from vecrec.errors import InvalidDataError, VecrecError
from vecrec.serving.workers import listen, supervise


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class _Serving:
    """`vecrec serve --workers 2` on files that several processes may open."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            name="demo", artifacts=str(folder), vector_store=str(folder / "demo.vec"), port=free_port(), workers=2
        )
        self.base = f"http://127.0.0.1:{self.settings.port}"
        self._log = folder / "log"
        items = {"item_id": list(range(20)), "title": [f"Film {n}" for n in range(20)], "genre": ["a", "b"] * 10}
        events = {
            "user_id": [u for u in range(10) for _ in range(3)],
            "item_id": [(2 * n + u) % 20 for u in range(10) for n in range(3)],
        }
        with compose(self.settings, ContentEncoder(dim=16)) as recommender:
            recommender.fit(Dataset(events, items=items))
        parts = ("name", "artifacts", "vector_store", "port", "workers")
        given = [f"--{name.replace('_', '-')}={getattr(self.settings, name)}" for name in parts]
        with self._log.open("w") as file:
            self.process = subprocess.Popen([sys.executable, "-m", "vecrec", "serve", *given], stderr=file)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text()

    @property
    def pids(self) -> list[int]:
        """The workers that were started, the first ones first."""
        return [int(found) for found in re.findall(r"worker \d is process (\d+)", self.log)]

    def answering(self) -> dict[str, str]:
        """The worker that has got a connection, and the release that it serves."""
        with httpx.Client(base_url=self.base, trust_env=False, timeout=120) as client:
            release = get(client.get("/v1/users/3/recommendations?k=3"))["release"]
            workers = set(re.findall(r'worker="(\d)"', client.get("/metrics").text))
        assert len(workers) == 1
        return {workers.pop(): release}

    def wait_for(self, release: str | None = None) -> None:
        """Wait until both have answered, with a release if one is named."""
        seen: dict[str, str] = {}

        def both() -> bool:
            assert self.process.poll() is None, self.log
            seen.update(self.answering())
            return set(seen) == {"0", "1"} and (release is None or set(seen.values()) == {release})

        _until(both)


@contextmanager
def _served(folder: Path) -> Iterator[_Serving]:
    serving = _Serving(folder)
    try:
        _until(lambda: serving.process.poll() is not None or _listens(serving.settings.port))
        yield serving
    finally:
        serving.process.kill()
        serving.process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port)) == 0


def test_two_workers(tmp_path: Path) -> None:
    """Both answer; one that is killed is started again; both follow a switch of releases; SIGTERM ends all with 0."""
    with _served(tmp_path) as serving:
        serving.wait_for()
        first, second = serving.pids
        os.kill(first, signal.SIGKILL)
        _until(lambda: not _alive(first))
        assert serving.answering()
        _until(lambda: len(serving.pids) == 3)
        assert _alive(second)
        assert "worker 0 ended with status -9 and is started again" in serving.log
        with compose(serving.settings) as recommender:
            release = recommender.publish().id
        serving.wait_for(release)
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(120) == 0, serving.log
        assert not any(map(_alive, serving.pids))
        assert "killed" not in serving.log


def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    """Where the first process is killed, the others end, and the port is free again."""
    with _served(tmp_path) as serving:
        serving.wait_for()
        serving.process.kill()
        serving.process.wait()
        _until(lambda: not any(map(_alive, serving.pids)))
        listen("127.0.0.1", serving.settings.port).close()


@pytest.mark.parametrize(
    "parts",
    [("--vector-store=memory://",), (), ("--vector-store=demo.vec", "--metadata-store=sqlite://")],
    ids=["memory", "Milvus Lite", "SQLite in memory"],
)
def test_stores_of_one_process_are_refused(
    parts: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says which store it is and what to do, and starts nothing."""
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--workers=2", "--port=0", *parts]) == 2
    said = capsys.readouterr().err
    assert "serves one process at a time, and workers is 2" in said
    assert "vecrec migrate" in said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_refused(workers: int, tmp_path: Path) -> None:
    """By the command itself, with the status of arguments that cannot be used, before any part is opened."""
    folder = tmp_path / "artifacts"
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        given = [f"--artifacts={folder}", f"--workers={workers}", f"--port={port}"]
        ended = subprocess.run(
            [sys.executable, "-m", "vecrec", "serve", *given], capture_output=True, text=True, timeout=120, check=False
        )
    assert ended.returncode == 2, ended.stderr
    assert f"127.0.0.1 port {port} cannot be listened on (Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not folder.exists()


def test_an_address_of_another_machine_is_refused() -> None:
    """As a port in use is."""
    with pytest.raises(InvalidDataError, match="cannot be listened on"):
        listen("192.0.2.1", 0)  # an address for documents, which no machine has


def _fails(number: int, shared: socket.socket, ready: Callable[[], None]) -> None:
    raise InvalidDataError(f"worker {number} has no encoder", "install it")


def _vanishes(number: int, shared: socket.socket, ready: Callable[[], None]) -> None:
    os._exit(7)


def test_a_worker_that_cannot_start_ends_all() -> None:
    """With its own error where it has one."""
    with listen("127.0.0.1", 0) as shared:
        with pytest.raises(InvalidDataError, match="has no encoder: install it"):
            supervise(_fails, 2, shared, seconds=1)
        with pytest.raises(VecrecError, match="ended with status 7 before it served"):
            supervise(_vanishes, 1, shared, seconds=1)


def _second_fails(folder: Path, number: int, shared: socket.socket, ready: Callable[[], None]) -> None:
    serves, tries = folder / "serves", folder / "tries"
    if number == 0:
        if tries.exists():
            raise InvalidDataError("the first does not start again")
        ready()
        serves.touch()
        _until(lambda: tries.exists() and tries.read_text().count("\n") >= 2)
    else:
        _until(serves.exists)
        with tries.open("a") as file:
            file.write("tried\n")
        raise InvalidDataError("the second never starts")


def test_a_worker_is_tried_again_while_another_serves(tmp_path: Path) -> None:
    """What is served goes on; when no worker serves, the next failure ends it."""
    with listen("127.0.0.1", 0) as shared, pytest.raises(InvalidDataError, match="start"):
        supervise(partial(_second_fails, tmp_path), 2, shared, seconds=1)
    assert (tmp_path / "tries").read_text().count("\n") >= 2
