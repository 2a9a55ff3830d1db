"""From MovieLens to recommendations with their records, on real engines.

    python examples/movielens.py                                      # Milvus Lite and SQLite, below artifacts/
    python examples/movielens.py --data ml-1m/ \
        --vector-store http://localhost:19530 --metadata-store redis://localhost:6379/0

The first run trains and publishes; a later one with the same data, seed and stores opens what is there.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from vecrec import Recommendations, Recommender, User, field
from vecrec.data import Dataset, Split
from vecrec.data.splits import leave_last_out
from vecrec.datasets import movielens
from vecrec.encoders import TwoTowerEncoder
from vecrec.errors import DownloadError, NotFittedError
from vecrec.evaluation import evaluate
from vecrec.ids import Id
from vecrec.metadata_stores import from_url
from vecrec.vector_stores import MilvusVectorStore

T = TypeVar("T")
KNOWN_USER = 42
LIKED = ("Toy Story", "Aladdin", "The Lion King", "Beauty and the Beast")
NEWCOMER = {"gender": "F", "age": 25, "occupation": 12}

console = Console(width=None if sys.stdout.isatty() else 120)
seconds: dict[str, float] = {}


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, train, publish, recommend and measure."""
    options = parse(arguments)
    data = timed("load", lambda: load(options.data))
    console.rule(f"[bold]{data.name}")
    console.print(str(data), highlight=False)
    split = leave_last_out(data)
    report: dict[str, Any] = {
        "data": {"name": data.name, "events": data.n_events, "users": data.n_users, "items": data.n_items}
    }
    name = f"{re.sub('[^a-z0-9]+', '_', data.name.lower()).strip('_')}_seed{options.seed}"
    with compose(options, name) as recommender:
        report["release"] = train(recommender, split.before_test)
        report["measured"] = timed("measure", lambda: measure(recommender, split))
        # The last event of each user was kept from training, to measure with; now the histories are completed.
        timed("record", lambda: recommender.record(split.test.events()))
        report["recommendations"] = timed("recommend", lambda: recommend(recommender, data))
    report["seconds"] = {**seconds, "total": round(sum(seconds.values()), 2)}
    report["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    show_costs(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="1m|100k|DIR", help="default: 1m where it can be had, else 100k")
    parser.add_argument("--vector-store", metavar="URI", help="a .db path or the URL of a Milvus server")
    parser.add_argument("--metadata-store", metavar="URL", help="sqlite:///, mysql+pymysql://, redis:// ...")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where releases and files are kept")
    parser.add_argument("--seed", type=int, default=7, help="equal seeds give equal vectors")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure that was printed")
    return parser.parse_args(arguments)


def load(source: str | None) -> Dataset:
    """The data that was asked for; without a wish, the largest that can be had."""
    if source:
        return movielens.load(source, progress=True)
    try:
        return movielens.load("1m", progress=True)
    except DownloadError as error:
        console.print(f"[yellow]MovieLens 1M cannot be fetched ({error}).\nRunning on MovieLens 100K instead.[/]")
        return movielens.load("100k", progress=True)


def compose(options: argparse.Namespace, name: str) -> Recommender:
    """The four parts, each data set and seed a recommender of its own; what is published already is opened."""
    options.artifacts.mkdir(parents=True, exist_ok=True)
    embedded = f"sqlite:///{options.artifacts / name}.sqlite"
    vectors = MilvusVectorStore(options.vector_store or str(options.artifacts / f"{name}.db"))
    metadata = from_url(options.metadata_store or embedded, prefix=f"{name}_")
    try:
        recommender = Recommender.open(name, vectors, metadata, options.artifacts)
    except NotFittedError:
        encoder = TwoTowerEncoder(dim=256, seed=options.seed)
        recommender = Recommender(encoder, vectors, metadata, name=name, artifacts=options.artifacts)
    return recommender


def train(recommender: Recommender, data: Dataset) -> dict[str, Any]:
    """Make a release of the data, or take the one that is there."""
    found = recommender.releases()
    if found and found[0].data_digest == data.digest:
        release = found[0]
        console.print(f"\n[green]Release {release.id} was made from this data with this seed: nothing to train.[/]")
    else:
        release = timed("fit", lambda: recommender.fit(data, progress=True))
    return {"id": release.id, "counts": dict(release.counts), "checks": dict(release.checks)}


def measure(recommender: Recommender, split: Split) -> dict[str, float]:
    """How well the last event of each user is foretold, beside popularity."""
    result = evaluate(recommender.encoder, split, k=(10, 50, 200), progress=True)
    console.rule("[bold]Held out: the last movie of each user")
    console.print(str(result), highlight=False)
    return {**result.metrics, **{f"popularity {key}": value for key, value in result.baselines[0].metrics.items()}}


def recommend(recommender: Recommender, data: Dataset) -> dict[str, Any]:
    """Each way to ask."""
    titles = {item.features.get("title"): item.id for item in data.items() if item.id is not None}
    liked = [titles[title] for title in LIKED if title in titles] or data.item_ids[:3]
    comedies = field("genres").contains("Comedy") & (field("year") >= 1990)
    person = f"{NEWCOMER['gender']}, {movielens.AGES[25]}, {movielens.OCCUPATIONS[12]}"
    answers = {
        f"User {KNOWN_USER}": recommender.recommend(KNOWN_USER),
        f"User {KNOWN_USER}, comedies since 1990": recommender.recommend(KNOWN_USER, where=comedies),
        f"A newcomer: {person}": recommender.recommend_for(User(features=NEWCOMER)),
        f"A visitor who liked {names(recommender, liked)}": recommender.recommend_for(User(history=liked)),
        f"Similar to {names(recommender, liked[:1])}": recommender.similar_items(liked[0]),
    }
    for title, found in answers.items():
        show(title, found)
    return {
        title: [(movie.item_id, movie["title"], movie.score) for movie in found] for title, found in answers.items()
    }


def show(title: str, found: Recommendations) -> None:
    """One list as a table."""
    table = Table(title=title, title_justify="left", title_style="bold", caption=found.shortfall)
    for column, justify in (
        ("", "right"),
        ("score", "right"),
        ("movie", "left"),
        ("year", "right"),
        ("genres", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for movie in found:
        genres = ", ".join(map(str, movie.get("genres") or []))  # type: ignore[arg-type]
        table.add_row(str(movie.rank), f"{movie.score:.2f}", str(movie["title"]), str(movie.get("year", "")), genres)
    console.print(table)
    console.print(f"[dim]served by {found.served_by}, based on {' and '.join(found.based_on) or 'nothing'}[/]\n")


def show_costs(report: dict[str, Any]) -> None:
    """What it took."""
    table = Table(title="What it took", title_justify="left", title_style="bold")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for step, taken in report["seconds"].items():
        table.add_row(step, f"{taken:.2f}")
    console.print(table, f"peak memory {report['peak_memory_mb']:,} MB")


def names(recommender: Recommender, item_ids: Sequence[Id]) -> str:
    """The titles of some movies."""
    return ", ".join(str(item.features["title"]) for item in recommender.get_items(item_ids).values())


def timed(step: str, work: Callable[[], T]) -> T:
    """Do it, and remember how long it took."""
    start = time.perf_counter()
    try:
        return work()
    finally:
        seconds[step] = round(time.perf_counter() - start, 2)


if __name__ == "__main__":
    main()
