"""MovieLens, the movie ratings that GroupLens Research publishes.

The data is GroupLens's: for research, without commercial use, with acknowledgement (F. M. Harper and J. A. Konstan,
The MovieLens Datasets: History and Context, 2015), and not to be passed on. vecrec has none of it and reads it from
where it is published or where you have it.
"""

from __future__ import annotations

from pathlib import Path

from vecrec.data import Dataset
from vecrec.datasets.download import file_digest
from vecrec.datasets.movielens.formats import find_format, read_directory
from vecrec.datasets.movielens.meanings import AGES, OCCUPATIONS, age_bracket, schema
from vecrec.datasets.movielens.sources import HOST, SETS, MovieLens, cache_directory, provide
from vecrec.errors import InvalidDataError
from vecrec.progress import ProgressLike, showing

__all__ = ["AGES", "HOST", "OCCUPATIONS", "SETS", "MovieLens", "age_bracket", "load", "schema"]

_PUBLISHED_RATINGS = {"ratings.dat": "a89aa3591bc97d6d4e0c89459ff39362"}


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
        GroupLens; or a directory with
            the files of one of them, in GroupLens's formats or as RecBole's ``ml-100k`` atomic files. "100k" comes out
            of the wheel ``recbole==1.2.1`` where GroupLens cannot be reached.
        cache: Where what was fetched is kept; by default ``$VECREC_CACHE``, ``$XDG_CACHE_HOME/vecrec`` or
            ``~/.cache/vecrec``.
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.
        download: Whether to fetch what is not in the cache.
        host: The URL under which the archives are, for a mirror.

    Raises:
        DownloadError: when the set is not at hand and cannot be fetched; the message says what else can be done.
        InvalidDataError: for another name, or files that cannot be read, with the file and the line.
    """
    if isinstance(source, str) and source in SETS:
        with showing(progress) as show:
            directory = provide(source, cache_directory(cache), show, download=download, host=host)
        return _checked(read_directory(directory, SETS[source].title, _source(directory)), SETS[source])
    directory = Path(source)
    if not directory.is_dir():
        names = ", ".join(f'"{name}"' for name in SETS)
        raise InvalidDataError(f"{str(source)!r} is neither one of {names} nor a directory", "check the path")
    return _named(read_directory(directory, "MovieLens", _source(directory)), directory)


def _checked(data: Dataset, chosen: MovieLens) -> Dataset:
    if chosen.n_ratings not in (None, data.n_events):
        raise InvalidDataError(
            f"{data.source} has {data.n_events:,} ratings where {chosen.title} has {chosen.n_ratings:,}",
            "delete the directory, and it is fetched again",
        )
    return data


def _named(data: Dataset, directory: Path) -> Dataset:
    """Call a directory's data by the name of a published set only where the number of ratings is that set's."""
    for chosen in SETS.values():
        if chosen.n_ratings == data.n_events:
            data.name = chosen.title
            return data
    data.name = f"MovieLens in {find_format(directory).name}"
    return data


def _source(directory: Path) -> str:
    form = find_format(directory)
    published = _PUBLISHED_RATINGS.get(form.ratings)
    found = None if published is None else file_digest(directory / form.ratings, "md5")
    # A figure measured on other ratings than the published ones has to say so.
    return str(directory) if found == published else f"{directory}, its {form.ratings} not as published (md5 {found})"
