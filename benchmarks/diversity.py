"""What diversity costs: `MMRReranker` on MovieLens 1M, NDCG@10 against the diversity of the lists, over its balance.

Run it as ``python -m benchmarks.diversity --data ml-1m/ --picture docs/diversity.svg``. An encoder learns from all but
each user's last two events; each user's 100 best items that they have not seen are put in order by maximal marginal
relevance, and the first ten are measured against the user's last event (protocol P1 of `benchmarks.quality`):

- NDCG@10 and HR@10, by which something is lost;
- the intra-list diversity by the items' vectors, which is what MMR works on, and by genres, which it never sees;
- the share of the catalogue that is shown to anybody, and how many genres one list has.

The last line of stdout is JSON, and so is ``benchmarks/results/diversity.json``. ``--from`` draws the picture again
from such a file, without measuring.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import report, versions
from vecrec._internal.exact import top_columns
from vecrec.data import Dataset, splits
from vecrec.datasets import movielens
from vecrec.encoders import LinearSequenceEncoder
from vecrec.evaluation import from_split
from vecrec.evaluation.metrics import intra_list_diversity
from vecrec.rerankers.mmr import maximal_marginal_relevance

RESULTS = Path(__file__).parent / "results"
BALANCES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
K = 10


def main() -> None:
    """Measure, print a table, write the figures and draw them."""
    options = _options()
    if options.source is None:
        figures = measure(movielens.load(options.data), options.dim, options.depth)
        path = RESULTS / "diversity.json"
        path.write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
        _print(figures)
    else:
        figures = json.loads(Path(options.source).read_text())
    if options.picture is not None:
        draw(figures, Path(options.picture))


def measure(data: Dataset, dim: int, depth: int) -> dict[str, Any]:
    """The curve."""
    split = splits.leave_last_out(data)
    started = time.perf_counter()
    encoder = LinearSequenceEncoder(dim=dim).fit(split.train)
    trained = time.perf_counter() - started
    task = from_split(split)
    vectors = encoder.encode_items(list(data.items()))
    genres = _genres(data)
    scores, best = candidates(encoder.encode_users(task.visitors(task.users.tolist())), vectors, task, depth)
    targets = split.test.item_codes[split.test.user_offsets[task.users]]
    curve = []
    for balance in BALANCES:
        started = time.perf_counter()
        lists = np.stack(
            [
                row[maximal_marginal_relevance(own[row], vectors[row], K, balance)]
                for row, own in zip(best, scores, strict=True)
            ]
        )
        seconds = time.perf_counter() - started
        curve.append(_point(balance, lists, targets, vectors, genres) | {"ms_per_list": 1000 * seconds / len(best)})
        print(curve[-1], file=sys.stderr, flush=True)
    return {
        "benchmark": "diversity",
        "data": data.name,
        "protocol": "P1: leave last out, all items that were not seen are ranked",
        "encoder": f"LinearSequenceEncoder, {dim} dimensions",
        "candidates": depth,
        "k": K,
        "users": len(best),
        "train_seconds": round(trained, 1),
        "curve": [{name: round(value, 5) for name, value in point.items()} for point in curve],
    }


def candidates(
    users: NDArray[np.float32], items: NDArray[np.float32], task: Any, depth: int
) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Each user's scores of all items, and the best items that they have not seen."""
    scores: list[NDArray[np.float32]] = []
    best = np.empty((len(users), depth), np.int64)
    for row, (code, user) in enumerate(zip(task.users.tolist(), users)):
        own = items @ user
        own[~task.candidates] = -np.inf
        own[task.seen.item_codes[task.seen.user_offsets[code] : task.seen.user_offsets[code + 1]]] = -np.inf
        best[row] = top_columns(own[None], depth)[0]
        scores.append(own)
    return scores, best


def _point(
    balance: float,
    lists: NDArray[np.int64],
    targets: NDArray[np.int32],
    vectors: NDArray[np.float32],
    genres: NDArray[np.float32],
) -> dict[str, float]:
    rows, places = np.nonzero(lists == targets[:, None])
    gains = np.zeros(len(lists))
    gains[rows] = 1 / np.log2(places + 2)
    return {
        "balance": balance,
        "ndcg": float(gains.mean()),
        "ndcg_standard_error": float(gains.std() / np.sqrt(len(gains))),
        "hit_rate": len(rows) / len(lists),
        "diversity_by_vectors": float(intra_list_diversity(lists, vectors).mean()),
        "diversity_by_genres": float(intra_list_diversity(lists, genres).mean()),
        "genres_in_a_list": float((genres[lists].sum(axis=1) > 0).sum(axis=1).mean()),
        "coverage": len(np.unique(lists)) / len(vectors),
    }


def _genres(data: Dataset) -> NDArray[np.float32]:
    found = [value if isinstance(value, list) else [] for value in data.item_features("genres")]
    names = sorted({str(name) for value in found for name in value})
    return np.array([[float(name in value) for name in names] for value in found], np.float32)


def _print(figures: dict[str, Any]) -> None:
    columns = ("balance", "NDCG@10", "HR@10", "diversity, vectors", "diversity, genres", "genres a list", "coverage")
    names = ("ndcg", "hit_rate", "diversity_by_vectors", "diversity_by_genres", "genres_in_a_list", "coverage")
    rows = [(f"{point['balance']:.2f}", *(f"{point[name]:.4f}" for name in names)) for point in figures["curve"]]
    report(f"MMR over {figures['candidates']} candidates, {figures['encoder']}", columns, rows, figures)


def draw(figures: dict[str, Any], path: Path) -> None:
    """The curve as a picture: NDCG@10 against both diversities, each point one balance."""
    from benchmarks._svg import blank, save

    curve = figures["curve"]
    figure = blank(9, 4)
    panes = figure.subplots(1, 2, sharey=True)
    for pane, name, label in (
        (panes[0], "diversity_by_vectors", "diversity of the list, by the vectors"),
        (panes[1], "diversity_by_genres", "diversity of the list, by genres"),
    ):
        across, up = [point[name] for point in curve], [point["ndcg"] for point in curve]
        pane.plot(across, up, "o-", color="tab:blue", markersize=4)
        for point in curve:
            # Those in between stand too close together.
            if point["balance"] in (1.0, 0.5, 0.3, 0.2, 0.0):
                at, aside = (point[name], point["ndcg"]), (-4, -14) if point["balance"] == 1 else (6, 4)
                pane.annotate(f"λ = {point['balance']:g}", at, textcoords="offset points", xytext=aside, fontsize=8)
        pane.set_xlabel(label)
        pane.margins(x=0.15)
        pane.set_ylim(0, 1.1 * max(up))
        pane.grid(alpha=0.3)
    panes[0].set_ylabel("NDCG@10")
    figure.suptitle("What diversity costs on MovieLens 1M", fontsize=11)
    save(figure, path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help='the directory of MovieLens 1M, or its name, "1m"')
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--depth", type=int, default=100, help="candidates")
    parser.add_argument("--picture", help="where to draw the curve, as SVG")
    parser.add_argument("--from", dest="source", help="a file of figures to draw, instead of measuring")
    return parser.parse_args()


if __name__ == "__main__":
    main()
