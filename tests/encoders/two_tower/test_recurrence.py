"""The layers that read a history event by event: formulas, gradients written by hand, and what they are for."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from numpy.typing import NDArray

from tests.encoders.two_tower.boards import checkerboard, quick, walk
from vecrec.data import Dataset
from vecrec.encoders.two_tower.time_gaps import STEPS, UNKNOWN, history_of, time_gap_steps
from vecrec.learning.operators import gated_recurrence, readout
from vecrec.types import Event, User

Array = NDArray[np.float32]

READING: dict[str, Any] = {"layers": 2, "width": 16, "decays": (), "unknown_pause": 1.0}


def random(*shape: int, seed: int = 0) -> Array:
    """Numbers to compute with."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check_gradients(operator: Any, inputs: list[Array], pull: Array, *given: Any, **named: Any) -> None:
    """Against differences, of each input."""
    tensors = [paddle.to_tensor(array, stop_gradient=False) for array in inputs]
    found = operator(*tensors, *given, **named)
    (found * paddle.to_tensor(pull.reshape(found.shape))).sum().backward()
    for place, parameter in enumerate(tensors):
        wanted = np.empty_like(inputs[place])
        for index in np.ndindex(wanted.shape):
            ends = []
            for step in (1e-2, -1e-2):
                moved = [array.copy() for array in inputs]
                moved[place][index] += np.float32(step)
                out = operator(*map(paddle.to_tensor, moved), *given, **named).numpy().astype(np.float64)
                ends.append(float((out * pull.reshape(out.shape)).sum()))
            wanted[index] = (ends[0] - ends[1]) / 2e-2
        np.testing.assert_allclose(parameter.grad.numpy(), wanted, atol=3e-2, rtol=1e-2)


def layer(width: int) -> list[Array]:
    """Random weights."""
    return [random(width, 3 * width, seed=1), random(width, seed=2), random(width, width, seed=3)]


