"""The towers in NumPy are the towers in PaddlePaddle, and the network sees what it should."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.encoders.two_tower.boards import N_USERS, QUICK, checkerboard, quick
from vecrec.data import Dataset, Vocabulary
from vecrec.encoders.two_tower.inference import Towers, mean_fading
from vecrec.encoders.two_tower.network import folded
from vecrec.encoders.two_tower.objective import Objective
from vecrec.encoders.two_tower.sampling import PLACES, Histories, Sampler
from vecrec.encoders.two_tower.settings import ResolvedSettings
from vecrec.encoders.two_tower.time_gaps import START_TOKEN, STEPS, UNKNOWN, History, set_of, with_start_token
from vecrec.encoders.two_tower.training_data import TrainingData, prepare
from vecrec.types import Event, Item, User

CLOSE = 1e-5


def shaken(training_data: TrainingData, settings: ResolvedSettings, dim: int = 12) -> Objective:
    """A network whose weights are all random, those that begin as zeros included."""
    rng = np.random.default_rng(0)
    objective = Objective(training_data, settings, dim, rng)
    weights = {
        name: rng.standard_normal(w.shape).astype(np.float32) * 0.3 for name, w in objective.network.weights().items()
    }
    if "events" in weights:
        weights["events"][0] = 0
    objective.network.set_weights(weights)
    return objective


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden": 8},
        {"decays": (0.0, 0.7)},
        {"user_ids": False},
        {"history": 5},
        {"positions": 0},
        {"positions": 4, "decays": (0.0, 0.7)},
        {"positions": 4, "layers": 1, "width": 6, "decays": ()},
        {"layers": 1, "width": 6},
        {"layers": 2, "width": 5, "hidden": 8, "history": 7},
        {"layers": 3, "width": 4, "decays": ()},
        {"unknown_pause": 1.0},
        {"positions": 0, "decays": (0.0, 0.7), "hidden": 0},
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_numpy_gives_what_paddlepaddle_gives(changes: dict[str, Any], ordered: bool) -> None:
    """Both towers, for every user and item, to 1e-5."""
    settings = ResolvedSettings(**{**QUICK, **changes})
    training_data = prepare(checkerboard(), settings, 0)
    training_data = replace(
        training_data,
        histories=replace(training_data.histories, ordered=ordered),
        pauses=np.roll(np.arange(STEPS), 1),
    )
    objective = shaken(training_data, settings)
    weights = folded(objective.network.weights())
    towers = Towers(weights, settings, ordered=ordered, pauses=training_data.pauses)
    rows = np.arange(training_data.preprocessor.items.size)
    found = towers.items(rows, training_data.item_features)
    np.testing.assert_allclose(found, objective.items(rows).numpy(), atol=CLOSE, rtol=CLOSE)

    rng = np.random.default_rng(1)
    past = [
        training_data.histories.items[a:b]
        for a, b in zip(training_data.histories.offsets, training_data.histories.offsets[1:])
    ]
    histories = [
        History(items, rng.integers(0, STEPS, len(items)), int(rng.integers(0, STEPS)))
        for items in [*past[:-1], past[-1][:0]]
    ]
    read, time_gaps = np.zeros((21, N_USERS), np.int64), np.zeros((21, N_USERS), np.int64)
    for number, history in enumerate(histories):
        latest = with_start_token(
            history, settings.history, known=bool(training_data.users[number] > Vocabulary.UNKNOWN)
        )
        read[20 - len(latest.items) : 20, number] = latest.items
        time_gaps[20 - len(latest.items) : 20, number], time_gaps[20, number] = latest.time_gaps, latest.pause
    everybody = np.arange(N_USERS)
    wanted = objective.users(everybody, read, time_gaps).numpy()
    found = towers.users(training_data.users, training_data.profiles.rows(everybody), histories)
    np.testing.assert_allclose(found, wanted, atol=CLOSE, rtol=CLOSE)


def test_an_event_of_a_set_counts_as_it_does_on_average_over_all_orders() -> None:
    decays, vectors = (0.0, 0.5, 0.9), np.random.default_rng(0).standard_normal((4, 3))
    orders = [*permutations(range(4))]
    found = mean_fading(decays, np.array([0, 4]))
    for block, decay in enumerate(decays):
        sums = [sum(decay**age * vectors[each] for age, each in enumerate(order)) for order in orders]
        np.testing.assert_allclose(found[1, block] * vectors.sum(axis=0), np.mean(sums, axis=0), atol=1e-6)
    assert found[0].tolist() == [1, 1, 1]


def test_a_set_is_read_in_an_order_of_its_items_alone() -> None:
    """Repeats and unknown items are left out, and neither the order of the rows nor ascending order is kept."""
    rows = np.random.default_rng(0).permutation(np.arange(2, 60))
    one, other = set_of(rows), set_of(np.concatenate([rows[::-1], rows[:9], [0, 1]]))
    assert one.items.tolist() == other.items.tolist()
    assert sorted(one.items.tolist()) == [*range(2, 60)] != one.items.tolist()
    assert (other.time_gaps == UNKNOWN).all()


def test_without_an_order_training_knows_neither_repeats_nor_times() -> None:
    """One time for all is none, and a user's repeats are one event."""
    events = [Event(number, item_id, 5.0) for number in range(9) for item_id in (1, 2, 3, 4, 5, 5, 1)]
    found = prepare(Dataset(events), ResolvedSettings(**QUICK), 0)
    assert not found.histories.ordered
    assert (found.histories.time_gaps == UNKNOWN).all()
    assert found.validation is not None
    assert len(found.histories.items) + len(found.validation.users) == 9 * 5
    assert all(
        target not in history.items for target, history in zip(found.validation.targets, found.validation.histories)
    )


