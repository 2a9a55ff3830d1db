"""The sums, the algebra and the fit of the linear sequence encoder, each against a slow and plain computation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec._internal import batching
from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric
from vecrec.encoders.linear_sequence import closed_form, least_squares
from vecrec.encoders.linear_sequence.closed_form import (
    SET_POWER,
    ClosedForm,
    feature_products,
    next_sums,
    set_products,
)
from vecrec.encoders.linear_sequence.least_squares import Positions, fit_items, read_positions, read_sets
from vecrec.encoders.linear_sequence.settings import LinearSequenceSettings, Shape
from vecrec.feedback import FeedbackPolicy
from vecrec.learning.algebra import Factor, leading_vectors
from vecrec.learning.events import event_weights
from vecrec.learning.feature_map import FeatureMap
from vecrec.learning.sets import UserSets
from vecrec.records import JSON, Record

N_ITEMS, DECAYS = 7, (0.0, 0.5, 0.8)


def sequences(seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Items, how many events come before each one, and where each user's begin."""
    rng = np.random.default_rng(seed)
    lengths = np.array([5, 1, 0, 9, 3])
    ages = np.concatenate([np.arange(length) for length in lengths])
    return rng.integers(0, N_ITEMS, lengths.sum()), ages, np.concatenate(([0], np.cumsum(lengths)))


def features(codes: NDArray[np.int64], offsets: NDArray[np.int64], beyond: int = 0) -> list[NDArray[np.float64]]:
    """What is known in each block before each event, and for some steps after the last one, one row a position."""
    blocks = []
    for decay in DECAYS:
        rows = []
        for start, end in pairwise(offsets.tolist()):
            state = np.zeros(N_ITEMS)
            for code in [*codes[start:end].tolist(), *[-1] * (beyond if end > start else 0)]:
                rows.append(state.copy())
                state *= decay
                if code >= 0:
                    state[code] += 1
        blocks.append(np.array(rows))
    return blocks


def test_what_comes_next_is_summed_over_all_positions() -> None:
    codes, ages, offsets = sequences()
    found = next_sums(codes, ages, N_ITEMS, DECAYS, 1000)
    following = np.eye(N_ITEMS)[codes]
    for block, total in zip(features(codes, offsets), found):
        # What has faded to .002 is cut off.
        np.testing.assert_allclose(total, block.T @ following, atol=0.005)


def test_what_comes_next_counts_by_its_weight() -> None:
    codes, ages, offsets = sequences()
    weights = np.random.default_rng(5).uniform(0, 3, len(codes)).astype(np.float32)
    found = next_sums(codes, ages, N_ITEMS, DECAYS, 1000, weights=weights)
    following = np.eye(N_ITEMS)[codes] * weights[:, None]
    for block, total in zip(features(codes, offsets), found):
        np.testing.assert_allclose(total, block.T @ following, atol=0.02)


@pytest.mark.parametrize("ahead", [0.5, DECAYS[-1]])
def test_later_items_are_summed_over_all_positions(ahead: float) -> None:
    """Each item after a position counts the less the later it comes, by the book; so does one of the same decay."""
    codes, ages = np.array([0, 1, 2, 1, 3, 0, 2]), np.array([0, 1, 2, 3, 4, 0, 1])
    found = next_sums(codes, ages, 4, DECAYS, 1000, ahead=ahead)
    for decay, total in zip(DECAYS, found):
        wanted = np.zeros((4, 4))
        for sequence in ([0, 1, 2, 1, 3], [0, 2]):
            for position in range(1, len(sequence)):
                for age, before in enumerate(reversed(sequence[:position])):
                    for later, after in enumerate(sequence[position:]):
                        wanted[before, after] += (decay**age) * ahead**later
        np.testing.assert_allclose(total, wanted, atol=1e-5)


