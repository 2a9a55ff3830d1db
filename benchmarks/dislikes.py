"""What one dislike does to a list: protocol P7, for any data set and every encoder.

Run it as ``python -m benchmarks.dislikes --data 100k --data ml-1m/ --data beauty/ --encoder linear``. An encoder learns
from all but each user's last two events. Users with at least 20 events (5 on Amazon Beauty) dislike the first item of
their list. How many of the ten after it stay among the next ten; the median popularity rank and the mean co-occurrence
with the disliked item, before and after; all three over 200 users. NDCG@10 of the last event, where it has four stars
or more or no rating and is not the disliked item, over up to 2,000 users, since 200 have too few hits. The last line of
stdout is JSON, and so is ``benchmarks/results/dislikes.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import report, versions
from benchmarks._taste import ENCODERS, load
from vecrec._internal.exact import top_columns
from vecrec.data import Dataset, Split, splits
from vecrec.encoders import Encoder
from vecrec.recommender import dislikes
from vecrec.types import Hit

RESULTS = Path(__file__).parent / "results"
CANDIDATES = 100
"""What `Recommender` looks at for k = 10."""
USERS, MORE = 200, 2_000
LEAST = {"Amazon Beauty": 5}
TOP = 10


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, help="a name or a directory, see benchmarks._taste")
    parser.add_argument("--encoder", action="append", choices=sorted(ENCODERS), help="all by default")
    args = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for where in args.data:
        data = load(where)
        split = splits.leave_last_out(data)
        for name in args.encoder or ENCODERS:
            encoder = ENCODERS[name]().fit(split.train)
            runs.append({"data": data.name, "encoder": name, **measured(data, split, encoder)})
    figures = {"benchmark": "dislikes", "protocol": "P7", "candidates": CANDIDATES, "runs": runs}
    (RESULTS / "dislikes.json").write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    rows = [[str(value) for value in run.values()] for run in runs]
    report("One dislike, P7", tuple(runs[0]), rows, figures)


def measured(data: Dataset, split: Split, encoder: Encoder) -> dict[str, Any]:
    """The figures of one encoder, which has learnt from ``split.train``."""
    before = split.before_test
    vectors = encoder.encode_items(list(data.items()))
    held = dict(zip(data.item_ids, vectors, strict=True))
    counts = before.popularity()
    ranks = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    shares = dict(zip(data.item_ids, (counts / counts.max()).tolist(), strict=True))
    codes = {key: code for code, key in enumerate(data.item_ids)}
    lengths = np.diff(before.user_offsets)[split.test.user_codes]
    eligible = np.flatnonzero(lengths >= LEAST.get(data.name, 20))
    figures: tuple[list[Any], ...] = ([], [], [], [])
    kept, places, nearness, gains = figures
    together = _Together(before)
    for number, row in enumerate(np.random.default_rng(0).permutation(eligible)[:MORE].tolist()):
        user = before.user(int(split.test.user_codes[row]), history=True)
        scores = vectors @ encoder.encode_users([user])[0]
        scores[[codes[event.item_id] for event in user.history]] = -np.inf
        found = top_columns(scores[None], CANDIDATES + 1)[0].tolist()
        first, *rest = [Hit(data.item_ids[code], float(scores[code])) for code in found if code >= 0]
        near = dislikes.similarity_to_disliked([hit.id for hit in rest], [first.id], held, shares)
        lists = [[codes[hit.id] for hit in hits[:TOP]] for hits in (rest, dislikes.demoted(rest, near))]
        if number < USERS:
            kept.append(len({*lists[0]} & {*lists[1]}))
            places.append([np.median(ranks[each]) for each in lists])
            nearness.append([together.mean(codes[first.id], each) for each in lists])
        target = int(split.test.item_codes[row])
        liked = split.test.ratings is None or float(split.test.ratings[row]) >= 4
        if liked and data.item_ids[target] != first.id:
            gains.append([_gain(each, target) for each in lists])
    return _figures(*figures)


def _figures(kept: list[Any], places: list[Any], nearness: list[Any], gains: list[Any]) -> dict[str, Any]:
    ranked, shared = np.median(places, axis=0), np.mean(nearness, axis=0)
    gain: NDArray[np.float64] = np.mean(gains, axis=0)
    return {
        "stay": round(float(np.mean(kept)), 2),
        "rank_before": float(ranked[0]),
        "rank_after": float(ranked[1]),
        "co_liked_before": round(float(shared[0]), 4),
        "co_liked_after": round(float(shared[1]), 4),
        "ndcg_before": round(float(gain[0]), 4),
        "ndcg_after": round(float(gain[1]), 4),
        "ndcg_share": round(float(gain[1] / gain[0]), 3) if gain[0] else None,
    }


class _Together:
    """Who chose what."""

    def __init__(self, data: Dataset) -> None:
        self._users = [set[int]() for _ in range(data.n_items)]
        for user, item in zip(data.user_codes.tolist(), data.item_codes.tolist(), strict=True):
            self._users[item].add(user)

    def mean(self, item: int, others: Sequence[int]) -> float:
        """The mean cosine of co-occurrence of an item with others."""
        own = self._users[item]
        pairs = [(len(own & self._users[other]), len(own) * len(self._users[other])) for other in others]
        return float(np.mean([both / np.sqrt(max(size, 1)) for both, size in pairs]))


def _gain(codes: Sequence[int], target: int) -> float:
    return float(1 / np.log2(codes.index(target) + 2)) if target in codes else 0.0


if __name__ == "__main__":
    main()
