"""What every server shares: a private directory, a process bound to ours, a wait for its health."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

STOP_TIMEOUT = 10.0
"""Seconds that a server is given to end by itself before it is killed."""

# A server must not outlive us, however we end. The kernel's "parent death signal" survives exec but not a
# change of user, so this runs between fork and exec: as a program of its own, because Python code in the
# forked child of a threaded process (`preexec_fn`) can deadlock.
_LAUNCHER = """
import ctypes, os, signal, sys
parent, uid, gid, *command = sys.argv[1:]
library = ctypes.CDLL(None)
if int(uid):
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
if sys.platform == "linux":
    library.prctl(1, int(signal.SIGKILL))
if os.getppid() != int(parent):
    sys.exit("the parent ended before its server began")
os.execvp(command[0], command)
"""


class ServerError(RuntimeError):
    """A server could not be found, fetched or started; the message ends with the tail of its log."""


class Server(ABC):
    """A server that this process owns."""

    name: ClassVar[str]
    """Its name on the command line and in the pool."""

    variable: ClassVar[str]
    """The environment variable that names a server to be used instead of starting one."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it, credentials included."""

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers; again after `stop` or `kill`: same port, same data."""

    @abstractmethod
    def stop(self) -> None:
        """End it as an operator would, and wait for the end. Harmless when it isn't running."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, with no chance to write anything. Harmless when it isn't running."""

    @abstractmethod
    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""

    @abstractmethod
    def resume(self) -> None:
        """Let a paused server go on."""

    @abstractmethod
    def close(self) -> None:
        """Stop it and delete its data."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ProcessServer(Server):
    """A server that is one process. A subclass gives its command, its files and its question of health."""

    start_timeout: ClassVar[float] = 60.0
    """Seconds until a start counts as failed. Generous: CI machines are slow and shared."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self._claim: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self, directory: Path) -> None:
        """Choose ports and write the files of a first start into `directory`."""

    @abstractmethod
    def _command(self, directory: Path) -> Sequence[str]:
        """Give the command line that runs the server in the foreground."""

    @abstractmethod
    def _healthy(self) -> bool:
        """Tell whether the server answers; may raise OSError while it doesn't."""

    def _environment(self, directory: Path) -> Mapping[str, str]:
        """Give the environment variables of the server's process."""
        del directory
        return {**os.environ, "LC_ALL": "C.UTF-8"}

    def _owner(self) -> tuple[int, int]:
        """Give the user and group ids to run as; 0 means those of this process."""
        return 0, 0

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process is there, answering or not."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = 40) -> str:
        """Give the last lines that the server wrote."""
        log = None if self.directory is None else self.directory / "server.log"
        if log is None or not log.exists():
            return "(no log)"
        tail = log.read_text("utf-8", "replace").splitlines()[-lines:]
        return "\n".join(textwrap.shorten(line, 400) for line in tail) or "(empty log)"

    def start(self) -> None:
        if self.running:
            raise ServerError(f"{self.name} already runs as process {self.pid}; stop it first")
        if self.directory is None:
            self.directory = self._new_directory()
            self._prepare(self.directory)
        self._process = self._launch(self._command(self.directory), self.directory)
        self._wait_healthy()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        family = _family(self._process.pid) if self._process is not None else []
        self._end(signal.SIGKILL)
        # A worker of PostgreSQL would answer until it notices that its parent is gone.
        for pid in family[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _await_stop(family)

    def pause(self) -> None:
        family = self._signal(signal.SIGSTOP)
        _await_stop(family)  # a process that runs on another core answers for a moment more

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        if self._claim is not None:
            self._claim.close()
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None

    def _new_directory(self) -> Path:
        prefix = f"vecrec-{self.name}-"
        _sweep(prefix)
        directory = Path(tempfile.mkdtemp(prefix=prefix))
        self._claim = _claim(directory)
        uid, gid = self._owner()
        if uid:
            os.chown(directory, uid, gid)
        return directory

    def _launch(self, command: Sequence[str], directory: Path) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches us alone, and we stop the servers in order.
        uid, gid = self._owner()
        identity = [str(os.getpid()), str(uid), str(gid)]
        with (directory / "server.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, *identity, *command],
                cwd=directory,
                env=self._environment(directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _run(self, command: Sequence[str], directory: Path) -> None:
        """Run a command of the first start to its end, as the server's user and with its log."""
        process = self._launch(command, directory)
        try:
            status = process.wait(self.start_timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if status:
            raise self._error(f"{command[0]} ended with status {status}")

    def _wait_healthy(self) -> None:
        deadline = time.monotonic() + self.start_timeout
        while not self._answers():
            if not self.running:
                raise self._error(f"{self.name} ended with status {self._running().returncode}")
            if time.monotonic() > deadline:
                error = self._error(f"{self.name} did not answer in {self.start_timeout:.0f} s")
                self.kill()
                raise error
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return self._healthy()
        except OSError:
            return False

    def _error(self, what: str) -> ServerError:
        return ServerError(f"{what}; its log ends with:\n{self.log_tail()}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError(f"{self.name} isn't running; start it first")
        return self._process

    def _signal(self, number: signal.Signals) -> list[int]:
        """Send a signal to the server and all its descendants; their ids."""
        # Not to the group of processes, which PostgreSQL's workers leave.
        family = _family(self._running().pid)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return family

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        family = _family(process.pid)
        process.send_signal(number)
        # Paused processes would keep SIGTERM for later.
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    family = [pid]
    for member in family:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                family += map(int, children.read_text().split())
    return family


def _await_stop(family: list[int]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT
    while not all(map(_is_stopped, family)) and time.monotonic() < deadline:
        time.sleep(0.001)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TtZ"
    except OSError:
        return True


def _claim(directory: Path) -> IO[str]:
    """Lock a directory until the file that is given back is closed, or this process ends.

    Raises:
        BlockingIOError: Another process, or another server of this one, holds it.
    """
    lock = (directory / "owner.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    return lock


def _sweep(prefix: str) -> None:
    """Delete the directories of processes that were killed before they could: Milvus leaves 270 MB each time."""
    for lock in Path(tempfile.gettempdir()).glob(f"{prefix}*/owner.lock"):
        with contextlib.suppress(OSError), _claim(lock.parent):
            shutil.rmtree(lock.parent, ignore_errors=True)
