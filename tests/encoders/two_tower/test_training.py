"""Training repeats itself to the last bit, goes on where it was interrupted, and copes with next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.encoders.two_tower.boards import checkerboard, item, quick, user
from vecrec._internal import batching
from vecrec.data import Dataset, MultiCategorical, Numeric, Schema
from vecrec.encoders import TwoTowerEncoder
from vecrec.errors import InvalidDataError
from vecrec.progress import Step
from vecrec.types import Event, Item, User

ROOT = Path(__file__).resolve().parents[3]


class Interrupted(Exception):  # noqa: N818 - what happened, and no error of anybody's
    """Somebody pressed a key."""


def interrupt_after(steps: int) -> Any:
    """A progress that breaks off after so many steps."""
    seen: list[Step] = []

    def show(step: Step) -> None:
        seen.append(step)
        if len(seen) > steps:
            raise Interrupted

    return show


def test_the_loggers_of_the_application_stay_its_own(tmp_path: Path) -> None:
    """PaddlePaddle gives the root logger a handler when it is imported, and faiss tells how it was built."""
    script = (
        "import logging\n"
        "from tests.encoders.two_tower.boards import checkerboard, quick\n"
        "from vecrec import Recommender\n"
        "from vecrec.metadata_stores import MemoryMetadataStore\n"
        "from vecrec.vector_stores import MilvusVectorStore\n"
        "logging.getLogger().setLevel(logging.INFO)\n"
        "with Recommender(quick(), MilvusVectorStore('a.db'), MemoryMetadataStore(), name='a') as recommender:\n"
        "    recommender.fit(checkerboard())\n"
        "assert logging.getLogger().handlers == [], logging.getLogger().handlers\n"
        "logging.basicConfig(format='mine: %(name)s %(message)s')\n"
        "logging.getLogger('shop').info('open')\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "mine: shop open\n"


def test_the_surroundings_do_not_matter() -> None:
    """Neither what other code drew from the global generators before, nor which encoders were fitted."""
    import paddle

    first = quick(min_steps=30).fit(checkerboard()).fingerprint
    np.random.seed(5)
    paddle.seed(5)
    assert quick(min_steps=30).fit(checkerboard()).fingerprint == first


def test_a_large_log_is_prepared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few users at a time, with the result of all at once."""
    first = quick(min_steps=30).fit(checkerboard()).fingerprint
    monkeypatch.setattr(batching, "EVENTS_AT_A_TIME", 7)
    assert quick(min_steps=30).fit(checkerboard()).fingerprint == first


@pytest.mark.parametrize(
    "settings", [{}, {"hidden": 8}, {"layers": 1, "width": 8}, {"sparse_above": 0}, {"loss": "rating"}]
)
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path: Path, settings: dict[str, Any]) -> None:
    """From its checkpoint, which is gone afterwards; nothing of the first epochs is learnt again."""
    data, whole = checkerboard(), quick(min_steps=80, **settings)
    whole.fit(data)
    part = quick(min_steps=80, **settings)
    part.checkpoint = tmp_path / "new"
    with pytest.raises(Interrupted):
        part.fit(data, progress=interrupt_after(50))
    assert not part.is_fitted
    assert [*tmp_path.glob("new/*")] != []

    again = TwoTowerEncoder(16, settings=part.settings, threads=1, checkpoint=tmp_path / "new")
    steps: list[Step] = []
    again.fit(data, progress=steps.append)
    assert again.fingerprint == whole.fingerprint
    assert [epoch.loss for epoch in again.learning_curve] == [epoch.loss for epoch in whole.learning_curve]
    assert steps[0].done > 40
    assert [*tmp_path.glob("new/*")] == []


