"""The directory that holds a recommender's releases, its live pointer and its locks.

::

    artifacts/{name}/live.json            which release is live, and which was before it
                     catalogue.json       the id that its metadata store has too, and the key of the hashes in it
                     building.json        which release is being built, if any
                     catalogue.lock       held while the catalogue changes; catalogue.lock.json says by which process
                     build.lock           held while a release is trained and built
                     releases/{id}/       manifest.json, encoder/, golden.json, golden.npz, popularity.json,
                                           neighbours*, and reranker/ where it has a second stage
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vecrec._internal.files import (
    checksum,
    read_json,
    reading,
    sweep_temporary,
    sync_directory,
    sync_file,
    write_json,
    writing,
)
from vecrec._internal.validation import path_of
from vecrec.errors import InvalidDataError, ReleaseError, StoreTimeoutError, VecrecError, shown
from vecrec.releases.manifest import Release

__all__ = ["Archive", "Identity"]

# No double underscore: it separates a recommender's name from a release's id in the name of a collection.
_NAME = re.compile(r"(?!.{65})[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
_ID = re.compile(r"r[0-9]{20}[0-9a-f]{4}\Z")
_HEX = re.compile(r"[0-9a-f]{32}([0-9a-f]{32})?\Z")
_PATIENCE = 60.0
_POLL = 0.02
_MOMENT = 1.0  # longer than `unfinished` holds the lock
_SILENCE = 3.0
"""Seconds of waiting for the catalogue after which the log names its holder."""

_log = logging.getLogger("vecrec")


@dataclass(frozen=True, slots=True)
class Identity:
    """What ties artifacts and metadata store together."""

    id: str
    """32 hexadecimal digits that both have."""
    key: str = field(repr=False)
    """64 hexadecimal digits that only the artifacts have: the key of the hashes of forgotten users."""


class Archive:
    """Releases on disk.

    Several processes may use one directory, on one machine or on a file system with working locks.
    """

    def __init__(self, artifacts: Any, name: Any) -> None:
        """The archive of the recommender ``name`` below the directory ``artifacts``, made when it is first written.

        Raises:
            InvalidDataError: for a name that is not made of lower-case letters, digits and single underscores, or
                artifacts that are not a path.
        """
        if not isinstance(name, str) or not _NAME.match(name):
            raise InvalidDataError(
                f"{shown(name)} is not a valid name of a recommender",
                "use at most 64 lower-case letters, digits and single underscores, beginning with a letter",
            )
        self.name = name
        # Absolute, so that messages say where it is and a change of directory does not move it.
        self.path = path_of(artifacts, "artifacts").absolute() / name

    # -- releases

    def new_id(self) -> str:
        """An id that sorts after all earlier ones and fits into the name of a collection."""
        return f"r{datetime.now(timezone.utc):%Y%m%d%H%M%S%f}{os.urandom(2).hex()}"

    def collection(self, release_id: str) -> str:
        """The name of the vector store's collection of a release."""
        return f"{self.name}__{release_id}"

    def directory(self, release_id: str) -> Path:
        """Where a release lies."""
        return self.path / "releases" / release_id

    def seal(self, release: Release) -> Release:
        """Write the manifest of a release whose files are all there: from now on it can be loaded."""
        directory = self.directory(release.id)
        found = sorted(directory.rglob("*"))
        files = [path for path in found if path.is_file()]
        sealed = replace(release, checksums={path.relative_to(directory).as_posix(): checksum(path) for path in files})
        # Files of any writer: what the manifest promises survives a power cut.
        for path in files:
            sync_file(path)
        for path in (directory, *(path for path in found if path.is_dir())):
            sync_directory(path)
        write_json(directory / "manifest.json", sealed.to_json())
        sync_directory(directory.parent)
        return sealed

    def read(self, release_id: str) -> Release:
        """The manifest of a release, after its files were found to be what they were.

        Raises:
            ReleaseError: when there is none, or a file is missing or changed.
        """
        release, directory = self.manifest(release_id), self.directory(release_id)
        for name, expected in release.checksums.items():
            path = directory / name
            with reading(f"{path} cannot be read", "roll back or fit again", ReleaseError):
                held = checksum(path) if path.is_file() else None
            if held != expected:
                raise ReleaseError(
                    f"{name} of the release {release_id!r} is missing or changed", "roll back or fit again"
                )
        return release

    def manifest(self, release_id: str) -> Release:
        """The manifest of a release, whatever the state of its other files.

        Raises:
            ReleaseError: when there is none that can be read.
        """
        path = self.directory(release_id) / "manifest.json"
        value = _read(path, "roll back to another release or fit again")
        if value is None:
            raise ReleaseError(f"the release {release_id!r} is gone, {path} is not there", "roll back or fit again")
        release = Release.from_json(value)
        if release.id != release_id:
            raise ReleaseError(
                f"{path} is of the release {release.id!r}, not of {release_id!r}",
                "give the directory the name of its release, and name that in live.json",
            )
        return release

    def releases(self) -> list[Release]:
        """The live release, then the one before it; no others are kept."""
        return [self.manifest(release_id) for release_id in self.live() if release_id is not None]

    def strays(self) -> list[str]:
        """The ids of releases that are no longer kept, and of builds that did not end, sorted.

        Only what is certainly one of this recommender's own: a directory, not a link, with the name of a release, whose
        manifest, if there is one, is of that release. Where the live pointer is lost, no finished release is a stray,
        since any of them may serve.
        """
        kept = self.live()
        own = (path for path in (self.path / "releases").glob("r*") if path.name not in kept and self._is_own(path))
        return sorted(path.name for path in own if kept[0] is not None or not (path / "manifest.json").exists())

    def unfinished(self) -> list[str]:
        """The ids of builds that did not end, and of releases that a sweep could not remove; none during a build."""
        try:
            with self.build_lock():
                return self.strays()
        except ReleaseError:
            return []

    def _is_own(self, path: Path) -> bool:
        if not _ID.match(path.name) or path.is_symlink() or not path.is_dir():
            return False
        try:
            value = _read(path / "manifest.json", "")
        except ReleaseError:
            return False
        return value is None or (
            isinstance(value, dict) and (value.get("id"), value.get("name")) == (path.name, self.name)
        )

    def newest(self) -> str | None:
        """The id of the latest finished release, live or not; ``None`` where there is none."""
        return max(self._finished(), default=None)

    def _finished(self) -> list[str]:
        found = (path for path in (self.path / "releases").glob("r*") if self._is_own(path))
        return [path.name for path in found if (path / "manifest.json").exists()]

    def sweep_files(self) -> None:
        """Remove the temporary files that a crash has left. The caller holds the catalogue lock."""
        sweep_temporary(self.path)

    def remove(self, release_id: str) -> None:
        """Delete a release's directory, its manifest first, so that half a release is never taken for one."""
        directory = self.directory(release_id)
        (directory / "manifest.json").unlink(missing_ok=True)
        import shutil  # slow to import, and seldom needed

        shutil.rmtree(directory, ignore_errors=True)

    # -- the live pointer

    def live(self) -> tuple[str | None, str | None]:
        """The ids of the live release and of the one before it; ``None`` where there is none.

        Raises:
            ReleaseError: when the pointer is damaged.
        """
        path = self.path / "live.json"
        cure = 'write {"live": ID} with the name of a directory in releases/ into it, or delete it and fit again'
        value = _read(path, cure)
        if value is None:
            return None, None
        live, previous = (value.get("live"), value.get("previous")) if isinstance(value, dict) else (None, None)
        if not isinstance(live, str) or not isinstance(previous, (str, type(None))):
            raise ReleaseError(f"{path} is damaged", cure)
        return live, previous

    def switch(self, release_id: str) -> None:
        """Make a release the live one, with one write.

        Where the pointer was lost, the latest finished release counts as the one before it: it may still serve.
        """
        live, previous = self.live()
        if live is None:
            live = max((each for each in self._finished() if each != release_id), default=None)
        write_json(self.path / "live.json", {"live": release_id, "previous": previous if live == release_id else live})

    # -- which catalogue it belongs to

    def identity(self) -> Identity | None:
        """The catalogue that these artifacts belong to; ``None`` before the first release.

        Raises:
            ReleaseError: when its file is damaged.
        """
        path, cure = self.path / "catalogue.json", "restore it from a backup of the artifacts"
        value = _read(path, cure)
        if value is None:
            return None
        if not isinstance(value, dict) or not all(_HEX.match(str(value.get(name))) for name in ("id", "key")):
            raise ReleaseError(f"{path} is damaged", cure)
        return Identity(value["id"], value["key"])

    def identify(self, catalogue_id: str | None = None) -> Identity:
        """Make these artifacts those of a catalogue. The caller holds the catalogue lock.

        Args:
            catalogue_id: The id that the metadata store has; ``None`` keeps the own one, or makes one.
        """
        held = self.identity()
        made = Identity(
            catalogue_id or (held.id if held else os.urandom(16).hex()), held.key if held else os.urandom(32).hex()
        )
        if made != held:
            write_json(self.path / "catalogue.json", {"id": made.id, "key": made.key})
        return made

    # -- who is changing what

    def building(self) -> bool:
        """Whether a release is being built, or was when its process died."""
        return (self.path / "building.json").exists()

    def set_building(self, release_id: str | None) -> None:
        """Say which release is being built."""
        if release_id is None:
            (self.path / "building.json").unlink(missing_ok=True)
        else:
            write_json(self.path / "building.json", {"building": release_id})

    @contextmanager
    def catalogue_lock(self, timeout: float = _PATIENCE) -> Iterator[None]:
        """Held by the thread or process that changes the catalogue.

        Raises:
            StoreTimeoutError: when another one has held it for ``timeout`` seconds; it names the process.
        """
        note = self.path / "catalogue.lock.json"
        with self._hold("catalogue.lock", timeout, lambda: _late(note, self.name, timeout)):
            with contextlib.suppress(OSError):  # such as a full disk, which what follows will meet too
                note.write_text(json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "since": time.time()}))
            yield

    @contextmanager
    def build_lock(self) -> Iterator[None]:
        """Held by the one process that trains and builds a release.

        Raises:
            ReleaseError: when another process is building.
        """
        building = ReleaseError(
            f"another process or thread is building a release of {self.name!r}", "try again when it has finished"
        )
        with self._hold("build.lock", _MOMENT, lambda: building):
            yield

    @contextmanager
    def _hold(self, name: str, timeout: float, late: Callable[[], VecrecError]) -> Iterator[None]:
        from filelock import FileLock, Timeout  # a sixth of the time that importing vecrec may take

        lock = FileLock(self.path / name)
        try:
            (self.path / "releases").mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=min(timeout, _SILENCE), poll_interval=_POLL)
            except Timeout:
                if timeout <= _SILENCE:
                    raise
                _log.warning("still waiting: %s", late().problem)
                lock.acquire(timeout=timeout - _SILENCE, poll_interval=_POLL)
        except Timeout as error:
            raise late() from error
        except OSError as error:
            raise ReleaseError(f"{self.path} cannot be written to ({error})", "check the directory") from error
        try:
            # What is done under a lock writes here.
            with writing(self.path, ReleaseError):
                yield
        finally:
            lock.release()


def _late(note: Path, name: str, waited: float) -> StoreTimeoutError:
    """What to say of a lock that another process or thread keeps."""
    try:
        held = read_json(note)
        who = f"process {held['pid']} on {held['host']}{_state(held)}"
        since = f"for {max(0.0, time.time() - held['since']):.0f} s"
    except (OSError, ValueError, TypeError, LookupError):
        who, since = "another process or thread", f"for {waited:g} s or longer"
    return StoreTimeoutError(
        f"{who} is changing the catalogue of {name!r}, {since}", "try again when it has finished, or end that process"
    )


def _state(held: dict[str, Any]) -> str:
    """Whether the process of a lock is stopped, as far as this machine can tell."""
    if held["host"] != os.uname().nodename:
        return ""
    try:
        state = Path(f"/proc/{int(held['pid'])}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, LookupError):
        return ""
    return ", which is stopped," if state in "Tt" else ""


def _read(path: Path, cure: str) -> Any:
    with reading(f"{path} is damaged", cure, ReleaseError):
        return read_json(path)
