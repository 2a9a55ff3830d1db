"""Downloads against a real server on this machine: resumed, checked, whole or not there."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.datasets.web import Web, serving
from vecrec.datasets import download
from vecrec.datasets.download import fetch
from vecrec.errors import DownloadError, VecrecError
from vecrec.progress import Step

BODY = bytes(range(256)) * 4000
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.001)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web({"a.zip": BODY, "empty": b""})) as running:
        yield running


def test_a_file_arrives_whole_with_its_steps(web: Web, tmp_path: Path) -> None:
    steps: list[Step] = []
    path = fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5, show=steps.append)
    assert path.read_bytes() == BODY
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert (steps[-1].done, steps[-1].total) == (len(BODY), len(BODY))
    assert not (tmp_path / "a.zip.part").exists()


def test_what_is_there_is_not_fetched_again(web: Web, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"here")
    assert fetch(web.url + "a.zip", tmp_path / "a.zip").read_bytes() == b"here"
    assert web.asked == []


def test_a_transfer_that_breaks_off_is_resumed_where_it_stopped(web: Web, tmp_path: Path) -> None:
    web.cut_after = [300_000, 1, 200_000]
    assert fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY
    assert [wanted for _, wanted in web.asked] == [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]


def test_it_is_resumed_by_a_later_call_too(web: Web, tmp_path: Path) -> None:
    web.cut_after = [300_000]
    with pytest.raises(DownloadError, match=r"300,000 of 1,024,000"):
        fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5, attempts=1)
    assert not (tmp_path / "a.zip").exists()
    assert fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY
    assert web.asked[-1] == ("/a.zip", "bytes=300000-")


def test_a_server_without_ranges_starts_again(web: Web, tmp_path: Path) -> None:
    web.ranges = False
    web.cut_after = [300_000]
    assert fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY


def test_the_wrong_checksum_is_refused_and_not_kept(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"{MD5}, expected {'0' * 32}"):
        fetch(web.url + "a.zip", tmp_path / "a.zip", md5="0" * 32)
    assert {path.name for path in tmp_path.iterdir()} <= {".a.zip.lock"}


@pytest.mark.parametrize("stale", [b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 1), BODY])
def test_a_beginning_of_something_else_is_thrown_away(web: Web, tmp_path: Path, stale: bytes) -> None:
    (tmp_path / "a.zip.part").write_bytes(stale)
    assert fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(web: Web, tmp_path: Path) -> None:
    web.statuses = [503, 429, 500]
    assert fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY
    web.asked.clear()
    with pytest.raises(DownloadError, match="404"):
        fetch(web.url + "b.zip", tmp_path / "b.zip")
    assert len(web.asked) == 1


def test_it_gives_up_after_the_attempts(web: Web, tmp_path: Path) -> None:
    web.statuses = [500] * 9
    with pytest.raises(DownloadError, match="500"):
        fetch(web.url + "a.zip", tmp_path / "a.zip", attempts=3)
    assert len(web.asked) == 3


def test_an_empty_file_is_a_file(web: Web, tmp_path: Path) -> None:
    assert fetch(web.url + "empty", tmp_path / "empty").read_bytes() == b""


def test_calls_at_once_download_once(web: Web, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: fetch(web.url + "a.zip", tmp_path / "a.zip", md5=MD5), range(8)))
    assert {path.read_bytes() for path in paths} == {BODY}
    assert len(web.asked) == 1


def test_nobody_at_the_address_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(DownloadError, match="no connection") as caught:
        fetch(f"http://127.0.0.1:{port}/a.zip", tmp_path / "a.zip", attempts=2)
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, VecrecError)


def test_a_server_that_says_nothing_is_left_after_the_timeout(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(DownloadError, match="timed out"):
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/a", tmp_path / "a", timeout=0.1, attempts=2)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "a.zip"])
def test_only_http_is_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="http"):
        fetch(url, tmp_path / "a")