def test_a_checkpoint_of_something_else_is_not_taken_up(tmp_path: Path) -> None:
    """Other data, settings or seeds begin anew, and so does a run whose checkpoint is damaged."""
    data = checkerboard()
    interrupted = TwoTowerEncoder(16, settings=quick(min_steps=80).settings, threads=1, checkpoint=tmp_path)
    with pytest.raises(Interrupted):
        interrupted.fit(data, progress=interrupt_after(50))
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for encoder, other in ((quick(min_steps=80, seed=1), data), (quick(min_steps=80), checkerboard(1))):
        clean = encoder.fit(other).fingerprint
        encoder.checkpoint = tmp_path
        file.write_bytes(content)
        assert encoder.fit(other).fingerprint == clean
    file.write_bytes(content[: len(content) // 2])
    assert interrupted.fit(data).fingerprint == quick(min_steps=80).fit(data).fingerprint


def test_training_stops_when_nothing_gets_better() -> None:
    """After ``patience`` epochs without a better metric, and the best weights are the ones kept."""
    encoder = quick(epochs=40, min_steps=400, patience=2).fit(checkerboard())
    curve = encoder.learning_curve
    best = max(range(len(curve)), key=lambda n: (curve[n].recall, curve[n].reciprocal_rank, -n))
    assert len(curve) == best + 1 + 2 < 40


def test_without_a_validation_part_everything_is_learnt() -> None:
    """All epochs run, and the last weights are kept."""
    curve = quick(validation_users=0, min_steps=40).fit(checkerboard()).learning_curve
    assert len(curve) == 4
    assert all(epoch.recall is None for epoch in curve)


def test_a_validation_part_may_be_some_of_the_users() -> None:
    """Chosen by chance, the same for the same seed."""
    encoders = [quick(validation_users=10, min_steps=20).fit(checkerboard()) for _ in range(2)]
    assert encoders[0].fingerprint == encoders[1].fingerprint
    assert all(((epoch.recall or 0) * 10) % 1 == pytest.approx(0) for epoch in encoders[0].learning_curve)


@pytest.mark.parametrize(
    ("events", "items", "users"),
    [
        ([(1, 1)], [], []),
        ([(1, 1), (1, 1)], [1], [1]),
        ([(1, 1), (2, 2)], [1, 2, 3], []),
        ([(1, 1), (1, 2), (1, 3)], [], [1, 2]),
        ([(1, n) for n in range(300)], [500], [2]),
        ([(n, 1) for n in range(50)], [], []),
    ],
)
@pytest.mark.parametrize("loss", ["softmax", "rating"])
def test_next_to_nothing_is_enough(
    events: list[tuple[int, int]], items: list[int], users: list[int], loss: str
) -> None:
    """One event, one item, one user, users and items without events: finite vectors for all and for others."""
    log = [Event(user_id, item_id, float(n), 3.0) for n, (user_id, item_id) in enumerate(events)]
    data = Dataset(log, [*map(Item, items)] or None, [*map(User, users)] or None)
    encoder = quick(min_steps=8, loss=loss).fit(data)
    assert np.isfinite(encoder.encode_items([*data.items(), Item(), Item("new")])).all()
    assert np.isfinite(encoder.encode_users([*data.users(history=True), User(), User(None, {}, ["new"])])).all()


@pytest.mark.parametrize(
    "schema",
    [
        Schema(),
        Schema(items=(Numeric("year"),)),
        Schema(users=(Numeric("age"),)),
        Schema(items=(MultiCategorical("tags"),)),
    ],
)
def test_any_features_will_do(schema: Schema) -> None:
    """None at all, numbers only, those of one side, a list that nobody fills."""
    board = checkerboard()
    data = Dataset([*board.events()], [*map(item, range(40))], [*map(user, range(60))], schema)
    encoder = quick(min_steps=8).fit(data)
    assert np.isfinite(encoder.encode_items([*data.items(), Item()])).all()
    assert np.isfinite(encoder.encode_users([*data.users(history=True), User()])).all()


def test_the_rating_loss_predicts_ratings() -> None:
    """The inner product is 5 times the cosine, lies near the ratings, and beats their mean on events not seen."""
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(60) for i in rng.permutation(40)[:25].tolist()]
    rating = {pair: 5.0 if (pair[0] + pair[1]) % 2 == 0 else 1.0 for pair in pairs}
    seen, unseen = [p for p in pairs if rng.random() < 0.9], pairs
    unseen = sorted(set(unseen) - set(seen))
    data = Dataset([Event(u, i, None, rating[u, i]) for u, i in seen], [*map(item, range(40))], [*map(user, range(60))])
    encoder = quick(loss="rating", min_steps=300).fit(data)
    users, items = encoder.encode_users([*data.users()]), encoder.encode_items([*data.items()])
    np.testing.assert_allclose(np.linalg.norm(users, axis=1) * np.linalg.norm(items[0]), 5, rtol=1e-5)
    predicted = np.array([users[u] @ items[i] for u, i in unseen])
    wanted = np.array([rating[pair] for pair in unseen])
    assert np.sqrt(((predicted - wanted) ** 2).mean()) < 0.8 * wanted.std()
    assert encoder.learning_curve[-1].rmse is not None


@pytest.mark.parametrize("ratings", [None, 0.0])
def test_the_rating_loss_needs_ratings(ratings: float | None) -> None:
    """Without any, or with nothing but zeros, it says so."""
    data = Dataset([Event(1, 1, 1.0, ratings), Event(1, 2, 2.0, ratings)])
    with pytest.raises(InvalidDataError, match="softmax"):
        quick(loss="rating").fit(data)


def test_big_tables_learn_as_well_as_small_ones() -> None:
    """Sparse gradients reach what dense ones reach."""
    curve = quick(sparse_above=0).fit(checkerboard()).learning_curve
    assert max(epoch.recall or 0 for epoch in curve) > 0.8


def test_memory_is_bounded() -> None:
    """With 20,000 items a step holds no array of items by events: 8,192 x 20,000 numbers would take 650 MB."""
    rng = np.random.default_rng(0)
    count = 20_000
    columns = {"user_id": np.repeat(np.arange(count // 20), 20), "item_id": rng.permutation(count)}
    data = Dataset(columns)
    encoder = quick(16, epochs=1, min_steps=1, batch=8192, validation_users=100)
    tracemalloc.start()
    encoder.fit(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
