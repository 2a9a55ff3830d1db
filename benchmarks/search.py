"""Search by text: where the item that a user chose next stands among those with its words.

Run it as ``python -m benchmarks.search --data ml-1m/``. The last event of each user is held out. A sample of users
searches for words of that item: one of the title, a genre, or one of both. It prints the mean of 1 / rank of the item
(the mean reciprocal rank) in the lists of `Recommender.search`, without the user, where popularity orders, and with.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator

import numpy as np

from benchmarks._report import report
from vecrec import Recommender, User
from vecrec.data import Split, splits
from vecrec.datasets import movielens
from vecrec.encoders import LinearSequenceEncoder
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore

DEPTH = 4_000
"""More than there are items."""


def main() -> None:
    """Train, search and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files")
    parser.add_argument("--users", type=int, default=300)
    args = parser.parse_args()
    split = splits.leave_last_out(movielens.load(args.data))
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as artifacts:
        stores = MemoryVectorStore(), MemoryMetadataStore()
        with Recommender(LinearSequenceEncoder(), *stores, artifacts=artifacts) as recommender:
            recommender.fit(split.before_test)
            for kind in ("a word of the title", "a genre", "one of both"):
                found = measured(recommender, split, kind, args.users)
                figures[kind] = dict(zip(("searches", "popularity", "taste"), found))
                rows.append([kind, f"{found[0]:,}", *(f"{mean:.3f}" for mean in found[1:])])
    columns = ["text", "searches", "without the user", "with the user"]
    title = f"Search by text, mean reciprocal rank: {split.train.name}"
    report(title, columns, rows, {"benchmark": "search", "figures": figures})


def measured(recommender: Recommender, split: Split, kind: str, n_users: int) -> tuple[int, float, float]:
    """How many searches of one kind there are, and what they find without and with the user."""
    gains = []
    for user, target, text in searches(split, kind, n_users):
        lists = [recommender.search(text, DEPTH, user=whom).item_ids for whom in (None, user)]
        gains.append([1 / (1 + ids.index(target)) if target in ids else 0.0 for ids in lists])
    return len(gains), *np.mean(gains, axis=0).tolist()


def searches(split: Split, kind: str, n_users: int) -> Iterator[tuple[User, Id, str]]:
    """Users with their histories, the item that each chose next, and what they search for."""
    draw = np.random.default_rng(0)
    for code in draw.choice(split.train.n_users, min(n_users, split.train.n_users), replace=False).tolist():
        item = split.test.item(int(split.test.item_codes[split.test.user_offsets[code]]))
        title = [word for word in re.findall(r"\w+", str(item.features["title"])) if len(word) > 2]
        genres = item.features["genres"]
        if title and isinstance(genres, list) and item.id is not None:
            said = {"a word of the title": [title], "a genre": [genres], "one of both": [title, genres]}[kind]
            yield split.before_test.user(code, history=True), item.id, " ".join(str(draw.choice(w)) for w in said)


if __name__ == "__main__":
    main()
