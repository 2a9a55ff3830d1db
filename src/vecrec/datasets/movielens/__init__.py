"""MovieLens, the movie ratings that GroupLens Research publishes.

The data is GroupLens's: for research, without commercial use, with acknowledgement (F. M. Harper and J. A. Konstan,
The MovieLens Datasets: History and Context, 2015), and not to be passed on. vecrec has none of it and reads it from
where it is published or where you have it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vecrec.data import Dataset
from vecrec.datasets.download import fetch, file_digest, locked
from vecrec.datasets.movielens.formats import find_format, read_directory
from vecrec.datasets.movielens.meanings import AGES, OCCUPATIONS, age_bracket, schema
from vecrec.errors import DownloadError, InvalidDataError
from vecrec.progress import Progress, ProgressLike, Step, showing

__all__ = ["AGES", "HOST", "OCCUPATIONS", "SETS", "MovieLens", "age_bracket", "load", "schema"]

_PUBLISHED_RATINGS = {"ratings.dat": "a89aa3591bc97d6d4e0c89459ff39362"}

HOST = "https://files.grouplens.org/datasets/movielens/"
"""Where GroupLens publishes MovieLens."""

_WHEEL = "recbole==1.2.1"
_WHEEL_FOLDER = "recbole/dataset_example/ml-100k/"
_WHEEL_FILES = MappingProxyType(
    {
        "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
        "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
        "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
    }
)


@dataclass(frozen=True, slots=True)
class MovieLens:
    """One of the published sets."""

    title: str
    """What it is called."""
    folder: str
    """The directory in its archive, and the archive's name without ``.zip``."""
    files: tuple[str, ...]
    """What is taken out of the archive."""
    md5: str | None
    """The archive's checksum; ``None`` for one that GroupLens changes from time to time."""
    n_ratings: int | None
    """How many ratings it has; ``None`` where that changes."""


SETS: Mapping[str, MovieLens] = MappingProxyType(
    {
        "1m": MovieLens(
            "MovieLens 1M",
            "ml-1m",
            ("README", "ratings.dat", "movies.dat", "users.dat"),
            "c4d9eecfca2ab87c1945afe126590906",
            1_000_209,
        ),
        "100k": MovieLens(
            "MovieLens 100K",
            "ml-100k",
            ("README", "u.data", "u.item", "u.user"),
            "0e33842e24a9c977be4e0107933c0723",
            100_000,
        ),
        "latest-small": MovieLens(
            "MovieLens latest-small", "ml-latest-small", ("README.txt", "ratings.csv", "movies.csv"), None, None
        ),
    }
)
"""The sets by the names that `vecrec.datasets.movielens.load` takes."""


def load(
    source: str | Path = "1m",
    *,
    cache: str | Path | None = None,
    progress: ProgressLike = None,
    download: bool = True,
    host: str = HOST,
) -> Dataset:
    """MovieLens as a data set.

    Movies have ``title`` (text, its article in front: "The Matrix"), ``genres`` (a list, filterable) and ``year`` (a
    whole number, filterable, missing where the title has none). Users have ``gender`` ("F" or "M"), ``age`` (a key of
    `AGES`) and ``occupation`` (a key of `OCCUPATIONS`), the same for 1M and 100K; their profiles also have
    ``age_group`` and ``occupation_name`` to be read by people, and no zip code. "latest-small" knows nothing about its
    users. Ids are ``int``, ratings 0.5 to 5, times in seconds.

    Args:
        source: ``"1m"``, ``"100k"`` or ``"latest-small"``, which come from the cache or, the first time, from
        GroupLens; or a directory with the files of one of them, in GroupLens's formats or as RecBole's ``ml-100k``
            atomic files. "100k" comes out of the wheel ``recbole==1.2.1`` where GroupLens cannot be reached.
        cache: The directory that keeps what was fetched; by default ``$VECREC_CACHE``, ``$XDG_CACHE_HOME/vecrec`` or
            ``~/.cache/vecrec``.
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.
        download: Whether to fetch what is not in the cache.
        host: The URL under which the archives are, for a mirror.

    Raises:
        DownloadError: when the set is not in the cache and cannot be fetched; the message says what else can be done.
        InvalidDataError: for an unknown name, or files that cannot be read, with the file and the line.
    """
    if isinstance(source, str) and source in SETS:
        with showing(progress) as show:
            directory = _provide(source, _cache_directory(cache), show, download=download, host=host)
        data, chosen = read_directory(directory, SETS[source].title, _source(directory)), SETS[source]
        if chosen.n_ratings not in (None, data.n_events):
            raise InvalidDataError(
                f"{data.source} has {data.n_events:,} ratings where {chosen.title} has {chosen.n_ratings:,}",
                "delete the directory, and it is fetched again",
            )
        return data
    directory = Path(source)
    if not directory.is_dir():
        names = ", ".join(f'"{name}"' for name in SETS)
        raise InvalidDataError(f"{str(source)!r} is neither one of {names} nor a directory", "check the path")
    data = read_directory(directory, f"MovieLens in {find_format(directory).name}", _source(directory))
    # A directory has the name of a published set only where the number of ratings is that of the set.
    data.name = next((each.title for each in SETS.values() if each.n_ratings == data.n_events), data.name)
    return data


