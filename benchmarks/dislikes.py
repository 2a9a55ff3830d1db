"""What heeding dislikes costs and does on MovieLens 1M, with a threshold of one star and of two.

Run it as ``python -m benchmarks.dislikes --data ml-1m/``. Protocol P1 of `benchmarks.quality`: an encoder learns from
all but each user's last two events, and each user's last event is to be found.

- What it costs: NDCG@10 over all users, and over those who gave their last item four stars or more; with the history as
  it is, without the disliked items in it, and with what is like them put further down as `Recommender` does.
- What it does: everybody dislikes the first item that is recommended. How many of the first ten stay, other than that
  one, and how many ranks of the candidates the likeliest ones of these, with a cosine of .5 or more, fall.

The last line of stdout is JSON, and so is ``benchmarks/results/dislikes.json``.
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
from vecrec._internal.exact import top_columns
from vecrec.data import splits
from vecrec.datasets import movielens
from vecrec.encoders import Encoder, LinearSequenceEncoder
from vecrec.ids import Id
from vecrec.recommender import dislikes
from vecrec.types import Hit, User

RESULTS = Path(__file__).parent / "results"
CANDIDATES = 100
"""What `Recommender` looks at for k = 10."""


class Catalogue:
    """All items with their vectors, searched exactly."""

    def __init__(self, encoder: Encoder, ids: Sequence[Id], vectors: NDArray[np.float32]) -> None:
        self.encoder, self.ids, self.matrix = encoder, ids, vectors
        self.codes = {key: code for code, key in enumerate(ids)}
        self.vectors = dict(zip(ids, vectors, strict=True))

    def search(self, reader: User, seen: User) -> list[Hit]:
        """The candidates of somebody, without what they have seen."""
        scores = self.matrix @ self.encoder.encode_users([reader])[0]
        scores[[self.codes[event.item_id] for event in seen.history]] = -np.inf
        best = top_columns(scores[None], CANDIDATES)[0].tolist()
        return [Hit(self.ids[code], float(scores[code])) for code in best]

    def demote(self, hits: list[Hit], disliked: Sequence[Id]) -> list[Hit]:
        """What is like the disliked items further down."""
        return dislikes.demoted(hits, dislikes.likeness([hit.id for hit in hits], disliked, self.vectors))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help='the directory of MovieLens 1M, or its name, "1m"')
    data = movielens.load(parser.parse_args().data)
    split = splits.leave_last_out(data)
    encoder = LinearSequenceEncoder(dim=256).fit(split.train)
    catalogue = Catalogue(encoder, data.item_ids, encoder.encode_items(list(data.items())))
    assert split.test.ratings is not None
    users = [split.before_test.user(code, history=True) for code in split.test.user_codes.tolist()]
    targets = [data.item_ids[code] for code in split.test.item_codes.tolist()]
    liked = split.test.ratings >= 4
    costs = []
    for stars in (1.0, 2.0):
        ways: dict[str, list[float]] = {"as it is": [], "without the disliked": [], "and like ones further down": []}
        concerned = 0
        for user, target in zip(users, targets, strict=True):
            kept, disliked = dislikes.apart(user, stars)
            concerned += bool(disliked)
            found = catalogue.search(kept, user)
            for way, hits in zip(
                ways, (catalogue.search(user, user), found, catalogue.demote(found, disliked)), strict=True
            ):
                ways[way].append(_gain(hits, target))
        costs += [_cost(stars, concerned / len(users), way, np.array(gains), liked) for way, gains in ways.items()]
    effect = _effect(catalogue, users)
    figures = {"benchmark": "dislikes", "data": data.name, "candidates": CANDIDATES, "cost": costs, "effect": effect}
    (RESULTS / "dislikes.json").write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    rows = [
        (f"{cost['stars']:g}", cost["history"], f"{cost['ndcg']:.4f}", f"{cost['ndcg_of_liked']:.4f}") for cost in costs
    ]
    report("NDCG@10 on MovieLens 1M, P1", ("dislike, stars", "history", "all", "targets of 4 or more"), rows, figures)


def _gain(hits: Sequence[Hit], target: Id) -> float:
    rank = next((number for number, hit in enumerate(hits[:10], 1) if hit.id == target), None)
    return 0.0 if rank is None else float(1 / np.log2(rank + 1))


def _cost(stars: float, share: float, way: str, gains: NDArray[np.float64], liked: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "stars": stars,
        "users_with_dislikes": round(share, 4),
        "history": way,
        "ndcg": round(float(gains.mean()), 5),
        "ndcg_of_liked": round(float(gains[liked].mean()), 5),
    }


def _effect(catalogue: Catalogue, users: Sequence[User]) -> dict[str, float]:
    """What one dislike of the first recommendation does to the candidates."""
    kept, fallen = [], []
    for user in users:
        first, *rest = catalogue.search(user, user)
        after = catalogue.demote(rest, [first.id])
        kept.append(len({hit.id for hit in rest[:10]} & {hit.id for hit in after[:10]}))
        places = {hit.id: place for place, hit in enumerate(after)}
        own = catalogue.vectors[first.id]
        for place, hit in enumerate(rest[:10]):
            other = catalogue.vectors[hit.id]
            if float(own @ other) >= 0.5 * float(np.linalg.norm(own) * np.linalg.norm(other)):
                fallen.append(places[hit.id] - place)
    return {
        "kept_of_the_first_10": round(float(np.mean(kept)), 2),
        "like_ones_among_the_first_10": round(len(fallen) / len(users), 2),
        "ranks_they_fall": round(float(np.mean(fallen)), 1),
    }


if __name__ == "__main__":
    main()