def test_items_that_take_no_part_still_make_others_older() -> None:
    codes, ages, offsets = sequences()
    hidden = np.where(codes == 2, -1, codes)
    found = next_sums(hidden, ages, N_ITEMS, DECAYS, 1000)
    following = np.where((hidden >= 0)[:, None], np.eye(N_ITEMS)[codes], 0)
    for block, total in zip(features(hidden, offsets), found):
        np.testing.assert_allclose(total, block.T @ following, atol=0.005)


@pytest.mark.parametrize("few", [True, False])
def test_many_and_few_pairs_are_summed_alike(few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a table of all pairs is made, and how many lags it takes at once, changes nothing."""
    codes, ages, _ = sequences()
    plain = next_sums(codes, ages, N_ITEMS, DECAYS, 6)
    monkeypatch.setattr(closed_form, "_PAIRS_AT_A_TIME", 1 if few else 10**9)
    wide = next_sums(codes, ages, 200, DECAYS, 6)
    for one, other in zip(plain, wide):
        np.testing.assert_allclose(one, other[:N_ITEMS, :N_ITEMS], rtol=1e-6)


def test_the_products_of_features_follow_from_what_comes_next() -> None:
    """``X'X`` without a pass over pairs equals that of the rows written out until they have faded."""
    codes, ages, offsets = sequences()
    blocks = features(codes, offsets, beyond=60)
    whole = np.concatenate(blocks, axis=1)
    found = feature_products(
        next_sums(codes, ages, N_ITEMS, DECAYS, 1000), np.bincount(codes, minlength=N_ITEMS), DECAYS
    )
    np.testing.assert_allclose(found, whole.T @ whole, atol=0.05)
    np.testing.assert_allclose(found, found.T, atol=1e-5)


def test_equations_are_solved_by_blocks() -> None:
    rng = np.random.default_rng(1)
    for size in (1, 5, 512, 700):
        root = rng.standard_normal((size, size))
        matrix = (root @ root.T + size * np.eye(size)).astype(np.float32)
        right = rng.standard_normal((size, 3)).astype(np.float32)
        found = Factor(matrix.copy()).solve(right)
        np.testing.assert_allclose(matrix @ found, right, atol=1e-3)
    with pytest.raises(np.linalg.LinAlgError):
        Factor(-np.eye(3, dtype=np.float32))


def test_leading_vectors_span_what_the_largest_eigenvalues_do() -> None:
    rng = np.random.default_rng(2)
    basis, _ = np.linalg.qr(rng.standard_normal((300, 300)))
    matrix = ((basis * 0.9 ** np.arange(300)) @ basis.T).astype(np.float32)
    found = leading_vectors(lambda right: np.asarray(matrix @ right), 300, 10, seed=0)
    np.testing.assert_allclose(found.T @ found, np.eye(10), atol=1e-4)
    np.testing.assert_allclose(np.abs((found * basis[:, :10]).sum(axis=0)), np.ones(10), atol=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_closed_form_is_ridge_regression(weighted: bool) -> None:
    """With weights, of the weight of what comes next."""
    codes, ages, offsets = sequences()
    weights = np.random.default_rng(6).uniform(0, 2, len(codes)).astype(np.float32) if weighted else None
    worth = np.ones(len(codes)) if weights is None else weights
    x, y = np.concatenate(features(codes, offsets, beyond=60), axis=1), np.zeros((0, N_ITEMS))
    for start, end in pairwise(offsets.tolist()):
        following = np.eye(N_ITEMS)[codes[start:end]] * worth[start:end, None]
        y = np.concatenate([y, following, np.zeros((60 if end > start else 0, N_ITEMS))])
    ridge = 1.0
    exact = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    form = ClosedForm.of_sequences(codes, ages, DECAYS, 1000, ridge, weights=weights)
    found = form.tables(np.eye(N_ITEMS, dtype=np.float32)).reshape(-1, N_ITEMS)
    np.testing.assert_allclose(found, exact, atol=0.02)
    tables, vectors = form.approximate(N_ITEMS, seed=0)
    np.testing.assert_allclose(tables.reshape(-1, N_ITEMS) @ vectors.T, exact, atol=0.02)
    padded = form.approximate(N_ITEMS + 3, seed=0)[1]
    assert np.abs(padded[:, N_ITEMS:]).max() == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_without_an_order_each_item_of_a_user_is_predicted_from_all_the_others(weighted: bool) -> None:
    """Sums and products equal those of the rows written out: one for each item that a user has."""
    rng = np.random.default_rng(7)
    events = [(user, int(item)) for user in range(40) for item in rng.choice(9, rng.integers(1, 7), replace=False)]
    ratings = rng.uniform(1, 5, len(events))
    policy = FeedbackPolicy(rating_weights=((1, 0.2), (5, 1)) if weighted else ())
    data = Dataset(
        {"user_id": [user for user, _ in events], "item_id": [item for _, item in events], "rating": ratings},
        feedback=policy,
    )
    found, weights = set_products(UserSets(data, 9)), event_weights(data)
    worth = np.ones(data.n_events) if weights is None else weights
    x, y = [], []
    for start, end in pairwise(data.user_offsets.tolist()):
        for place in range(start, end):
            others = np.delete(data.item_codes[start:end], place - start)
            row = np.bincount(others, minlength=9) * max(len(others), 1) ** -SET_POWER
            share = max(len(others), 1) ** -0.25  # on either side
            x.append(row * share)
            y.append(np.eye(9)[data.item_codes[place]] * worth[place] * share)
    np.testing.assert_allclose(found[0], np.array(x).T @ np.array(x), atol=1e-3)
    np.testing.assert_allclose(found[1], np.array(x).T @ np.array(y), atol=1e-3)


def test_positions_without_an_order_are_the_users_vectors_without_each_item() -> None:
    tables = np.random.default_rng(8).standard_normal((1, 5, 3)).astype(np.float32)
    codes, offsets = np.array([2, 0, 3, 1, 0, 3]), np.array([0, 3, 3, 4, 6])
    weights = np.array([1, 2, 0, 1, 3, 1], np.float32)
    found = read_sets(tables, codes, offsets, weights=weights)
    # Of user 0 without 2 and 0; nothing of the user with one item; of user 3 without 0 and 3.
    table, half = tables[0], np.float32(2**-SET_POWER)
    wanted = [half * (table[2] + table[3]), table[3], half * (table[0] + table[3]), table[0]]
    np.testing.assert_allclose(found.vectors, wanted, atol=1e-6)
    assert found.starts.tolist() == [0, 2, 2, 3, 4]
    assert found.weights.tolist() == [2, 3, 1, 1]


def test_positions_are_the_users_vectors_before_each_event() -> None:
    codes, _, offsets = sequences()
    rng = np.random.default_rng(3)
    tables = rng.standard_normal((3, N_ITEMS + 1, 4)).astype(np.float32)
    tables[:, -1] = 0
    found = read_positions(tables, codes, offsets, DECAYS)
    plain = sum(block @ table[:-1] for block, table in zip(features(codes, offsets), tables))
    first = np.isin(np.arange(len(codes)), offsets)
    for item in range(N_ITEMS):
        part = slice(found.starts[item], found.starts[item + 1])
        mine = np.flatnonzero((codes == item) & ~first)
        np.testing.assert_allclose(found.vectors[part], np.asarray(plain)[mine], atol=1e-5)
    assert found.weights.tolist() == [1.0] * len(found.vectors)


def test_with_a_horizon_positions_are_those_of_earlier_events() -> None:
    """Each is the user's vector before some event of theirs, up to the one that came; on average so many before."""
    rng = np.random.default_rng(0)
    offsets = np.array([0, 400, 800])
    codes = np.arange(800)
    tables = rng.standard_normal((len(DECAYS), 801, 3)).astype(np.float32)
    at_once = read_positions(tables, codes, offsets, DECAYS)
    found = read_positions(tables, codes, offsets, DECAYS, 5)
    ahead = []
    for item in range(800):
        for vector in found.vectors[found.of(item)]:
            earlier = [
                each for each in range(item + 1) if (at_once.vectors[at_once.of(each)] == vector).all(axis=1).any()
            ]
            assert len(earlier) == 1
            assert earlier[0] // 400 == item // 400
            ahead.append(item - earlier[0])
    assert 3.5 < np.mean(ahead) < 4.5
    assert len(ahead) > 770


def test_too_many_positions_are_thinned_by_item_and_weighted(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, _, offsets = sequences()
    tables = np.ones((3, N_ITEMS + 1, 4), np.float32)
    whole = read_positions(tables, codes, offsets, DECAYS)
    monkeypatch.setattr(least_squares, "_FLOATS", 8 * 4)
    some = read_positions(tables, codes, offsets, DECAYS)
    assert len(some.vectors) <= 8 < len(whole.vectors)
    assert (whole.complete, some.complete) == (True, False)
    assert some.totals.tolist() == np.diff(whole.starts).tolist()
    for item in range(N_ITEMS):
        np.testing.assert_allclose(some.weights[some.of(item)].sum(), whole.weights[whole.of(item)].sum())


@pytest.mark.parametrize("ordered", [True, False])
def test_each_item_is_fitted_to_all_of_its_positions(monkeypatch: pytest.MonkeyPatch, *, ordered: bool) -> None:
    """Where only some are held at a time, they are read again, some items at a time; it is as good as all at once."""
    rng, n_items = np.random.default_rng(1), 40
    popular = 1 / np.arange(1, n_items + 1)
    codes = np.concatenate([rng.choice(n_items, 12, replace=False, p=popular / popular.sum()) for _ in range(100)])
    offsets = 12 * np.arange(101)
    tables = rng.standard_normal((3 if ordered else 1, n_items + 1, 4)).astype(np.float32)
    tables[:, -1] = 0

    def read(items: slice | None = None) -> Positions:
        if not ordered:
            return read_sets(tables, codes, offsets, items=items)
        return read_positions(tables, codes, offsets, DECAYS, items=items)

    whole = read()
    wanted = fit_items(whole, 0.1, 0.01)
    monkeypatch.setattr(least_squares, "_FLOATS", len(whole.vectors) * 4 // 3)
    asked: list[slice] = []

    def noted(items: slice) -> Positions:
        asked.append(items)
        found = read(items)
        own = whole.vectors[whole.starts[items.start] : whole.starts[items.stop]]
        assert not found.complete or np.array_equal(found.vectors, own)
        return found

    some = read()
    thinned, found = fit_items(some, 0.1, 0.01), fit_items(some, 0.1, 0.01, noted)
    assert [each.start for each in asked] == [0, *(each.stop for each in asked[:-1])]
    assert (asked[-1].stop, len(asked) > 1) == (n_items, True)
    assert np.linalg.norm(found - wanted) < 0.5 * np.linalg.norm(thinned - wanted)


def test_item_vectors_minimise_what_they_say_they_do() -> None:
    """Those with few positions, which are solved another way, as well as those with many."""
    rng = np.random.default_rng(4)
    vectors, counts = rng.standard_normal((30, 5)).astype(np.float32), np.array([1, 0, 14, 15])
    starts = np.concatenate(([0], np.cumsum(counts)))
    weights = rng.uniform(0.2, 3.0, 30).astype(np.float32)
    positions = Positions(vectors, starts, weights, counts)
    found = fit_items(positions, background=0.1, shrinkage=0.01)
    total, mean_square = weights.sum(), (weights[:, None] * vectors**2).sum() / (5 * weights.sum())

    def loss(item: int, vector: NDArray[np.float32]) -> float:
        scores, mine = vectors @ vector, slice(starts[item], starts[item + 1])
        ridge = 0.01 * mean_square * (weights[mine].sum() + 0.1 * total)
        hits = (weights[mine] * (1 - scores[mine]) ** 2).sum()
        return float(hits + 0.1 * (weights * scores**2).sum() + ridge * (vector**2).sum())

    for item in range(4):
        for _ in range(20):
            step = 0.05 * rng.standard_normal(5).astype(np.float32)
            assert loss(item, found[item]) <= loss(item, found[item] + step) + 1e-5
    assert np.abs(found[1]).max() == 0


def test_a_feature_map_finds_what_features_add() -> None:
    kinds = (MultiCategorical("genres"), Categorical("lang"), Numeric("year"))
    genres: list[JSON] = ["a", "b"]
    records: list[Record] = [
        {"genres": genres[: 1 + n % 2], "lang": "xy"[n % 3 > 0], "year": 1900 + n, "note": n} for n in range(200)
    ]
    base = np.array([1.0, 2.0, 3.0], np.float32)
    adds = np.array([0.5, 0.0, -0.5], np.float32)
    vectors = np.array([base + adds * (record["lang"] == "y") for record in records], np.float32)
    learnt = FeatureMap.learn("item", kinds, records, vectors, ridge=0.01)
    np.testing.assert_allclose(learnt(records[0]), vectors[0], atol=0.05)
    np.testing.assert_allclose(learnt({"lang": "y"}) - learnt({"lang": "x"}), adds, atol=0.05)
    np.testing.assert_allclose(learnt({"lang": "unknown"}), vectors.mean(axis=0), atol=1e-5)
    again = FeatureMap.from_json("item", kinds, learnt.to_json(), learnt.table)
    np.testing.assert_array_equal(again(records[5]), learnt(records[5]))
    nothing = FeatureMap.learn("item", kinds, [], np.zeros((0, 3), np.float32), ridge=1.0)
    assert nothing({"lang": "x"}).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("counts", "given", "decays", "exact_items"),
    [
        ([100] * 3_706, {}, (0.0, 0.7, 0.95), 4096),  # all items fit into three blocks
        ([9] * 12_000, {}, (0.7,), 12_288),  # two thirds of the events would be outside of them
        ([10_000] * 4_000 + [1] * 20_000, {}, (0.0, 0.7, 0.95), 4096),  # what is outside hardly occurs
        ([9] * 12_000, {"decays": (0.0, 0.9)}, (0.0, 0.9), 6144),
        ([9] * 12_000, {"exact_items": 11_000}, (0.7,), 11_000),
        ([9] * 12_000, {"exact_items": 500}, (0.0, 0.7, 0.95), 500),
    ],
)
def test_the_closed_form_takes_the_shape_of_the_data(
    counts: list[int], given: dict[str, Any], decays: tuple[float, ...], exact_items: int
) -> None:
    assert Shape.of(LinearSequenceSettings(**given), np.array(counts)) == Shape(decays, exact_items)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_large_log_is_learnt_from_in_parts(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums and positions of a few users at a time are those of all at once."""
    codes, ages, offsets = sequences(5)
    rng = np.random.default_rng(6)
    weights = rng.integers(0, 3, len(codes)).astype(np.float32) if weighted else None
    tables = rng.standard_normal((3, N_ITEMS + 1, 4)).astype(np.float32)

    def learnt() -> list[Any]:
        sums = next_sums(codes, ages, N_ITEMS, DECAYS, 1000, weights=weights)
        found = [read_positions(tables, codes, offsets, DECAYS, horizon, weights=weights) for horizon in (1, 3)]
        sets = read_sets(tables[:1], codes, offsets, weights=weights)
        return [*sums, *(part for each in (*found, sets) for part in (each.vectors, each.starts, each.weights))]

    whole = learnt()
    monkeypatch.setattr(closed_form, "_EVENTS_AT_A_TIME", 4)
    monkeypatch.setattr(closed_form, "_PAIRS_AT_A_TIME", 5)
    monkeypatch.setattr(least_squares, "_STATES", 24)
    monkeypatch.setattr(batching, "EVENTS_AT_A_TIME", 4)
    for part, expected in zip(learnt(), whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-6)
    assert len(whole[3]) > 5