def _source(directory: Path) -> str:
    form = find_format(directory)
    published = _PUBLISHED_RATINGS.get(form.ratings)
    found = None if published is None else file_digest(directory / form.ratings, "md5")
    # Figures measured on other ratings than the published ones must say so.
    return str(directory) if found == published else f"{directory}, its {form.ratings} not as published (md5 {found})"


def _cache_directory(cache: str | Path | None) -> Path:
    """The given cache, or else ``$VECREC_CACHE``, ``$XDG_CACHE_HOME/vecrec`` or ``~/.cache/vecrec``."""
    if cache is not None:
        return Path(cache)
    if chosen := os.environ.get("VECREC_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vecrec"


def _provide(name: str, cache: Path, show: Progress, *, download: bool, host: str) -> Path:
    """The directory of a set in the cache, fetched if it is not there.

    Raises:
        DownloadError: when it is not there and cannot be fetched.
    """
    chosen = SETS[name]
    directory = cache / "movielens" / chosen.folder
    if directory.is_dir():
        return directory
    if not download:
        raise DownloadError(f"{chosen.title} is not in the cache {str(cache)!r}, and download=False: {_cures(name)}")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with locked(directory):
            if not directory.is_dir():
                _fill(name, directory, show, host)
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(f"the cache {str(cache)!r} cannot be used: {error}; name another with cache=...") from error
    return directory


def _fill(name: str, directory: Path, show: Progress, host: str) -> None:
    try:
        _from_grouplens(SETS[name], directory, show, host)
    except DownloadError as error:
        if name != "100k":
            raise DownloadError(f"{error}. {_cures(name)}") from error
        try:
            _from_wheel(directory, show)
        except DownloadError as other:
            raise DownloadError(f"{error}. {other}. {_cures(name)}") from other


def _cures(name: str) -> str:
    cure = f"give the directory of a copy, load({'ml-' + name!r}), or allow the download from {HOST}"
    return cure if name == "100k" else f'{cure}; load("100k") also comes from elsewhere'


def _from_grouplens(chosen: MovieLens, directory: Path, show: Progress, host: str) -> None:
    archive = directory.with_name(f"{chosen.folder}.zip")
    fetch(f"{host.rstrip('/')}/{archive.name}", archive, md5=chosen.md5, show=show)
    _unpack(archive, f"{chosen.folder}/", chosen.files, directory)
    archive.unlink()


def _from_wheel(directory: Path, show: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        show(Step("download", 0, None, _WHEEL))
        wheel = _download_wheel(Path(scratch))
        show(Step("download", wheel.stat().st_size, wheel.stat().st_size, _WHEEL))
        _unpack(wheel, _WHEEL_FOLDER, tuple(_WHEEL_FILES), directory, _check_wheel_files)


def _download_wheel(scratch: Path) -> Path:
    command = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--dest")
    try:
        # S603: nothing in the command comes from outside.
        done = subprocess.run(  # noqa: S603
            (*command, str(scratch), _WHEEL), capture_output=True, text=True, timeout=300, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DownloadError(f"the wheel {_WHEEL} cannot be fetched: {error}") from error
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DownloadError(f"the wheel {_WHEEL} cannot be fetched: {said[-1] if said else 'pip said nothing'}")
    return wheels[0]


def _check_wheel_files(folder: Path) -> None:
    for name, expected in _WHEEL_FILES.items():
        if file_digest(folder / name, "sha256") != expected:
            raise DownloadError(f"{name} in the wheel {_WHEEL} is another file than expected", "it was not kept")


def _unpack(
    archive: Path,
    prefix: str,
    names: tuple[str, ...],
    directory: Path,
    check: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Take the named files out of the archive; the directory appears once all of them are there."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        folder = Path(scratch) / "files"
        folder.mkdir()
        try:
            with zipfile.ZipFile(archive) as opened:
                for name in names:
                    # By name, so that nothing in the archive decides where a file goes; reading checks the CRC.
                    (folder / name).write_bytes(opened.read(prefix + name))
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            archive.unlink()
            raise DownloadError(f"{archive.name} is damaged: {error}; it was not kept, try again") from error
        check(folder)
        folder.replace(directory)