def test_a_history_has_a_beginning_where_it_is_whole() -> None:
    """Not where its first events are left out, nor where somebody known comes without it."""
    history = History(np.array([5, 7, 9]), np.array([UNKNOWN, 3, 4]))
    for longest, known, rows in [
        (4, True, [START_TOKEN, 5, 7, 9]),
        (3, False, [START_TOKEN, 5, 7, 9]),
        (2, False, [7, 9]),
        (0, False, []),
    ]:
        found = with_start_token(history, longest, known=known)
        assert found.items.tolist() == rows
        assert len(found.time_gaps) == len(rows)
    nothing = History(history.items[:0], history.time_gaps[:0])
    assert with_start_token(nothing, 3, known=False).items.tolist() == [START_TOKEN]
    assert with_start_token(nothing, 3, known=True).items.tolist() == []


@pytest.mark.parametrize("changes", [{}, {"layers": 1, "width": 8, "decays": ()}])
def test_who_begins_gets_what_people_begin_with(changes: dict[str, Any]) -> None:
    """Everybody's first event is of one item, which is no more popular than others and comes at no other time."""
    rng = np.random.default_rng(0)
    events = []
    for number in range(80):
        start = int(rng.integers(1, 20))
        later = [1 + (start + step) % 20 for step in range(12)]
        events += [Event(number, item_id, float(time)) for time, item_id in enumerate([0, *later])]
    data = Dataset(events, [Item(number) for number in range(21)], [User(number) for number in range(80)])
    fitted = quick(user_ids=False, min_steps=300, **changes).fit(data)
    items = fitted.encode_items([*data.items()])
    beginner, other = fitted.encode_users([User("new"), User("new", history=[0, 3])])
    assert np.argmax(items @ beginner) == 0
    assert np.argmax(items @ other) != 0


def test_the_first_events_are_told_apart_by_their_number() -> None:
    """Everybody's fourth event is of one item, all others by chance; what came last, all that is read, is no help."""
    rng = np.random.default_rng(0)
    events = []
    for number in range(120):
        chosen = 1 + rng.permutation(20)[:12]
        chosen[3] = 0
        events += [Event(number, int(item_id), float(time)) for time, item_id in enumerate(chosen)]
    data = Dataset(events, [Item(number) for number in range(21)], [User(number) for number in range(120)])
    fitted = quick(user_ids=False, min_steps=300, decays=(0.0,), positions=6).fit(data)
    items = fitted.encode_items([*data.items()])
    for length in range(1, 6):
        users = [User("new", history=[1 + (start + step) % 20 for step in range(length)]) for start in range(20)]
        found = np.argmax(fitted.encode_users(users) @ items.T, axis=1)
        assert (found == 0).tolist() == [length == 3] * 20


def test_one_user_takes_no_time() -> None:
    """A forward pass of one user with a long history, from the `User` to the vector, takes under a millisecond."""
    encoder, data = quick(256, epochs=1, min_steps=1).fit(checkerboard()), checkerboard()
    user = data.user(3, history=True)
    user = type(user)(user.id, user.features, [*user.history] * 16)
    took = []
    for _ in range(50):
        began = time.process_time()
        encoder.encode_users([user])
        took.append(time.process_time() - began)
    assert min(took) < 1e-3


def histories(*lengths: int) -> Histories:
    """Users with so many events each, no two events of the same item."""
    events = sum(lengths)
    return Histories(np.arange(events) + 2, None, np.arange(events) % STEPS, np.concatenate(([0], np.cumsum(lengths))))


