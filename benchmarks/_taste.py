"""The data sets and the encoders of the benchmarks of taste: `benchmarks.dislikes` and `benchmarks.neighbours`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from vecrec.data import Dataset, MultiCategorical, Schema
from vecrec.datasets import movielens
from vecrec.encoders import ContentEncoder, EASEEncoder, Encoder, LinearSequenceEncoder, TwoTowerEncoder

__all__ = ["ENCODERS", "load"]

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "content": ContentEncoder,
    "ease": EASEEncoder,
    "linear": LinearSequenceEncoder,
    "two_tower": lambda: TwoTowerEncoder(threads=1),
}
"""The encoders as they are by default, by name."""


def load(where: str) -> Dataset:
    """A data set by its name or its directory.

    Args:
        where: What `vecrec.datasets.movielens.load` takes, or the directory of Amazon Beauty: ``Beauty.txt`` with a
            user and their items in the order of time on each line, and ``Beauty_item2attributes.json``.
    """
    log = Path(where) / "Beauty.txt"
    if not log.is_file():
        return movielens.load(where)
    users: list[int] = []
    items: list[int] = []
    for line in log.read_text(encoding="utf-8").splitlines():
        user, *held = map(int, line.split())
        users += [user] * len(held)
        items += held
    attributes = json.loads((Path(where) / "Beauty_item2attributes.json").read_text(encoding="utf-8"))
    known = sorted(set(items))
    return Dataset(
        {"user_id": users, "item_id": items, "time": range(len(users))},
        items={"item_id": known, "attributes": [list(map(str, attributes.get(str(item), []))) for item in known]},
        schema=Schema(items=(MultiCategorical("attributes"),)),
        name="Amazon Beauty",
    )
