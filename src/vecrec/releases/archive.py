"""The directory that holds a recommender's releases, its live pointer and its locks.

::

    artifacts/{name}/live.json            which release is live, and which was before it
                     building.json        which release is being built, if any
                     catalogue.lock       held while the catalogue changes
                     build.lock           held while a release is built
                     releases/{id}/       manifest.json, encoder/, golden.json, golden.npz, popularity.json
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.files import checksum, read_json, sync_directory, write_json
from vecrec.releases.manifest import Release

__all__ = ["Archive"]

# No double underscore: it separates a recommender's name from a release's id in the name of a collection.
_NAME = re.compile(r"(?!.{65})[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")


class Archive:
    """Releases on disk.

    Several processes may use one directory, on one machine or on a file system with working locks.
    """

    def __init__(self, artifacts: str | Path, name: str) -> None:
        """The archive of the recommender ``name`` below the directory ``artifacts``, made when it is first written.

        Raises:
            InvalidDataError: for a name that is not made of lower-case letters, digits and single underscores.
        """
        if not _NAME.match(str(name)):
            raise InvalidDataError(
                f"{name!r} is no name of a recommender: use at most 64 lower-case letters, digits and single "
                "underscores, beginning with a letter"
            )
        self.name = name
        self.path = Path(artifacts) / name
        self._catalogue_lock = FileLock(self.path / "catalogue.lock")

    # -- releases

    def new_id(self) -> str:
        """An id that sorts after all earlier ones and fits into the name of a collection."""
        return f"r{datetime.now(timezone.utc):%Y%m%d%H%M%S%f}{secrets.token_hex(2)}"

    def directory(self, release_id: str) -> Path:
        """Where a release lies."""
        return self.path / "releases" / release_id

    def seal(self, release: Release) -> Release:
        """Write the manifest of a release whose files are all there: from now on it can be loaded."""
        directory = self.directory(release.id)
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        sealed = replace(release, checksums={path.relative_to(directory).as_posix(): checksum(path) for path in files})
        write_json(directory / "manifest.json", sealed.to_json())
        sync_directory(directory.parent)
        return sealed

    def read(self, release_id: str) -> Release:
        """The manifest of a release, after its files were found to be what they were.

        Raises:
            ReleaseError: when there is none, or a file is missing or changed.
        """
        directory = self.directory(release_id)
        value = read_json(directory / "manifest.json")
        if value is None:
            raise ReleaseError(
                f"there is no release {release_id!r} in {self.path}: there are {[r.id for r in self.releases()]}"
            )
        release = Release.from_json(value)
        for name, expected in release.checksums.items():
            path = directory / name
            if not path.is_file() or checksum(path) != expected:
                raise ReleaseError(
                    f"{name} of the release {release_id!r} is missing or changed: roll back or fit again"
                )
        return release

    def releases(self) -> list[Release]:
        """The sealed releases, newest first."""
        manifests = sorted((self.path / "releases").glob("*/manifest.json"), reverse=True)
        return [Release.from_json(read_json(path)) for path in manifests]

    def remove(self, release_id: str) -> None:
        """Delete a release's directory, its manifest first, so that half a release is never taken for one."""
        directory = self.directory(release_id)
        (directory / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)

    def leftovers(self) -> list[str]:
        """The ids of directories without a manifest: builds that did not end."""
        found = (self.path / "releases").glob("*")
        return [path.name for path in found if path.is_dir() and not (path / "manifest.json").exists()]

    # -- the live pointer

    def live(self) -> tuple[str | None, str | None]:
        """The ids of the live release and of the one before it; ``None`` where there is none."""
        value = read_json(self.path / "live.json") or {}
        return value.get("live"), value.get("previous")

    def pointer_version(self) -> tuple[int, int] | None:
        """Something that differs after each switch, at the cost of one look at the file."""
        try:
            stat = (self.path / "live.json").stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def switch(self, release_id: str) -> None:
        """Make a release the live one, with one write."""
        live, previous = self.live()
        write_json(self.path / "live.json", {"live": release_id, "previous": previous if live == release_id else live})

    # -- who is changing what

    def building(self) -> str | None:
        """The id of the release that is being built, or was when its process died."""
        value = read_json(self.path / "building.json") or {}
        found: str | None = value.get("building")
        return found

    def set_building(self, release_id: str | None) -> None:
        """Say which release is being built."""
        if release_id is None:
            (self.path / "building.json").unlink(missing_ok=True)
        else:
            write_json(self.path / "building.json", {"building": release_id})

    @contextmanager
    def catalogue_lock(self, timeout: float = 60.0) -> Iterator[None]:
        """Held by whoever changes the catalogue, in any thread or process.

        Raises:
            ReleaseError: when somebody else has held it for ``timeout`` seconds.
        """
        with self._hold(self._catalogue_lock, timeout, "changing the catalogue"):
            yield

    @contextmanager
    def build_lock(self) -> Iterator[None]:
        """Held by the one process that builds a release.

        Raises:
            ReleaseError: when somebody else is building.
        """
        with self._hold(FileLock(self.path / "build.lock"), 0.0, "building a release"):
            yield

    @contextmanager
    def _hold(self, lock: FileLock, timeout: float, work: str) -> Iterator[None]:
        (self.path / "releases").mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=timeout)
        except Timeout as error:
            raise ReleaseError(
                f"somebody else is {work} of {self.name!r}: try again when they have finished"
            ) from error
        try:
            yield
        finally:
            lock.release()
