"""What a feedback policy changes on MovieLens 1M: ratings as weights, and ratings of 2 and less as negatives.

Run it as ``python -m benchmarks.feedback --data ml-1m/``; each training takes some minutes on one core. Protocol P1 of
`benchmarks.quality`: the default two towers learn from all but each user's last two events, once with each policy.
Users are read as `Recommender` reads them: what they dislike is not in the history, what they have seen is left out,
and what resembles the disliked items ranks lower.

- ``ndcg``: NDCG@10 of each user's last event, over all of them and over those that were rated 4 or more.
- ``disliked``: of the last two events of each user that were rated 2 or less, the share that is among the first ten
  when the list is made right before the event.

The last line of stdout is JSON, and so is ``benchmarks/results/feedback.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._jobs import apart
from benchmarks._report import report, versions
from vecrec._internal.exact import top_columns
from vecrec.data import Dataset, Split, splits
from vecrec.datasets import movielens
from vecrec.encoders import Encoder, TwoTowerEncoder
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id
from vecrec.recommender import dislikes
from vecrec.types import Hit

RESULTS = Path(__file__).parent / "results"

POLICIES = {
    "no policy": FeedbackPolicy(),
    "weights": FeedbackPolicy(rating_weights=((1, 0.2), (5, 1))),
    "negatives": FeedbackPolicy(negative_rating=2),
    "weights and negatives": FeedbackPolicy(negative_rating=2, rating_weights=((3, 0.5), (5, 1))),
}

BARS = {"disliked_cut": 0.30, "ndcg_lost": 0.01}

CANDIDATES, DEPTH, BLOCK = 100, 10, 256
DISLIKED, LIKED = 2, 4
"""The highest rating of a dislike, and the lowest of a like."""


def main() -> None:
    """Train with each policy, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help='the directory of MovieLens 1M, or its name, "1m"')
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side (%(default)s)")
    parser.add_argument("--keep", type=Path, help="a directory that encoders are saved in, and loaded from")
    parser.add_argument("--policies", nargs="*", choices=POLICIES, default=list(POLICIES), help="only some of them")
    args = parser.parse_args()
    calls = [(name, args.data, args.seed, args.keep) for name in args.policies]
    found = dict(zip(args.policies, apart(measure, calls, args.jobs), strict=True))
    figures = {"benchmark": "feedback", "seed": args.seed, "bars": BARS, "policies": found}
    for ways in (_compared(found, way) for way in ("served", "encoder alone")):
        figures |= ways
    if args.policies == list(POLICIES):
        (RESULTS / "feedback.json").write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    rows = [
        (f"{name}, {way}", *(f"{each[key]:.4f}" for key in ("ndcg", "ndcg_of_liked", "disliked")))
        for name, ways in found.items()
        for way, each in ways.items()
    ]
    report("MovieLens 1M, P1", ("policy", "NDCG@10", "of targets of 4 or more", "disliked in 10"), rows, figures)


def measure(name: str, where: str, seed: int, keep: Path | None) -> dict[str, dict[str, float]]:
    """The figures of the towers with a policy, as they are served and by the vectors alone."""
    split, policy = splits.leave_last_out(movielens.load(where)), POLICIES[name]
    folder = None if keep is None else keep / f"{name.replace(' ', '-')}-{seed}"
    if folder is not None and folder.exists():
        encoder = TwoTowerEncoder.load(folder)
    else:
        encoder = TwoTowerEncoder(seed=seed, threads=1).fit(split.train.with_feedback(policy))
        if folder is not None:
            encoder.save(folder)
    return _figures(encoder, split, policy)


def _figures(encoder: Encoder, split: Split, policy: FeedbackPolicy) -> dict[str, dict[str, float]]:
    before_last = _places(encoder, split.train, split.validation, policy)
    last = _places(encoder, split.before_test, split.test, policy)
    ratings = np.asarray(split.test.ratings)
    both = np.concatenate([np.asarray(split.validation.ratings), ratings]) <= DISLIKED
    figures = {}
    for way, places in last.items():
        gains = np.where(places < DEPTH, 1 / np.log2(places + 2), 0)
        found = np.concatenate([before_last[way], places]) < DEPTH
        figures[way] = {
            "ndcg": round(float(gains.mean()), 5),
            "ndcg_of_liked": round(float(gains[ratings >= LIKED].mean()), 5),
            "disliked": round(float(found[both].mean()), 5),
            "disliked_events": int(both.sum()),
        }
    return figures


def _places(
    encoder: Encoder, known: Dataset, wanted: Dataset, policy: FeedbackPolicy
) -> dict[str, NDArray[np.float64]]:
    """The place of each wanted event in the list of its user, from 0, infinite where it is not a candidate."""
    vectors = encoder.encode_items(list(known.items()))
    by_id: dict[Id, NDArray[np.float32]] = dict(zip(known.item_ids, vectors, strict=True))
    places: dict[str, list[float]] = {"encoder alone": [], "served": []}
    lists = _lists(encoder, known, wanted, vectors, policy)
    for (hits, disliked), code in zip(lists, wanted.item_codes.tolist(), strict=True):
        target = known.item_ids[code]
        near = dislikes.similarity_to_disliked([hit.id for hit in hits], disliked, by_id)
        for way, found in (("encoder alone", hits), ("served", dislikes.demoted(hits, near))):
            places[way].append(next((float(place) for place, hit in enumerate(found) if hit.id == target), np.inf))
    return {way: np.array(each) for way, each in places.items()}


def _lists(
    encoder: Encoder, known: Dataset, wanted: Dataset, vectors: NDArray[np.float32], policy: FeedbackPolicy
) -> Iterator[tuple[list[Hit], tuple[Id, ...]]]:
    """For each wanted event, the candidates of its user by score, and the items that the user dislikes."""
    codes = wanted.user_codes.tolist()
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK]
        tastes = [policy.taste(known.user(code, history=True)) for code in block]
        scores = encoder.encode_users([taste.user for taste in tastes]) @ vectors.T
        for row, code in zip(scores, block, strict=True):
            row[known.item_codes[known.user_offsets[code] : known.user_offsets[code + 1]]] = -np.inf
        for row, best, taste in zip(scores, top_columns(scores, CANDIDATES), tastes, strict=True):
            yield [Hit(known.item_ids[place], float(row[place])) for place in best.tolist()], taste.disliked


def _compared(found: dict[str, dict[str, dict[str, float]]], way: str) -> dict[str, Any]:
    """What each policy cuts and loses against none, as shares."""
    plain = found.get("no policy", {}).get(way)
    if plain is None:
        return {}
    return {
        f"against no policy, {way}": {
            name: {
                "disliked_cut": round(1 - ways[way]["disliked"] / plain["disliked"], 4),
                "ndcg_lost": round(1 - ways[way]["ndcg"] / plain["ndcg"], 4),
                "ndcg_of_liked_lost": round(1 - ways[way]["ndcg_of_liked"] / plain["ndcg_of_liked"], 4),
            }
            for name, ways in found.items()
            if name != "no policy"
        }
    }


if __name__ == "__main__":
    main()
