"""How well ratings are predicted: `RatingReranker` beside the global mean, biases and matrix factorisation.

Run it as ``python -m benchmarks.rating --data ml-1m/``. The split is by default a random 10 % of the ratings, as most
published tables have it; it trains on the future of what it tests, so ``--split last``, each user's last rating, is
what to expect of a service. The baselines are written here in NumPy and choose their settings on 5 % of the training
part, then learn from all of it; the reranker keeps 5 % of it to stop by. Errors are the root of the mean squared error
and the mean absolute error, on the scale of the ratings. The last line of stdout is JSON, and so is a file in
``benchmarks/results/``.

As a second stage, orders by predicted rating are measured by the mean predicted rating of what is served and by who
finds the next item: ``--rank`` does so on the users' last events.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import report, versions
from vecrec.data import Dataset, Split, splits
from vecrec.datasets import movielens
from vecrec.encoders import Encoder, LinearSequenceEncoder, TwoTowerEncoder
from vecrec.recommendations import Recommendation
from vecrec.rerankers import Candidates, RatingReranker, RatingSettings

RESULTS = Path(__file__).parent / "results"

PUBLISHED = {
    "PMF": 0.883,
    "I-RBM": 0.854,
    "BiasMF": 0.845,
    "NNMF (3 layers of 64)": 0.843,
    "LLORMA-Local": 0.833,
    "I-AutoRec": 0.831,
}
"""RMSE on MovieLens 1M, random 90/10 splits: the tables of Sedhain et al. (AutoRec, WWW 2015), Dziugaite and Roy (NNMF,
2015) and Zheng et al. (CF-NADE, ICML 2016). None of these splits is ours."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ratings:
    """Ratings as three columns."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    values: Floats

    @classmethod
    def of(cls, data: Dataset) -> Ratings:
        """Those of a data set."""
        assert data.ratings is not None
        return cls(data.user_codes, data.item_codes, data.ratings.astype(np.float64))


@dataclass(frozen=True)
class Factors:
    """A fitted matrix factorisation: rows of factors whose inner products are added to the mean."""

    mean: float
    users: Floats
    items: Floats

    def predict(self, asked: Ratings) -> Floats:
        """Ratings between 1 and 5."""
        raw = self.mean + np.einsum("nd,nd->n", self.users[asked.users], self.items[asked.items])
        return np.clip(raw, 1, 5)


def factorise(train: Ratings, sizes: tuple[int, int], dim: int, penalty: float, turns: int) -> Factors:
    """Biases and ``dim`` factors by alternating least squares with a squared penalty on everything.

    A user is ``(bias, 1, factors)`` and an item ``(1, bias, factors)``; no factors leave the biases alone.
    """
    rng = np.random.default_rng(0)
    mean = float(train.values.mean())
    users = np.concatenate([np.zeros((sizes[0], 1)), np.ones((sizes[0], 1)), np.zeros((sizes[0], dim))], axis=1)
    items = np.concatenate(
        [np.ones((sizes[1], 1)), np.zeros((sizes[1], 1)), rng.normal(scale=0.1, size=(sizes[1], dim))], axis=1
    )
    by_user, by_item = _grouped(train.users, sizes[0]), _grouped(train.items, sizes[1])
    for _ in range(turns):
        _solve(users, 0, (items, train.items, by_user), train.values - mean, penalty)
        _solve(items, 1, (users, train.users, by_item), train.values - mean, penalty)
    return Factors(mean, users, items)


def _solve(
    rows: Floats,
    free: int,
    others: tuple[Floats, NDArray[np.int32], list[NDArray[np.int64]]],
    residuals: Floats,
    penalty: float,
) -> None:
    """Solve for the bias, in column ``free``, and the factors of all rows, given the others."""
    table, codes, groups = others
    fixed = 1 - free
    columns = [free, *range(2, rows.shape[1])]
    ridge = penalty * np.eye(len(columns))
    for row, places in zip(rows, groups):
        matrix = table[codes[places]]
        left = matrix[:, columns]
        row[columns] = np.linalg.solve(left.T @ left + ridge, left.T @ (residuals[places] - matrix[:, fixed]))


def _grouped(codes: NDArray[np.int32], size: int) -> list[NDArray[np.int64]]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=size))[:-1])


def tuned(
    split: Split, grid: list[tuple[int, float, int]], label: str
) -> tuple[Callable[[Ratings], Floats], dict[str, Any]]:
    """A factorisation with the settings that are best on 5 % of the training part, learnt from all of it."""
    inner = splits.random(split.before_test, 0.95, seed=1)
    sizes = (inner.train.n_users, inner.train.n_items)
    learn, check = Ratings.of(inner.train), Ratings.of(inner.test)
    tried = []
    for dim, penalty, turns in grid:
        error = errors(factorise(learn, sizes, dim, penalty, turns).predict(check), check)[0]
        tried.append({"dim": dim, "penalty": penalty, "turns": turns, "validation_rmse": round(error, 4)})
        print(f"{label}: {tried[-1]}", file=sys.stderr, flush=True)
    best = min(tried, key=lambda each: each["validation_rmse"])
    whole = factorise(Ratings.of(split.before_test), sizes, int(best["dim"]), best["penalty"], int(best["turns"]))
    return whole.predict, {"chosen": best, "tried": tried}


def errors(predicted: NDArray[Any], asked: Ratings) -> tuple[float, float]:
    """The root of the mean squared error, and the mean absolute error."""
    off = predicted - asked.values
    return float(np.sqrt(np.mean(off**2))), float(np.mean(np.abs(off)))


# -- the reranker


def rating_reranker(split: Split, encoder: Encoder, options: dict[str, Any], seed: int) -> RatingReranker:
    """One that has learnt from the training part."""
    reranker = RatingReranker(seed=seed, settings=RatingSettings(**options))
    last = [0.0]

    def show(step: Any) -> None:
        if time.monotonic() - last[0] > 5:
            last[0] = time.monotonic()
            print(f"reranker: {step.stage} {step.done}/{step.total} {step.detail}", file=sys.stderr, flush=True)

    return reranker.fit(split.before_test, encoder, progress=show)


def predict_all(reranker: RatingReranker, encoder: Encoder, known: Dataset, asked: Dataset) -> Floats:
    """The rating of each asked event, each user known by their events in ``known``: the path that serves."""
    vectors = encoder.encode_items(list(known.items()))
    predicted = np.zeros(asked.n_events)
    for code, user, start, end in _users(known, asked):
        codes = asked.item_codes[start:end].tolist()
        query = encoder.encode_users([user])[0]
        items = [
            Recommendation(n + 1, known.item_ids[at], 0.0, dict(known.item(at).features)) for n, at in enumerate(codes)
        ]
        given = Candidates(items, len(items), query, lambda codes=codes: vectors[codes])  # type: ignore[misc]
        predicted[start:end] = reranker.predict(user, given)
        if code % 1000 == 0:
            print(f"predict: user {code}", file=sys.stderr, flush=True)
    return predicted


def _users(known: Dataset, asked: Dataset) -> Iterator[tuple[int, Any, int, int]]:
    for code in np.flatnonzero(np.diff(asked.user_offsets)).tolist():
        yield code, known.user(code, history=True), int(asked.user_offsets[code]), int(asked.user_offsets[code + 1])


def as_second_stage(reranker: RatingReranker, encoder: Encoder, split: Split) -> dict[str, Any]:
    """What the order by predicted rating does to the first ten of 100 candidates."""
    known, asked = split.before_test, split.test
    items = list(known.items())
    vectors = encoder.encode_items(items)
    found: dict[str, list[float]] = {"ndcg_vectors": [], "ndcg_rating": [], "rating_vectors": [], "rating_rating": []}
    for _, user, start, _end in _users(known, asked):
        query = encoder.encode_users([user])[0]
        scores = vectors @ query
        scores[[known.item_code(event.item_id) for event in user.history]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:100].tolist()
        listed = [
            Recommendation(n + 1, items[at].id or 0, float(scores[at]), dict(items[at].features))
            for n, at in enumerate(best)
        ]
        given = Candidates(listed, 10, query, lambda best=best: vectors[best])  # type: ignore[misc]
        rated = reranker.predict(user, given)
        target = known.item_ids[asked.item_codes[start]]
        for name, order in (("vectors", np.arange(len(best))), ("rating", np.argsort(-rated, kind="stable"))):
            rank = next((n for n, at in enumerate(order[:10].tolist()) if listed[at].item_id == target), None)
            found[f"ndcg_{name}"].append(0.0 if rank is None else float(1 / np.log2(rank + 2)))
            found[f"rating_{name}"].append(float(rated[order[:10]].mean()))
    return {
        "candidates": 100,
        "ndcg_at_10": {name: round(statistics.mean(found[f"ndcg_{name}"]), 4) for name in ("vectors", "rating")},
        "mean_predicted_rating_of_the_first_10": {
            name: round(statistics.mean(found[f"rating_{name}"]), 3) for name in ("vectors", "rating")
        },
    }


# -- the run


def main() -> None:
    """Measure, print a table and write the figures."""
    options = _options()
    data = movielens.load(options.data)
    runs = [_run(data, options, seed) for seed in range(options.seeds)]
    names = list(runs[0]["models"])
    rows, means = [], {}
    for name in names:
        rmse = [run["models"][name]["rmse"] for run in runs]
        mae = [run["models"][name]["mae"] for run in runs]
        seconds = [run["models"][name]["seconds"] for run in runs]
        means[name] = {
            "rmse": round(statistics.mean(rmse), 4),
            "mae": round(statistics.mean(mae), 4),
            "seconds": round(statistics.mean(seconds), 1),
        }
        rows.append(
            (name, f"{means[name]['rmse']:.4f}", f"{means[name]['mae']:.4f}", f"{means[name]['seconds']:.0f} s")
        )
    rows += [
        (f"{name}, published", f"{value:.3f}", "", "") for name, value in PUBLISHED.items() if options.split == "random"
    ]
    figures = {
        "benchmark": "rating",
        "data": data.name,
        "split": runs[0]["split"],
        "encoder": options.encoder,
        "settings": RatingSettings(**options.settings).to_json(),
        "seeds": options.seeds,
        "mean": means,
        "runs": runs,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    path = RESULTS / f"rating-{options.split}.json"
    path.write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    report(f"{runs[0]['split']}; {options.seeds} seeds", ("model", "RMSE", "MAE", "time"), rows, figures)


def _run(data: Dataset, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    split = splits.random(data, 0.9, seed=seed) if options.split == "random" else splits.leave_last_out(data)
    train, test = Ratings.of(split.before_test), Ratings.of(split.test)
    models: dict[str, Any] = {}

    def measure(name: str, predicted: NDArray[Any], started: float, **more: Any) -> None:
        rmse, mae = errors(predicted, test)
        seconds = round(time.perf_counter() - started, 1)
        models[name] = {"rmse": round(rmse, 5), "mae": round(mae, 5), "seconds": seconds, **more}
        print(f"seed {seed}: {name}: {models[name]['rmse']}, {models[name]['mae']}", file=sys.stderr, flush=True)

    started = time.perf_counter()
    measure("global mean", np.full(len(test.values), train.values.mean()), started)
    for name, grid in {
        "user and item biases": [(0, penalty, 5) for penalty in (2.0, 4.0, 6.0, 10.0)],
        "matrix factorisation with biases (ALS)": [
            (dim, penalty, turns) for dim, penalty, turns in product((8, 16, 32, 64), (11.0, 15.0, 20.0), (15,))
        ],
    }.items():
        started = time.perf_counter()
        predict, chosen = tuned(split, grid, name)
        measure(name, predict(test), started, **chosen)
    started = time.perf_counter()
    encoder = _encoder(options.encoder, seed).fit(split.before_test)
    encoded = time.perf_counter()
    reranker = rating_reranker(split, encoder, dict(options.settings), seed)
    fitted = time.perf_counter()
    predicted = predict_all(reranker, encoder, split.before_test, split.test)
    measure(
        "RatingReranker",
        predicted,
        started,
        encoder_seconds=round(encoded - started, 1),
        fit_seconds=round(fitted - encoded, 1),
        predict_seconds=round(time.perf_counter() - fitted, 1),
        validation_rmse=[round(error, 4) for error in reranker.errors],
    )
    run: dict[str, Any] = {"seed": seed, "split": split.rule, "models": models}
    return run | ({"second_stage": as_second_stage(reranker, encoder, split)} if options.rank else {})


def _encoder(name: str, seed: int) -> Encoder:
    return LinearSequenceEncoder(dim=256, seed=seed) if name == "linear" else TwoTowerEncoder(dim=256, seed=seed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help='the directory of MovieLens 1M, or its name, "1m"')
    parser.add_argument("--split", choices=("random", "last"), default="random")
    parser.add_argument("--encoder", choices=("linear", "two-tower"), default="linear")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rank", action="store_true", help="also measure the order as a second stage (--split last)")
    parser.add_argument("--settings", type=json.loads, default={}, help="of RatingSettings, as JSON")
    options = parser.parse_args()
    if options.rank and options.split != "last":
        parser.error("--rank needs --split last, whose test has one event of each user")
    return options


if __name__ == "__main__":
    main()
