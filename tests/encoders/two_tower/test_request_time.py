"""Towers read how long a user paused before the request, where they could learn it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.encoders.two_tower.boards import checkerboard, quick
from vecrec.data import Dataset, splits
from vecrec.encoders import TwoTowerEncoder
from vecrec.encoders.two_tower.time_gaps import STEPS, UNKNOWN, history_of, steps_like
from vecrec.evaluation import from_split
from vecrec.types import Event, User

SOON, LATER = 5.0, 90_000.0


def returning(seed: int = 0) -> Dataset:
    """Who goes on at once stays in one half of the catalogue; who comes back after a day goes to the other one."""
    rng = np.random.default_rng(seed)
    events = []
    for number in range(120):
        time, half, left = 0.0, int(rng.integers(2)), [rng.permutation(20).tolist(), rng.permutation(20).tolist()]
        while left[half]:
            events.append(Event(number, 20 * half + left[half].pop(), time))
            pause = float(rng.choice([SOON, LATER]))
            time += pause
            half = 1 - half if pause == LATER else half
    return Dataset(events)


def lean(encoder: TwoTowerEncoder, at: float | None, last: float | None = 1e6) -> float:
    """How much higher the half of the last event scores than the other one, for a request of a time."""
    items = returning()
    upper = np.array([int(str(item_id)) >= 20 for item_id in items.item_ids])
    past = [Event(None, 21, None if last is None else last - 10), Event(None, 25, last)]
    scores = encoder.encode_items([*items.items()]) @ encoder.encode_users([User(None, {}, past, at)])[0]
    return float(scores[upper].mean() - scores[~upper].mean())


@pytest.fixture(scope="module")
def fitted() -> TwoTowerEncoder:
    return quick(user_ids=False, min_steps=1500).fit(returning())


def test_the_pause_decides(fitted: TwoTowerEncoder) -> None:
    assert lean(fitted, 1e6 + SOON) > lean(fitted, None) > lean(fitted, 1e6 + LATER)
    assert lean(fitted, 1e6 + SOON) > 0 > lean(fitted, 1e6 + LATER)


def test_a_pause_that_nobody_made_counts_as_the_nearest_one(fitted: TwoTowerEncoder) -> None:
    """Or a clock that is behind the last event. Of years the data of some days say nothing: they count as unknown."""
    assert lean(fitted, 1e6 + 1.5 * LATER) == lean(fitted, 1e6 + LATER) == lean(fitted, 1e6 + LATER / 9)
    assert lean(fitted, 1e6 + 1e9) == lean(fitted, None)
    assert lean(fitted, 1e6 - 1e3) == lean(fitted, 1e6 + SOON)
    assert lean(fitted, 1e6 + LATER, last=None) == lean(fitted, None)


def test_it_is_saved(fitted: TwoTowerEncoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = TwoTowerEncoder.load(tmp_path)
    assert loaded.fingerprint == fitted.fingerprint
    for at in (None, 1e6 + SOON, 1e6 + LATER):
        assert lean(loaded, at) == lean(fitted, at)


def test_parts_add_up_at_any_time(fitted: TwoTowerEncoder) -> None:
    for at in (None, 1e6 + LATER):
        user = User(None, {}, [Event(None, 21, 1e6 - 10), Event(None, 25, 1e6)], at)
        found = fitted.explain_user(user)
        assert found.method == "exact"
        np.testing.assert_allclose(found.total, fitted.encode_users([user])[0], atol=1e-4)


@pytest.mark.parametrize("settings", [{"unknown_pause": 1.0}, {"horizon": 3}])
def test_it_need_not_be_read(settings: dict[str, Any]) -> None:
    encoder = quick(user_ids=False, **settings).fit(returning())
    assert lean(encoder, 1e6 + SOON) == lean(encoder, None) == lean(encoder, 1e6 + LATER)


def test_without_times_there_is_nothing_to_learn() -> None:
    """What is told of the time later is not read then."""
    data = checkerboard()
    timeless = Dataset([Event(e.user_id, e.item_id) for e in data.events()], order="rows")
    encoder = quick().fit(timeless)
    users = [User(None, {}, [Event(None, 3, 5.0)], at) for at in (None, 6.0, 1e9)]
    vectors = encoder.encode_users(users)
    assert (vectors == vectors[0]).all()


def test_steps_with_too_few_examples_are_those_of_their_neighbours() -> None:
    steps = np.repeat([UNKNOWN, 1, 4, 9, 20], [500, 100, 99, 100, 300])
    assert steps_like(steps).tolist() == [0, *[1] * 5, *[9] * 9, *[20] * 7, *[0] * (STEPS - 22)]
    assert steps_like(np.repeat(STEPS - 1, 100))[-1] == STEPS - 1
    assert not steps_like(np.zeros(1000, np.int64)).any()
    assert history_of(np.array([5, 1]), np.array([0.0, 3.0]), 7.0).pause == 4  # since the last item that is known


def test_a_task_may_tell_the_time() -> None:
    """Of each user's first target; without times nobody is told."""
    data = returning()
    split = splits.leave_last_out(data)
    task, blind = from_split(split, timed=True), from_split(split)
    codes = task.users.tolist()
    assert [user.at for user in task.visitors(codes)] == [
        data.user(code, history=True).history[-1].time for code in codes
    ]
    assert {user.at for user in blind.visitors(codes)} == {None}
    timeless = splits.leave_last_out(Dataset([Event(e.user_id, e.item_id) for e in data.events()], order="rows"))
    assert {user.at for user in from_split(timeless, timed=True).visitors(codes)} == {None}
