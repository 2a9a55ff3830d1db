"""What format 1 saved loads for ever, and gives the orders that it gave when it was saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.errors import InvalidDataError
from vecrec.registry import find_part
from vecrec.rerankers.base import Candidates, Reranker
from vecrec.types import Event, Recommendation, User

SAMPLES = Path(__file__).parent / "samples"
NAMES = sorted(path.name for path in SAMPLES.iterdir() if path.is_dir())


def load(directory: Path) -> Reranker:
    kind: Any = find_part("vecrec.rerankers", json.loads((directory / "reranker.json").read_text())["reranker"])
    loaded: Reranker = kind.load(directory)
    return loaded


def asked() -> list[tuple[User, Candidates]]:
    value = json.loads((SAMPLES / "asked.json").read_text())
    with np.load(SAMPLES / "vectors.npz", allow_pickle=False) as vectors:
        users, items = vectors["users"], vectors["items"]
    made = []
    for (key, profile, history), vector in zip(value["users"], users, strict=True):
        user = User(key, profile, [Event(None, item, time, rating) for item, time, rating in history])
        made.append((user, candidates(value["candidates"], value["k"], vector, items)))
    return made


def candidates(rows: list[Any], k: int, user: NDArray[np.float32], items: NDArray[np.float32]) -> Candidates:
    scores = items @ user
    order = np.argsort(-scores, kind="stable")
    found = [
        Recommendation(rank, rows[place][0], float(scores[place]), rows[place][1])
        for rank, place in enumerate(order, 1)
    ]
    return Candidates(found, k, user, lambda: items[order])


def test_there_is_a_sample_of_every_reranker() -> None:
    assert NAMES == ["chain", "mmr", "rating"]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_gives_the_order_that_it_gave(name: str) -> None:
    golden = json.loads((SAMPLES / name / "golden.json").read_text())
    reranker = load(SAMPLES / name)
    found = [reranker.rerank(user, shown) for user, shown in asked()]
    assert [[item.item_id for item in order] for order in found] == golden["items"]
    np.testing.assert_allclose([[item.score for item in order] for order in found], golden["scores"], atol=1e-5)
    assert reranker.fingerprint == golden["fingerprint"]


@pytest.mark.parametrize("name", NAMES)
def test_a_newer_format_is_refused(name: str, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / name, tmp_path / name)
    path = tmp_path / name / "reranker.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(InvalidDataError) as refusal:
        load(tmp_path / name)
    assert "99" in refusal.value.problem
    assert refusal.value.cure == "upgrade vecrec"
