"""What a feedback policy changes on MovieLens 1M: ratings as weights, and ratings of 2 and less as negatives.

Run it as ``python -m benchmarks.feedback --data ml-1m/``; each training takes some minutes on one core. Protocol P1 of
`benchmarks.quality`: the default two towers and the linear sequence encoder learn from all but each user's last two
events, once with each policy. Users are read as `Recommender` reads them: what they dislike is not in the history, and
what they have seen is left out. What `Recommender` does about items similar to disliked ones comes on top: see
`benchmarks.dislikes`.

- ``ndcg``: NDCG@10 of each user's last event, over all of them and over those that were rated 4 or more.
- ``disliked``: of the last two events of each user that were rated 2 or less, the share that is among the first ten
  when the list is made right before the event.

The last line of stdout is JSON, and so is ``benchmarks/results/feedback-ENCODER.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._jobs import apart
from benchmarks._report import report, versions
from vecrec._internal.exact import ranks_of
from vecrec.data import Dataset, Split, splits
from vecrec.datasets import movielens
from vecrec.encoders import Encoder, LinearSequenceEncoder, TwoTowerEncoder
from vecrec.feedback import FeedbackPolicy

RESULTS = Path(__file__).parent / "results"

POLICIES = {
    "no policy": FeedbackPolicy(),
    "weights": FeedbackPolicy(rating_weights=((1, 0.2), (5, 1))),
    "negatives": FeedbackPolicy(negative_rating=2),
    "weights and negatives": FeedbackPolicy(negative_rating=2, rating_weights=((3, 0.5), (5, 1))),
}

ENCODERS: dict[str, Callable[[int], Encoder]] = {
    "two-tower": lambda seed: TwoTowerEncoder(seed=seed, threads=1),
    "linear": lambda seed: LinearSequenceEncoder(seed=seed),
}

BARS = {"disliked_cut": 0.30, "ndcg_lost": 0.01}

DEPTH, BLOCK = 10, 256
DISLIKED, LIKED = 2, 4
"""The highest rating of a dislike, and the lowest of a like."""


def main() -> None:
    """Train with each policy, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help='the directory of MovieLens 1M, or its name, "1m"')
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side (%(default)s)")
    parser.add_argument("--keep", type=Path, help="a directory that encoders are saved in, and loaded from")
    parser.add_argument("--encoder", choices=ENCODERS, default="two-tower", help="(%(default)s)")
    parser.add_argument("--policies", nargs="*", choices=POLICIES, default=list(POLICIES), help="only some of them")
    args = parser.parse_args()
    calls = [(args.encoder, name, args.data, args.seed, args.keep) for name in args.policies]
    found = dict(zip(args.policies, apart(measure, calls, args.jobs), strict=True))
    about = {"benchmark": "feedback", "encoder": args.encoder, "seed": args.seed, "bars": BARS}
    figures = {**about, "policies": found, "changes": _changes(found)}
    if args.policies == list(POLICIES):
        path = RESULTS / f"feedback-{args.encoder}.json"
        path.write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    rows = [
        (name, *(f"{each[key]:.4f}" for key in ("ndcg", "ndcg_of_liked", "disliked"))) for name, each in found.items()
    ]
    report(
        f"MovieLens 1M, P1, {args.encoder}",
        ("policy", "NDCG@10", "of targets of 4 or more", "disliked in 10"),
        rows,
        figures,
    )


def measure(encoder_name: str, name: str, where: str, seed: int, keep: Path | None) -> dict[str, float]:
    """The figures of an encoder with a policy."""
    split, policy = splits.leave_last_out(movielens.load(where)), POLICIES[name]
    encoder = ENCODERS[encoder_name](seed)
    folder = None if keep is None else keep / f"{encoder_name}-{name.replace(' ', '-')}-{seed}"
    if folder is not None and folder.exists():
        encoder = type(encoder).load(folder)
    else:
        encoder.fit(split.train.with_feedback(policy))
        if folder is not None:
            encoder.save(folder)
    return _figures(encoder, split, policy)


def _figures(encoder: Encoder, split: Split, policy: FeedbackPolicy) -> dict[str, float]:
    last = _ranks(encoder, split.before_test, split.test, policy)
    both = np.concatenate([_ranks(encoder, split.train, split.validation, policy), last])
    ratings = np.asarray(split.test.ratings)
    disliked = np.concatenate([np.asarray(split.validation.ratings), ratings]) <= DISLIKED
    gains = np.where(last <= DEPTH, 1 / np.log2(last + 1), 0)
    return {
        "ndcg": round(float(gains.mean()), 5),
        "ndcg_of_liked": round(float(gains[ratings >= LIKED].mean()), 5),
        "disliked": round(float((both[disliked] <= DEPTH).mean()), 5),
        "disliked_events": int(disliked.sum()),
    }


def _ranks(encoder: Encoder, known: Dataset, wanted: Dataset, policy: FeedbackPolicy) -> NDArray[np.int64]:
    """The rank of each wanted event's item among all that its user has not seen, from 1, shape (n,)."""
    vectors, codes, found = encoder.encode_items(list(known.items())), wanted.user_codes.tolist(), []
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK]
        tastes = [policy.taste(known.user(code, history=True)).user for code in block]
        scores = encoder.encode_users(tastes) @ vectors.T
        for row, code in zip(scores, block, strict=True):
            row[known.item_codes[known.user_offsets[code] : known.user_offsets[code + 1]]] = -np.inf
        found.append(ranks_of(scores, wanted.item_codes[start : start + BLOCK]))
    return np.concatenate(found)


def _changes(found: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """What each policy cuts and loses against none, as shares."""
    plain = found.get("no policy")
    if plain is None:
        return {}
    return {
        name: {
            "disliked_cut": round(1 - each["disliked"] / plain["disliked"], 4),
            "ndcg_lost": round(1 - each["ndcg"] / plain["ndcg"], 4),
            "ndcg_of_liked_lost": round(1 - each["ndcg_of_liked"] / plain["ndcg_of_liked"], 4),
        }
        for name, each in found.items()
        if each is not plain
    }


if __name__ == "__main__":
    main()
