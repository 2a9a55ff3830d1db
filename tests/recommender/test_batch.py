"""A batch gives the same files by every engine, whatever ends on the way."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from tests.cli.conftest import write_catalogue
from tests.recommender import openers
from tests.servers import provision
from vecrec.cli import main
from vecrec.config import Settings
from vecrec.config.compose import compose
from vecrec.data import Dataset
from vecrec.data.reading import read_user_ids
from vecrec.encoders import ContentEncoder
from vecrec.errors import BatchError, InvalidDataError, MissingDependencyError, NotFittedError
from vecrec.recommender.batch import recommend_to_parquet

ROOT = Path(__file__).parents[2]
PARTS = [f"part-{number:05}.parquet" for number in range(6)]
LATE = 55
"""A user of the last of the six parts."""

# What the engines themselves do and use.
pytestmark = pytest.mark.filterwarnings(*(f"ignore::{kind}Warning" for kind in ("Deprecation", "Future", "Resource")))


def names(folder: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Give the settings of a published recommender whose stores several processes can open."""
    folder = tmp_path_factory.mktemp("films")
    log, items = write_catalogue(folder)
    made = Settings(name="films", artifacts=str(folder / "artifacts"), vector_store=str(folder / "films.vec"))
    with compose(made, ContentEncoder(dim=32)) as recommender:
        recommender.fit(Dataset(log, items=items))
    return made


