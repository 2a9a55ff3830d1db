"""Finds the servers' programs, and fetches those that this machine lacks."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.base import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MILVUS_VERSION = "2.3.5"
_MILVUS_SHA256 = "69515a0630ce29fd10e101fa442afea8ca1387b93a456cd9bd41fdf3deb93d04"

_POLICY = Path("/usr/sbin/policy-rc.d")

# Debian keeps servers in places that only root's PATH, or nobody's, has.
_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/usr/libexec")


def cache_directory() -> Path:
    """Give the directory that keeps what was fetched, between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(home) / "vecrec-tests"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time, of all that share the cache, do the thing called `name`."""
    with (cache_directory() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find(program: str, folders: Sequence[str] = ()) -> Path | None:
    """Look for a program on the PATH, in Debian's places for servers, and in `folders`."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS, *folders])
    found = shutil.which(program, path=path)
    return None if found is None else Path(found)


def require(program: str, packages: Sequence[str], folders: Sequence[str] = ()) -> Path:
    """Find a program; where it is missing, install the Debian packages that carry it.

    Raises:
        ServerError: It is missing and could not be installed.
    """
    found = find(program, folders)
    if found is None:
        with locked("apt"):
            # Another process may have installed it while this one waited.
            if find(program, folders) is None:
                _apt_install(program, packages)
        found = find(program, folders)
    if found is None:
        raise ServerError(f"{program} is still missing after installing {' '.join(packages)}")
    return found


def _apt_install(program: str, packages: Sequence[str]) -> None:
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
    if os.geteuid():
        command = ["sudo", "-n", *command]
    try:
        _checked([*command, "update"])
        with _no_service_starts():
            _checked([*command, "install", "-y", "--no-install-recommends", *packages])
    except (OSError, ServerError) as error:
        raise ServerError(
            f"{program} isn't installed, and installing it failed. Install {' '.join(packages)} "
            f"(or what carries {program} on this system), or name a running server in the "
            f"environment (VECREC_TEST_...). {error}"
        ) from error


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    # Debian's packages start their service when they are installed, unless this file says no.
    if _POLICY.exists() or os.geteuid():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


@functools.cache
def milvus_home() -> Path:
    """Give the directory of the Milvus server's program, libraries and settings, fetched on first use."""
    home = cache_directory() / f"milvus-{MILVUS_VERSION}"
    if not home.exists():
        with locked("milvus"):
            if not home.exists():
                _fetch_milvus(home)
    return home


def _fetch_milvus(home: Path) -> None:
    # All in a directory beside the final one, which a rename then puts in place whole or not at all.
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        folder = Path(scratch)
        wheel = _download_milvus(folder)
        unpacked = folder / "home"
        unpacked.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.startswith("milvus/data/"):
                    _unpack(archive, member, unpacked)
        unpacked.rename(home)


def _download_milvus(folder: Path) -> Path:
    requirement = folder / "requirements.txt"
    requirement.write_text(f"milvus=={MILVUS_VERSION} --hash=sha256:{_MILVUS_SHA256}\n")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet"]
    pip = [sys.executable, "-m", "pip", "download"]
    _checked([*pip, *options, "--dest", str(folder), "--requirement", str(requirement)])
    return next(folder.glob("milvus-*.whl"))


def _unpack(archive: zipfile.ZipFile, member: str, home: Path) -> None:
    target = home / Path(member).name
    with archive.open(member) as packed:
        if target.suffix != ".lzma":
            target.write_bytes(packed.read())
            return
        target = target.with_suffix("")
        with lzma.open(packed) as plain, target.open("wb") as file:
            shutil.copyfileobj(plain, file)
    target.chmod(0o755)


def _checked(command: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        output = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ServerError(f"{' '.join(command)} ended with status {done.returncode}:\n{output}")
