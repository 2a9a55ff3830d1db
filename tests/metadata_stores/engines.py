"""What the tests of the stores share."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from vecrec.errors import StoreUnavailableError

__all__ = ["at_once", "cluster_url", "eventually", "fresh", "together"]


def fresh() -> str:
    """A prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}_"


def cluster_url(url: str) -> str:
    """The URL of a node as that of its cluster."""
    return url.replace("redis://", "redis+cluster://", 1)


def eventually(call: Callable[[], object], seconds: float = 120) -> None:
    """Call until it no longer says that the engine is unavailable."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            call()
        except StoreUnavailableError:
            assert time.monotonic() < deadline, f"still unavailable after {seconds} s"
            time.sleep(0.05)
        else:
            return


def at_once(code: str, arguments: Sequence[Sequence[str]]) -> None:
    """Run processes of one program, which says that it is ready and then goes on when all of them are."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for words in arguments
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
    for worker in workers:
        worker.communicate(timeout=60)
    assert [worker.returncode for worker in workers] == [0] * len(workers)


def together(*tasks: Callable[[], object]) -> None:
    """Run tasks in threads at once, and raise the first error of any."""
    errors: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