def test_the_recurrence_is_its_formula() -> None:
    """Step by step, by the book; padding leaves the state as it is."""
    events, (inward, bias, outward) = random(6, 2, 3), layer(3)
    padding = np.zeros((6, 2), bool)
    padding[:2, 0] = padding[3, 1] = True
    found = gated_recurrence(
        *map(paddle.to_tensor, (events, inward, bias, outward)), padding=padding, mask=None
    ).numpy()
    for user in range(2):
        state = np.zeros(3)
        for moment in range(6):
            event = events[moment, user].astype(np.float64)
            keep, value, gate = np.split(event / np.sqrt((event**2).mean() + 1e-6) @ inward, 3)
            keep = 1 / (1 + np.exp(-keep - bias))
            if not padding[moment, user]:
                state = keep * state + (1 - keep) * value
            wanted = event + (state * gate / (1 + np.exp(-gate))) @ outward
            np.testing.assert_allclose(found[moment, user], wanted, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_the_recurrence_has_the_right_gradients(masked: bool) -> None:
    padding = np.zeros((4, 3), bool)
    padding[0, 1] = padding[2:, 2] = True
    mask = (random(4, 3, 3, seed=5) > 0).astype(np.float32) * 2 if masked else None
    check_gradients(gated_recurrence, [random(4, 3, 3), *layer(3)], random(4, 3, 3, seed=4), padding=padding, mask=mask)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("places", [1, 3, 5])
def test_the_readout_has_the_right_gradients(places: int, masked: bool) -> None:
    seen = np.ones((5, 2), bool)
    seen[:3, 1] = False
    mask = (random(places, 2, 3, seed=5) > 0).astype(np.float32) * 2 if masked else None
    pull = random(places * 2, 4, seed=4)
    check_gradients(readout, [random(5, 2, 3), random(3, 4, seed=1)], pull, seen, places=places, mask=mask)


def test_the_readout_sees_what_came_before_a_place_and_nothing_else() -> None:
    read, outward = random(4, 1, 3), np.eye(3, dtype=np.float32)
    seen = np.array([[False], [True], [True], [True]])
    found = readout(paddle.to_tensor(read), paddle.to_tensor(outward), seen, places=4, mask=None).numpy()
    np.testing.assert_array_equal(found[:2], 0)  # nothing came before the first place, and padding before the second
    scaled = read[:, 0] / np.sqrt((read[:, 0] ** 2).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(found[2:], scaled[1:3], atol=1e-4)


def test_pauses_are_told_apart_by_their_order_of_magnitude() -> None:
    times = np.array([100.0, 100, 101, 104, 111, 111.5, 100, np.nan, 200, 200 + 2**40])
    assert time_gap_steps(times).tolist() == [UNKNOWN, 1, 2, 3, 4, 1, 1, UNKNOWN, UNKNOWN, STEPS - 1]
    assert time_gap_steps(np.zeros(0)).tolist() == []


def test_the_pause_before_an_unknown_item_counts_for_the_next_one() -> None:
    history = history_of(np.array([5, 1, 7]), np.array([0.0, 3.0, 7.0]))
    assert history.items.tolist() == [5, 7]
    assert history.time_gaps.tolist() == [UNKNOWN, 4]


def test_the_pause_before_a_request_needs_no_gaps() -> None:
    """Towers without recurrent layers read only the pause, which is the same."""
    for items, times in (([5, 1, 7], [0.0, 3.0, 7.0]), ([5, 7], [1.0, np.nan]), ([1], [2.0]), ([], [])):
        rows, moments = np.array(items, np.int64), np.array(times, np.float64)
        whole, short = (history_of(rows, moments, 40.0, gaps=gaps) for gaps in (True, False))
        assert short.pause == whole.pause
        assert short.items.tolist() == whole.items.tolist()
        assert short.time_gaps.tolist() == [UNKNOWN] * len(whole.items)


def test_it_learns_an_order_of_events() -> None:
    """Without decaying sums, without ids: the last event says what comes next."""
    fitted = quick(user_ids=False, min_steps=1000, **READING).fit(checkerboard())
    items = fitted.encode_items([*checkerboard().items()])
    hits = 0
    for number in range(20):
        history = walk(number, number * 7, 8)
        scores = items @ fitted.encode_users([User(None, {}, history)])[0]
        scores[history] = -np.inf
        hits += int(np.argmax(scores) == (history[-1] + 2) % 40)
    assert hits >= 10  # by chance one or two


def pausing(seed: int = 0) -> Dataset:
    """After an event that a pause came before, people change to the other half of the catalogue; else they stay."""
    rng = np.random.default_rng(seed)
    events = []
    for number in range(80):
        time, half, left = 0.0, int(rng.integers(2)), [rng.permutation(20).tolist(), rng.permutation(20).tolist()]
        while left[half]:
            pause = float(rng.choice([1.0, 3600.0]))
            time += pause
            events.append(Event(number, 20 * half + left[half].pop(), time))
            half = 1 - half if pause > 1 else half
    return Dataset(events)


def test_it_reads_the_time_between_events() -> None:
    """Two histories of the same items, with other time gaps: the half that comes next is another one."""
    data = pausing()
    fitted = quick(user_ids=False, min_steps=1000, **READING).fit(data)
    vectors = fitted.encode_items([*data.items()])
    upper = np.array([int(str(item_id)) >= 20 for item_id in data.item_ids])

    def lean(pause: float | None) -> float:
        """How much higher the upper half scores than the lower one after an event of the upper half."""
        past = [Event(None, 1, 0.0), Event(None, 3, 1.0), Event(None, 25, None if pause is None else 1.0 + pause)]
        scores = vectors @ fitted.encode_users([User(None, {}, past)])[0]
        return float(scores[upper].mean() - scores[~upper].mean())

    assert lean(1.0) > lean(None) > lean(3600.0)
    assert lean(1.0) > 0 > lean(3600.0)


def drifting() -> Dataset:
    """Everybody goes up one step after the other, from anywhere."""
    rng = np.random.default_rng(0)
    events = [
        Event(number, start + step, float(step))
        for number, start in enumerate(rng.integers(0, 40, 120).tolist())
        for step in range(20)
    ]
    return Dataset(events)


def test_a_horizon_looks_further_ahead() -> None:
    """What comes some events later gains on what comes next."""
    data = drifting()
    items = [int(str(item_id)) for item_id in data.item_ids]

    def lead(horizon: int) -> float:
        fitted = quick(user_ids=False, min_steps=300, horizon=horizon).fit(data)
        history = list(range(15, 25))
        scores = fitted.encode_items([*data.items()]) @ fitted.encode_users([User(None, {}, history)])[0]
        return float(np.mean([scores[items.index(number)] for number in range(27, 33)]) - scores[items.index(25)])

    assert lead(6) > lead(1)