@pytest.fixture(scope="module")
def expected(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Give the lists that one process writes, which are those of `recommend_many`."""
    directory = tmp_path_factory.mktemp("expected")
    with compose(settings) as recommender:
        recommend_to_parquet(recommender, directory, k=3, users_per_file=10)
        lists = recommender.recommend_many(range(60), 3)
    table = pq.read_table(directory)
    rows = list(zip(*(table[name].to_pylist() for name in ("user_id", "rank", "item_id", "served_by"))))
    assert rows == [(found.user_id, each.rank, each.item_id, found.served_by) for found in lists for each in found]
    assert len(rows) == 180
    return table


@pytest.fixture(scope="module")
def _paths() -> Iterator[None]:
    """The processes of Ray and Spark find the tests as this one does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        yield


@pytest.fixture(scope="module")
def ray(_paths: None) -> Iterator[None]:
    """Run Ray on two cores of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        # Ray Data hands out cores when it looks for more, which it does every ten seconds by default.
        patch.setenv("RAY_DATA_MIN_GAP_BETWEEN_AUTOSCALING_REQUESTS", "1")
        patch.setenv("RAY_worker_niceness", "0")  # its processes would wait for those of the other tests
        import ray

        options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:  # of a short path, for its sockets
            ray.init("local", num_cpus=2, object_store_memory=100 << 20, _temp_dir=home, **options)
            yield
            ray.shutdown()


@pytest.fixture(scope="module")
def spark(_paths: None) -> Iterator[None]:
    """Run Spark on two cores of this machine."""
    java = provision.require("java", ["default-jre-headless"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PATH", os.pathsep.join([str(java.parent), os.environ["PATH"]]))
        from pyspark.sql import SparkSession

        master = SparkSession.builder.master("local[2]").config("spark.driver.memory", "1g")
        session = master.config("spark.ui.enabled", "false").getOrCreate()
        yield
        session.stop()


@pytest.fixture(params=["local", "ray", "spark"])
def engine(request: pytest.FixtureRequest) -> str:
    """Give the name of an engine that runs."""
    if request.param != "local":
        request.getfixturevalue(request.param)
    return str(request.param)


@pytest.mark.parametrize("name", ["ray", "spark"])
def test_frames_of_the_engines_are_read_by_piece(name: str, request: pytest.FixtureRequest) -> None:
    """A `Dataset` takes them as they are, with the columns that it needs."""
    request.getfixturevalue(name)
    rows: dict[str, Any] = {
        "user_id": [3, 1, 2, 1] * 9,
        "item_id": list("abcd" * 9),
        "time": range(36),
        "wide": ["x" * 99] * 36,
    }
    table = pa.table({column: list(values) for column, values in rows.items()})
    if name == "ray":
        from ray.data import from_arrow

        frame: Any = from_arrow([table[:20], table[20:]])
    else:
        from pyspark.sql import SparkSession

        frame = SparkSession.builder.getOrCreate().createDataFrame(table).repartition(3, "user_id")
    read = Dataset(frame)
    assert (read.n_events, read.unused_columns) == (36, ("wide",))
    assert read.digest == Dataset(table).digest


def test_a_killed_process_costs_its_own_part(
    engine: Any, settings: Settings, expected: pa.Table, tmp_path: Path
) -> None:
    """Ray starts another process; the others end the batch, and the next call makes what is missing."""
    opener = partial(openers.killed_once, settings, tmp_path / "killed", LATE)
    run = partial(recommend_to_parquet, opener, tmp_path / "out", k=3, users_per_file=10, engine=engine, processes=2)
    if engine == "ray":
        assert run().skipped == 0
    else:
        with pytest.raises(BatchError, match="call it again"):
            run()
        there = {*names(tmp_path / "out")} & {*PARTS}
        assert len(there) < 6
        assert run().skipped == len(there)
    assert (tmp_path / "killed").exists()
    assert names(tmp_path / "out") == ["_plan.json", *PARTS]
    assert pq.read_table(tmp_path / "out").equals(expected)


def test_an_error_of_another_process_is_the_error_that_it_was(engine: Any, settings: Settings, tmp_path: Path) -> None:
    """By its type, and with its cure."""
    opener = partial(openers.refuses, settings, os.getpid())
    with pytest.raises(NotFittedError) as caught:
        recommend_to_parquet(opener, tmp_path, k=3, users_per_file=30, engine=engine, processes=1 + (engine == "local"))
    assert (caught.value.problem, caught.value.cure) == ("nothing is here", "train first")


@pytest.mark.parametrize("engine", ["local", "spark"], indirect=True)
def test_by_command(engine: str, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Users of a file of Parquet by its URI, under a condition, into the URI of a directory."""
    pq.write_table(pa.table({"user_id": [7, 3, 5]}), tmp_path / "users.parquet")
    given = ["--name", settings.name, "--artifacts", settings.artifacts, "--vector-store", settings.vector_store]
    users = ["--users-file", f"file://{tmp_path}/users.parquet", "--users-per-file", "2", "--where", "genre:noir"]
    batch = ["batch", f"file://{tmp_path}/out", *users, *given, "--engine", engine, "--processes", "2", "--quiet"]
    assert main([*batch, "-k", "2"]) == 0
    assert "3 users, 6 rows in 2 files" in capsys.readouterr().out
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert [row["user_id"] for row in rows] == [7, 7, 3, 3, 5, 5]
    assert {row["item_id"] % 2 for row in rows} == {1}
    assert main([*batch, "-k", "3"]) == 2
    assert "other k" in capsys.readouterr().err


def test_what_one_engine_began_another_ends(settings: Settings, expected: pa.Table, tmp_path: Path) -> None:
    """Without naming the size of the files; and a file that is damaged, or that a crash has left, is made again."""
    opener = partial(compose, settings)
    with compose(settings) as recommender:
        assert recommend_to_parquet(recommender, tmp_path, k=3, users_per_file=10).files == 6
    (tmp_path / PARTS[1]).unlink()
    (tmp_path / PARTS[2]).write_bytes((tmp_path / PARTS[2]).read_bytes()[:-9])
    (tmp_path / f"_{PARTS[1]}.0123456789abcdef").write_bytes(b"PAR1")
    assert recommend_to_parquet(opener, tmp_path, k=3).skipped == 4
    assert names(tmp_path) == ["_plan.json", *PARTS]
    assert pq.read_table(tmp_path).equals(expected)
    assert recommend_to_parquet(opener, tmp_path, k=3).skipped == 6


def test_the_processes_end_with_the_one_that_started_them(
    settings: Settings, expected: pa.Table, tmp_path: Path
) -> None:
    """Killed with its batch half done, it leaves no process behind, and the next call goes on."""
    opener = partial(openers.kills_its_parent, settings, tmp_path / "lock", LATE)
    options = {"k": 3, "users_per_file": 10, "processes": 2}
    parent = multiprocessing.get_context("spawn").Process(
        target=recommend_to_parquet, args=(opener, tmp_path / "out"), kwargs=options
    )
    parent.start()
    parent.join()
    assert parent.exitcode == -9
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held by the one that killed it, to its end
    done = recommend_to_parquet(partial(compose, settings), tmp_path / "out", k=3)
    assert done.files == 6
    assert done.skipped < 6
    assert pq.read_table(tmp_path / "out").equals(expected)


def test_the_size_of_the_files_follows_from_the_number_of_users(settings: Settings, tmp_path: Path) -> None:
    """A 64th of them, so that there is work for many processes, but no file of less than 500 users."""
    with compose(settings) as recommender:
        assert recommend_to_parquet(recommender, tmp_path / "all", k=1).files == 1
        assert recommend_to_parquet(recommender, tmp_path / "more", range(1_200), k=1).files == 3


def test_any_file_system_will_do(settings: Settings, expected: pa.Table, tmp_path: Path) -> None:
    """One of Arrow or of fsspec, by its URI or as an object that travels to the processes."""
    opener = partial(compose, settings)
    memory = f"memory://{tmp_path.name}/lists"
    with compose(settings) as recommender:
        for skipped in (0, 6):
            done = recommend_to_parquet(recommender, memory, k=3, users_per_file=10)
            assert (done.files, done.skipped) == (6, skipped)
    assert pq.read_table(f"/{tmp_path.name}/lists", filesystem=fsspec.filesystem("memory")).equals(expected)
    assert set(read_user_ids(memory)) == set(range(60))
    given = (("arrow", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())),
             ("fsspec", fsspec.filesystem("dir", path=str(tmp_path), target_protocol="file")))  # fmt: skip
    for name, filesystem in given:
        recommend_to_parquet(opener, name, k=3, users_per_file=10, processes=2, filesystem=filesystem)
        assert pq.read_table(tmp_path / name).equals(expected)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"engine": "dask"}, "engine is 'dask'"),
        ({"processes": 0}, "processes is 0"),
        ({"exclude_seen": "no"}, "exclude_seen is 'no'"),
        ({"where": "year>1990"}, "where is 'year>1990'"),
        ({"user_ids": [1.5]}, "user id"),
        ({"filesystem": "s3"}, "filesystem is 's3'"),
        ({"directory": "nonesuch://bucket/lists"}, "directory is 'nonesuch://bucket/lists'"),
        ({"directory": ""}, "directory is ''"),
        ({"recommender": 7}, "recommender is 7"),
        ({"recommender": lambda: 7}, "what the function opens is 7"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_used_is_said_before_anything_is_written(
    settings: Settings, tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    """Each by its name."""
    given: dict[str, Any] = {"recommender": partial(compose, settings), "directory": tmp_path / "out", **options}
    with pytest.raises(InvalidDataError, match=match):
        recommend_to_parquet(**given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("spark", "pyspark")])
def test_an_engine_that_is_not_installed_comes_with_its_cure(
    engine: Any, package: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra that brings it."""
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install .*\[{engine}\]"):
        recommend_to_parquet(partial(compose, settings), tmp_path, engine=engine)


def test_several_processes_need_stores_that_can_be_opened_and_a_function_that_travels(
    settings: Settings, tmp_path: Path
) -> None:
    """Otherwise the call says so; by default it takes one process where the stores admit one."""
    with compose(settings) as recommender:
        for several in ({"engine": "ray"}, {"processes": 2}):
            with pytest.raises(InvalidDataError, match="answers in its own process"):
                recommend_to_parquet(recommender, tmp_path / "out", **several)
        with pytest.raises(InvalidDataError, match="cannot travel"):
            recommend_to_parquet(lambda: compose(settings), tmp_path / "lambda", range(60), processes=2)
    lite = Settings(name="films", artifacts=str(tmp_path / "artifacts"))
    with compose(lite, ContentEncoder(dim=8)) as recommender:
        recommender.fit(Dataset({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 1, 2]}, items={"item_id": [1, 2, 3]}))
    for several in ({"engine": "spark"}, {"processes": 2}):
        with pytest.raises(InvalidDataError, match="one process at a time"):
            recommend_to_parquet(partial(compose, lite), tmp_path / "out", **several)
    assert not (tmp_path / "out").exists()
    done = recommend_to_parquet(partial(compose, lite), tmp_path / "out")
    assert done.users == 2
