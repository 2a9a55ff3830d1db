"""Several processes that serve on one port: started, watched, started again and ended by the process that opened it.

The port is given to fresh processes, which share nothing else: a thread or a connection to a store would not survive a
fork. The kernel gives each connection to one of them.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

from vecrec.errors import InvalidDataError, VecrecError

__all__ = ["Work", "listen", "supervise"]

Work: TypeAlias = Callable[[int, socket.socket, Callable[[], None]], None]
"""Serves on a socket until SIGTERM; it gets its number too, and what to call when it is about to accept requests."""

_CLOSING_SECONDS = 5.0
"""How long a worker may take to close its stores, after its requests have ended."""
_PAUSE_SECONDS = 1.0
"""Between two tries to start a worker that has failed to start while others serve."""

_log = logging.getLogger("vecrec.serving")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, to be shared by the workers.

    Raises:
        InvalidDataError: for an address that is not of this machine, or a port that is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        problem = f"{host} port {port} cannot be listened on ({error.strerror or error})"
        raise InvalidDataError(problem, "give another --host or --port, or end what listens there") from error


def supervise(work: Work, count: int, shared: socket.socket, *, seconds: float) -> None:
    """Keep ``count`` processes serving on one socket, until SIGTERM or SIGINT ends this one by an exception.

    A worker that ends is started again. One that ends before it serves, while no other serves, ends them all.

    Args:
        work: What a worker does; it is pickled.
        count: How many workers.
        shared: The socket, which the caller closes.
        seconds: How long the requests in flight may take to end. Workers that go on much longer are killed.

    Raises:
        VecrecError: why a worker cannot start: its own error, with its type.
    """
    workers: dict[int, _Worker] = {}
    try:
        for number in range(count):
            workers[number] = _start(work, number, shared)
        while True:
            connection.wait([each.process.sentinel for each in workers.values()])
            for number, worker in workers.items():
                if not worker.process.is_alive():
                    others = [each for each in workers.values() if each is not worker and each.process.is_alive()]
                    _judge(number, worker, others)
                    workers[number] = _start(work, number, shared)
    finally:
        _end([each.process for each in workers.values()], seconds + _CLOSING_SECONDS)


@dataclass
class _Worker:
    process: SpawnProcess
    said: connection.Connection
    """Gives ``None`` when the worker serves, and the error that has ended it."""
    serves: bool = False
    error: VecrecError | None = None

    def listen(self) -> _Worker:
        """Take in what the worker has said."""
        try:
            while self.said.poll():
                self.error = self.said.recv()
                self.serves = self.serves or self.error is None
        except EOFError:
            pass  # it has ended
        return self


def _start(work: Work, number: int, shared: socket.socket) -> _Worker:
    spawn = multiprocessing.get_context("spawn")
    said, says = spawn.Pipe(duplex=False)
    name = f"vecrec-worker-{number}"
    process = spawn.Process(target=_worker, args=(work, number, shared, says), name=name, daemon=True)
    process.start()
    says.close()
    _log.info("worker %d is process %d", number, process.pid)
    return _Worker(process, said)


def _judge(number: int, worker: _Worker, others: list[_Worker]) -> None:
    """Log the end of a worker that may be started again, or raise why it must not."""
    worker.listen().said.close()
    ended = f"worker {number} ended with status {worker.process.exitcode}"
    if worker.serves:
        _log.warning("%s and is started again", ended)
    elif any(each.listen().serves for each in others):
        _log.warning("%s before it served, and is tried again: %s", ended, worker.error)
        time.sleep(_PAUSE_SECONDS)
    else:
        raise worker.error or VecrecError(f"{ended} before it served", "the lines above say why")


def _end(processes: list[SpawnProcess], seconds: float) -> None:
    until = time.monotonic() + seconds
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            _log.warning("process %d has not ended in time and is killed", process.pid)
            process.kill()
            process.join()


def _worker(work: Work, number: int, shared: socket.socket, says: connection.Connection) -> None:
    """What a worker's process runs."""
    threading.Thread(target=_end_with_parent, name="vecrec-parent", daemon=True).start()
    try:
        work(number, shared, lambda: says.send(None))
    except VecrecError as error:
        says.send(error)
        sys.exit(1)
    except KeyboardInterrupt:  # Ctrl-C reaches the whole group; the parent reports it
        sys.exit(128 + signal.SIGINT)


def _end_with_parent() -> None:
    """Without the parent, nothing would end this process, and it would keep the port."""
    if parent := multiprocessing.parent_process():
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