@pytest.mark.parametrize("lengths", [(1,), (0, 3, 0, 1), (PLACES,), (PLACES + 1, 2), (5 * PLACES + 7, PLACES - 1, 40)])
@pytest.mark.parametrize("batch", [1, 100, 10_000])
def test_every_event_is_predicted_once_from_what_came_before(lengths: tuple[int, ...], batch: int) -> None:
    """Each event is a target once an epoch, and what is read before it is the user's own past, in order."""
    decays = (0.0, 0.9)
    sampler = Sampler(histories(*lengths), batch, decays)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    first = np.concatenate(([0], np.cumsum(lengths)))[:-1]
    seen: list[int] = []
    for piece in sampler.epoch(np.random.default_rng(0)):
        for column, user in enumerate(piece.users):
            for place in np.flatnonzero(piece.targets[:, column]):
                target = piece.targets[place, column] - 2
                seen.append(int(target))
                moment = len(piece.read) - len(piece.targets) + place
                everything = _real(piece.read[:moment, column])
                past = everything[everything != START_TOKEN] - 2
                assert owner[target] == user
                assert piece.time_gaps[moment, column] == target % STEPS
                assert past.tolist() == list(range(target - len(past), target))
                assert len(past) == target - first[user] or len(past) >= 60
                begins = np.flatnonzero(everything == START_TOKEN).tolist()
                assert begins == ([0] if len(past) == target - first[user] else [])
    assert sorted(seen) == list(range(sum(lengths)))


def test_with_a_horizon_later_events_are_predicted() -> None:
    """Up to some events later, one event later on average, of the same user; none is where nothing comes so late."""
    lengths = (40, 5, 90)
    sampler = Sampler(histories(*lengths), 100, (0.9,), horizon=2)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    ahead: list[int] = []
    missing = 0
    for epoch in range(20):
        for piece in sampler.epoch(np.random.default_rng(epoch)):
            # The item read at a place is the one that would be predicted without a horizon.
            following = piece.read[len(piece.read) - len(piece.targets) :] - 2
            targets = piece.targets - 2
            there = (following >= 0) & (targets >= 0)
            assert (owner[following[there]] == owner[targets[there]]).all()
            ahead += (targets[there] - following[there]).tolist()
            missing += int(((following >= 0) & (targets < 0)).sum())
    assert min(ahead) == 0
    assert 0.9 < np.mean(ahead) < 1.05  # a little under one, since the end of a history cuts long ones off
    assert 0 < missing < 0.05 * len(ahead)


def test_histories_of_unknown_order_are_read_in_another_order_each_epoch() -> None:
    """Every event is predicted once an epoch, from other events of its user each time; the same for the same seed."""
    given = replace(histories(6, 9), ordered=False)
    sampler = Sampler(given, 100, (0.9,))
    epochs = [[b.targets.T.tolist() for b in sampler.epoch(np.random.default_rng(seed))] for seed in (0, 1, 0)]
    assert epochs[0] == epochs[2] != epochs[1]
    for found in epochs:
        rows = sorted([sorted(filter(None, user)) for batch in found for user in batch])
        assert rows == [[*range(2, 8)], [*range(8, 17)]]


@pytest.mark.parametrize("most", [1, 100, 10_000])
def test_an_epoch_may_be_of_some_events(most: int) -> None:
    """Whole pieces, other ones each epoch, until every event was there; an epoch is as long as it is said to be."""
    lengths = (*range(1, 40), 2 * PLACES)
    sampler = Sampler(histories(*lengths), 50, (0.5,), most=most)
    epochs = [[*sampler.epoch(np.random.default_rng(seed))] for seed in range(400)]
    told = [sum(int((batch.targets > 0).sum()) for batch in epoch) for epoch in epochs]
    assert max(told) <= max(most, PLACES)
    assert most == 1 or np.median(told) > 0.5 * min(most, sum(lengths))
    assert abs(len(epochs[0]) - sampler.steps) <= 2
    if most > 1:
        seen = {int(row) for epoch in epochs for batch in epoch for row in batch.targets.ravel() if row}
        assert len(seen) == sum(lengths)


def test_an_epoch_is_another_order_each_time() -> None:
    """The pieces come in random order, the same for the same seed."""
    sampler = Sampler(histories(*range(1, 90)), 200, (0.5,))
    orders = [[tuple(b.users) for b in sampler.epoch(np.random.default_rng(seed))] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert abs(len(orders[2]) - sampler.steps) <= 2


def _real(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[rows > 0]
