"""A log without times, sorted by item as listening logs are: it is read as sets, and beats popularity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.encoders.two_tower.boards import quick
from vecrec import Event, Item, User
from vecrec.data import Dataset, splits
from vecrec.encoders import CombinedEncoder, ContentEncoder, EASEEncoder, LinearSequenceEncoder
from vecrec.encoders.base import Encoder
from vecrec.evaluation import evaluate

TASTES, OF_TASTE, LISTENERS = 5, 16, 240

# Sets are read whole, whatever the number of latest events that is set.
MAKERS: dict[str, Callable[[], Encoder]] = {
    "content": lambda: ContentEncoder(dim=64),
    "ease": lambda: EASEEncoder(dim=32, settings={"ridge": 2.0, "history": 2}),
    "linear sequence": lambda: LinearSequenceEncoder(dim=32, settings={"window": 2}),
    "plain closed form": lambda: LinearSequenceEncoder(dim=32, settings={"rounds": 0}),
    "towers of sums": lambda: quick(32, min_steps=300),
    "recurrent towers": lambda: quick(32, min_steps=300, layers=1, width=16, decays=(0.0,)),
    "combined": lambda: CombinedEncoder([EASEEncoder(dim=16), LinearSequenceEncoder(dim=16)], weights=[1.0, 1.0]),
}


def listens(order: str) -> Dataset:
    """Artists of five tastes, of which some are known to many; each listener hears eight of one taste, some often."""
    rng = np.random.default_rng(0)
    chances = 1.0 / np.arange(1, OF_TASTE + 1)
    rows = []
    for user in range(LISTENERS):
        own = rng.choice(OF_TASTE, 8, replace=False, p=chances / chances.sum()) * TASTES + user % TASTES
        rows += [(user, int(item)) for item in own for _ in range(1 + int(rng.integers(3)))]
    rows.sort(key=lambda row: (row[1], row[0]) if order == "by item" else (row[0], -row[1]))
    items = [Item(item, {"genre": f"genre {item % TASTES}"}) for item in range(TASTES * OF_TASTE)]
    return Dataset({"user_id": [row[0] for row in rows], "item_id": [row[1] for row in rows]}, items)


@pytest.mark.parametrize("name", MAKERS)
def test_a_log_sorted_by_item_beats_popularity(name: str) -> None:
    """What was read as an order before found a tenth of what popularity finds."""
    split = splits.leave_last_out(listens("by item"))
    found = evaluate(MAKERS[name]().fit(split.before_test), split, k=10)
    assert found["ndcg@10"] > 1.5 * found.baselines[0]["ndcg@10"]


@pytest.mark.parametrize("name", MAKERS)
def test_the_parts_of_a_set_add_up_to_its_vector(name: str) -> None:
    """Each different item has one part, and what is called exact leaves nothing."""
    encoder = MAKERS[name]().fit(listens("by item"))
    user = User(None, {}, [3, 8, 13, 3, "unknown", 18])
    found = encoder.explain_user(user)
    np.testing.assert_allclose(found.total, encoder.encode_users([user])[0], atol=1e-5)
    if found.method == "exact":
        assert np.abs(found.residual).max() < 1e-4 * max(1.0, float(np.abs(found.vectors).max()))
    assert any(part.kind == "event" for part in found.parts)


@pytest.mark.parametrize("name", ["content", "ease", "linear sequence", "plain closed form", "combined"])
def test_rows_in_any_order_make_the_same_lists(name: str) -> None:
    one, other = (MAKERS[name]().fit(listens(order)) for order in ("by item", "by user"))
    assert one.fingerprint == other.fingerprint
    histories = [[Event(None, item, float(at)) for at, item in enumerate(past)] for past in ([3, 8, 13], [13, 3, 8])]
    left, right = (
        encoder.encode_users([User(None, {}, history)]) @ encoder.encode_items([Item(n) for n in range(80)]).T
        for encoder, history in zip((one, other), histories)
    )
    assert np.argsort(-left[0], kind="stable").tolist() == np.argsort(-right[0], kind="stable").tolist()
