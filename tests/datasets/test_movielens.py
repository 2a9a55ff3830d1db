"""MovieLens in each of its formats, from a directory, the cache, the web and the wheel."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import movies
from tests.datasets.web import Web, serving
from vecrec.data import Schema
from vecrec.datasets import download, movielens
from vecrec.datasets.movielens import meanings
from vecrec.errors import DownloadError, InvalidDataError
from vecrec.records import Record
from vecrec.types import Event, Item, User

NOWHERE = "http://127.0.0.1:9/"
CAFE: Record = {"title": "The Invented Café", "year": 1995}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.001)


def test_the_format_of_1m(tmp_path: Path) -> None:
    data = movielens.load(movies.write(tmp_path, movies.ONE_M))
    assert list(data.items()) == [
        Item(10, CAFE | {"genres": ["Comedy", "Children's"]}),
        Item(20, {"title": "A::B", "genres": ["Drama"], "year": 1950}),
        Item(30, {"title": "No Year", "genres": []}),
        Item(40, {"title": "L'Nobody", "genres": ["War"], "year": 2001}),
    ]
    assert [user.features["occupation_name"] for user in data.users()] == ["K-12 student", "self-employed", "other"]
    assert data.user(1) == User(
        2, {"gender": "M", "age": 56, "age_group": "56 and over", "occupation": 16, "occupation_name": "self-employed"}
    )
    assert next(data.events()) == Event(1, 10, 978300760.0, 5.0)
    assert [event.item_id for event in data.events()] == [10, 20, 40, 10]
    assert data.schema == movielens.schema()
    assert data.name == "MovieLens in the format of 1M"
    assert str(tmp_path) in data.source
    assert "not as published" in data.source


@pytest.mark.parametrize("files", [movies.HUNDRED_K, movies.ATOMIC])
def test_the_formats_of_100k_say_the_same(tmp_path: Path, files: movies.Files) -> None:
    data = movielens.load(movies.write(tmp_path, files))
    assert data.item(0) == Item(10, CAFE | {"genres": ["Comedy", "Drama"]})
    assert data.item(1).features["genres"] == []
    assert "year" not in data.item(1).features
    assert list(data.users()) == [
        User(1, {"gender": "F", "age": 1, "age_group": "under 18", "occupation": 10, "occupation_name": "student"}),
        User(2, {"gender": "M", "age": 25, "age_group": "25-34", "occupation": 0, "occupation_name": "librarian"}),
    ]
    assert list(data.events()) == [Event(1, 10, 881250949.0, 5.0), Event(2, 20, 891717742.0, 3.0)]
    assert data.schema == movielens.schema()
    assert data.source == str(tmp_path)


def test_the_format_of_latest_small(tmp_path: Path) -> None:
    data = movielens.load(movies.write(tmp_path, movies.LATEST))
    assert list(data.items()) == [
        Item(10, CAFE | {"genres": ["Comedy", "IMAX"]}),
        Item(20, {"title": 'Two "quoted" lines (2006\u20132007)', "genres": []}),
    ]
    assert list(data.users()) == [User(1), User(2)]
    assert list(data.events()) == [Event(1, 10, 964982703.0, 4.5), Event(2, 20, 964981247.0, 0.5)]
    assert data.schema == Schema(meanings.ITEM_FEATURES)


def test_no_zip_code_is_kept(tmp_path: Path) -> None:
    for at, files in enumerate((movies.ONE_M, movies.HUNDRED_K, movies.ATOMIC)):
        data = movielens.load(movies.write(tmp_path / str(at), files))
        assert not any("zip" in name for user in data.users() for name in user.features)


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Matrix, The (1999)", "The Matrix", 1999),
        ("Postino, Il (The Postman) (1994)", "Il Postino (The Postman)", 1994),
        ("Américaine, L' (1990)", "L'Américaine", 1990),
        ("Kid in a Court, A (1995)", "A Kid in a Court", 1995),
        ("Slingshot, The (Odd ) (1993)", "The Slingshot (Odd )", 1993),
        ("Sky, the Limit (1993)", "Sky, the Limit", 1993),
        ("Wonderful, Horrible Life, The (1993)", "The Wonderful, Horrible Life", 1993),
        ("Dash&#8212;Dot &#1; & Co (1968)", "Dash\u2014Dot &#1; & Co", 1968),
        ("2001: A Journey (1968)", "2001: A Journey", 1968),
        ("Twice (1995) (1996)", "Twice (1995)", 1996),
        ("Far Away (3001)", "Far Away (3001)", None),
        ("Series (1999\u20132000)", "Series (1999\u20132000)", None),
        ("(1995)", "(1995)", None),
        ("  no year  ", "no year", None),
        ("", "", None),
    ],
)
def test_titles(text: str, title: str, year: int | None) -> None:
    assert meanings.split_title(text) == (title, year)


def test_ages_and_occupations_keep_their_meaning() -> None:
    assert [movielens.age_bracket(age) for age in (0, 17, 18, 24, 25, 49, 50, 55, 56, 120)] == [
        1, 1, 18, 18, 25, 45, 50, 50, 56, 56,
    ]  # fmt: skip
    assert (len(movielens.OCCUPATIONS), movielens.OCCUPATIONS[20], movielens.AGES[56]) == (21, "writer", "56 and over")
    assert meanings.occupation_code("student", 18) == 4
    for bad in (-1, 151, 3.5, True, None, "20"):
        with pytest.raises(InvalidDataError, match="age"):
            movielens.age_bracket(bad)


DAMAGE: list[Any] = [
    (movies.ONE_M, "ratings.dat", b"1::20::3::978300761", b"1::20::3", r"ratings\.dat, line 2: .*1,20,3"),
    (movies.ONE_M, "ratings.dat", b"2::40::1::978300700\n", b"2::40", r"ratings\.dat, line 4"),
    (movies.ONE_M, "ratings.dat", b"1::10::5::978300760", b"one::10::5::978300760", r"ratings\.dat, line 1"),
    (movies.ONE_M, "ratings.dat", b"2::10::4", b"2::::4", r"ratings\.dat, line 3"),
    (movies.ONE_M, "ratings.dat", b"2::10::4", b"2::10::9", r"ratings\.dat, line 3: rating 9"),
    (movies.ONE_M, "ratings.dat", b"2::10::4", b"2::10::nan", r"ratings\.dat, line 3: rating nan"),
    (movies.ONE_M, "ratings.dat", b"978300762", b"-5", r"ratings\.dat, line 3: .*time -5"),
    (movies.ONE_M, "ratings.dat", b"2::10::4", b"2::11::4", r"line 3: item_id 11 is not in movies\.dat"),
    (movies.ONE_M, "ratings.dat", b"2::10::4", b"7::10::4", r"line 3: user_id 7 is not in users\.dat"),
    (movies.ONE_M, "ratings.dat", movies.ONE_M["ratings.dat"], b"", r"ratings\.dat has no ratings"),
    (movies.ONE_M, "movies.dat", b"30::No Year::", b"30", r"movies\.dat, line 3: '30' has 1 fields"),
    (movies.ONE_M, "movies.dat", b"30::", b"x::", r"movies\.dat, line 3: the movie id is 'x'"),
    (movies.ONE_M, "movies.dat", b"30::", b"10::", r"10 more than once"),
    (movies.ONE_M, "users.dat", b"2::M::56", b"2::M::57", r"users\.dat, line 2: .*'age' of user 2 is 57"),
    (movies.ONE_M, "users.dat", b"2::M::56::16", b"2::M::56::21", r"users\.dat, line 2: .*'occupation'"),
    (movies.ONE_M, "users.dat", b"2::M::56", b"2::Q::56", r"users\.dat, line 2: .*'Q'"),
    (movies.HUNDRED_K, "u.user", b"librarian", b"magician", r"u\.user, line 2: occupation is 'magician'"),
    (movies.HUNDRED_K, "u.user", b"33", b"old", r"u\.user, line 2: age is 'old'"),
    (movies.LATEST, "ratings.csv", b"1,10,4.5", b"1,10", r"ratings\.csv, line 2"),
    (movies.LATEST, "ratings.csv", b"2,20,0.5", b"2,20,5.5", r"ratings\.csv, line 3: rating 5\.5"),
    (movies.LATEST, "movies.csv", b",Comedy|IMAX", b"", r"movies\.csv, row 2.*2 fields"),
    (movies.LATEST, "movies.csv", "é".encode(), b"\xe9", r"movies\.csv cannot be read"),
]


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_files_are_refused_with_the_line(tmp_path: Path, case: Any) -> None:
    files, name, old, new, said = case
    assert old in files[name]
    movies.write(tmp_path, files | {name: files[name].replace(old, new)})
    with pytest.raises(InvalidDataError, match=said):
        movielens.load(tmp_path)


def test_a_directory_without_movielens_says_what_it_has_and_needs(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(InvalidDataError, match=r"other\.txt.*ratings\.dat, movies\.dat, users\.dat.*u\.data"):
        movielens.load(tmp_path)
    for bad in ("2m", str(tmp_path / "nowhere"), tmp_path / "other.txt"):
        with pytest.raises(InvalidDataError, match=r'"1m", "100k", "latest-small"'):
            movielens.load(bad)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """GroupLens, with archives of invented movies and their checksums."""
    files = {
        "ml-1m.zip": movies.archive("ml-1m", movies.ONE_M | {"extra.txt": b"not taken"}),
        "ml-100k.zip": movies.archive("ml-100k", movies.HUNDRED_K),
        "ml-latest-small.zip": movies.archive("ml-latest-small", movies.LATEST),
    }
    known = {
        name: dataclasses.replace(
            chosen,
            md5=chosen.md5 and hashlib.md5(files[f"{chosen.folder}.zip"]).hexdigest(),
            n_ratings=chosen.n_ratings and {"1m": 4, "100k": 2}[name],
        )
        for name, chosen in movielens.SETS.items()
    }
    monkeypatch.setattr(movielens, "SETS", known)
    with serving(Web(files)) as running:
        yield running


@pytest.mark.parametrize("name", ["1m", "100k", "latest-small"])
def test_a_set_is_fetched_once_and_then_read_from_the_cache(web: Web, tmp_path: Path, name: str) -> None:
    steps: list[Any] = []
    data = movielens.load(name, cache=tmp_path, host=web.url, progress=steps.append)
    again = movielens.load(name, cache=tmp_path, host=NOWHERE, download=False)
    assert data.digest == again.digest
    assert data.name == again.name == movielens.SETS[name].title
    assert len(web.asked) == 1
    assert steps[-1].done == steps[-1].total > 0
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")}
    assert kept == set(movielens.SETS[name].files)


def test_the_cache_is_where_the_environment_says(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("VECREC_CACHE", raising=False)
    movielens.load("1m", host=web.url)
    assert (tmp_path / "xdg/vecrec/movielens/ml-1m/ratings.dat").exists()
    monkeypatch.setenv("VECREC_CACHE", str(tmp_path / "own"))
    movielens.load("1m", host=web.url)
    assert (tmp_path / "own/movielens/ml-1m/ratings.dat").exists()
    monkeypatch.delenv("VECREC_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    movielens.load("1m", host=web.url)
    assert (tmp_path / "home/.cache/vecrec/movielens/ml-1m/ratings.dat").exists()


def test_loads_at_once_fetch_once(web: Web, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: movielens.load("1m", cache=tmp_path, host=web.url).digest, range(6)))
    assert len(set(found)) == 1
    assert len(web.asked) == 1


def test_another_archive_than_expected_is_refused_and_nothing_is_kept(web: Web, tmp_path: Path) -> None:
    web.files["ml-1m.zip"] = movies.archive("ml-1m", movies.ONE_M | {"README": b"other"})
    with pytest.raises(DownloadError, match="checksum"):
        movielens.load("1m", cache=tmp_path, host=web.url)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]


@pytest.mark.parametrize("body", [b"no zip at all", movies.archive("elsewhere", movies.LATEST)])
def test_a_damaged_archive_is_refused_and_not_kept(web: Web, tmp_path: Path, body: bytes) -> None:
    whole = web.files["ml-latest-small.zip"]
    web.files["ml-latest-small.zip"] = body
    with pytest.raises(DownloadError, match="damaged"):
        movielens.load("latest-small", cache=tmp_path, host=web.url)
    web.files["ml-latest-small.zip"] = whole
    assert movielens.load("latest-small", cache=tmp_path, host=web.url).n_events == 2


def test_a_cut_cache_is_noticed(web: Web, tmp_path: Path) -> None:
    movielens.load("1m", cache=tmp_path, host=web.url)
    path = tmp_path / "movielens/ml-1m/ratings.dat"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(InvalidDataError, match="2 ratings where MovieLens 1M has 4"):
        movielens.load("1m", cache=tmp_path, host=web.url)


def test_without_a_network_the_cures_are_named(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"load\('ml-1m'\).*files\.grouplens\.org.*load\(\"100k\"\)"):
        movielens.load("1m", cache=tmp_path, host=NOWHERE)
    with pytest.raises(DownloadError, match="download=False"):
        movielens.load("1m", cache=tmp_path, download=False)


def test_a_cache_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DownloadError, match="cache="):
        movielens.load("1m", cache=tmp_path / "file", host=NOWHERE)


def _pip(files: movies.Files | None, said: str = "") -> Any:
    """A stand-in for pip, which writes a wheel with the files or fails."""

    def run(command: tuple[str, ...], **options: Any) -> subprocess.CompletedProcess[str]:
        if files is None:
            return subprocess.CompletedProcess(command, 1, "", said)
        assert command[1:4] == ("-m", "pip", "download")
        assert "--no-deps" in command
        folder = Path(command[command.index("--dest") + 1])
        (folder / "recbole-1.2.1-py3-none-any.whl").write_bytes(
            movies.archive("recbole/dataset_example/ml-100k", files)
        )
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_100k_comes_out_of_the_wheel_where_grouplens_cannot_be_reached(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", _pip(movies.ATOMIC))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in movies.ATOMIC.items()}
    monkeypatch.setattr(movielens, "_WHEEL_FILES", sums)
    data = movielens.load("100k", cache=tmp_path, host=NOWHERE)
    assert data.name == "MovieLens 100K"
    assert data.item(0).features["title"] == "The Invented Café"
    assert {path.name for path in tmp_path.rglob("ml-*") if path.is_file()} == set(movies.ATOMIC)


def test_another_wheel_than_expected_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", _pip(movies.ATOMIC))
    with pytest.raises(DownloadError, match="another file than expected"):
        movielens.load("100k", cache=tmp_path, host=NOWHERE)
    assert not (tmp_path / "movielens/ml-100k").exists()


def test_both_reasons_are_given_when_both_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", _pip(None, "looking\nERROR: no such wheel"))
    with pytest.raises(DownloadError, match=r"no connection.*recbole.*ERROR: no such wheel.*load\('ml-100k'\)"):
        movielens.load("100k", cache=tmp_path, host=NOWHERE)
