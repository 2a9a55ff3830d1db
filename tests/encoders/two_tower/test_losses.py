"""The losses are what their formulas say, and so are their gradients, which are written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from numpy.typing import NDArray

from vecrec.encoders.two_tower.objective import rating_loss, softmax_loss
from vecrec.encoders.two_tower.sampling import Negatives, accidental_hits
from vecrec.learning.operators import decayed_sums, hidden_layer, sparse_product

Array = NDArray[np.float32]


def random(*shape: int, seed: int = 0) -> Array:
    """Numbers to compute with."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tensor(array: Array) -> Any:
    """The array as a parameter whose gradient is wanted."""
    made = paddle.to_tensor(array.copy())
    made.stop_gradient = False
    return made


def plain_loss(users: Array, items: Array, places: Any, negatives: Any, correction: Array, *, weights: Array) -> float:
    """The softmax loss, row by row, by the book."""
    losses = []
    for user, place, weight in zip(users.astype(np.float64), places, weights):
        others = [n for n in range(len(negatives)) if negatives[n] != place]
        scores = [user @ items[place], *(user @ items[negatives[n]] - correction[n] for n in others)]
        if weight:
            losses.append(weight * (np.log(np.exp(scores).sum()) - scores[0]))
    return float(np.mean(losses))


def test_the_softmax_loss_is_its_formula() -> None:
    """Scores of negatives less logQ, a negative that is the right item left out, padding not counted, weighted."""
    users, items = random(7, 5), random(9, 5, seed=1)
    places, negatives = np.array([0, 1, 2, 3, 3, 8, 4]), np.array([1, 3, 5, 6])
    correction, weights = random(4, seed=2), np.array([1, 0.5, 1, 2, 1, 0, 0.1], np.float32)
    loss = softmax_loss(tensor(users), tensor(items), places, negatives, correction, weights=weights, counted=6)
    assert float(loss) == pytest.approx(
        plain_loss(users, items, places, negatives, correction, weights=weights), rel=1e-5
    )


def test_the_softmax_loss_has_the_right_gradients() -> None:
    """Against differences of the formula, for users and items."""
    users, items = random(4, 3), random(6, 3, seed=1)
    places, negatives = np.array([0, 2, 5, 2]), np.array([1, 2, 4])
    correction, weights = random(3, seed=2), np.array([1, 2, 0.5, 0], np.float32)
    left, right = tensor(users), tensor(items)
    (2 * softmax_loss(left, right, places, negatives, correction, weights=weights, counted=3)).backward()

    def loss(users: Array, items: Array) -> float:
        return 2 * plain_loss(users, items, places, negatives, correction, weights=weights)

    np.testing.assert_allclose(left.grad.numpy(), differences(lambda x: loss(x, items), users), atol=2e-3)
    np.testing.assert_allclose(right.grad.numpy(), differences(lambda x: loss(users, x), items), atol=2e-3)


def test_accidental_hits_are_found() -> None:
    """Every pair of a row and the negative that is its own right item, and no other."""
    targets, negatives = np.array([5, 0, 3, 9, 3, 7]), np.array([0, 3, 7])
    rows, columns = accidental_hits(targets, negatives)
    wanted = [(r, c) for r, target in enumerate(targets) for c, negative in enumerate(negatives) if target == negative]
    assert list(zip(rows.tolist(), columns.tolist())) == wanted
    assert len(wanted) == 4


def test_the_correction_is_the_chance_to_be_drawn() -> None:
    """Its exponential is how often an item is among the negatives, which grows with its popularity."""
    counts = np.array([0, 0, 100, 50, 10, 10, 1, 0])
    negatives, rng = Negatives(counts, 3, 0.5), np.random.default_rng(0)
    drawn = np.zeros(len(counts))
    corrections: dict[int, float] = {}
    for _ in range(20_000):
        rows, correction = negatives.draw(rng)
        assert (np.diff(rows) > 0).all()
        drawn[rows] += 1
        corrections |= dict(zip(rows.tolist(), correction.tolist()))
    chances = np.sqrt(counts) / np.sqrt(counts).sum()
    for row, logarithm in corrections.items():
        assert np.exp(logarithm) == pytest.approx(1 - (1 - chances[row]) ** 3, rel=1e-5)
        assert drawn[row] / 20_000 == pytest.approx(np.exp(logarithm), abs=0.015)
    assert sorted(corrections) == [2, 3, 4, 5, 6]


def test_few_items_are_all_compared() -> None:
    """With no more items than negatives the softmax is the full one: each item once, without correction."""
    rows, correction = Negatives(np.array([0, 0, 3, 1, 0, 2]), 3, 0.5).draw(np.random.default_rng(0))
    assert rows.tolist() == [2, 3, 5]
    assert correction.tolist() == [0, 0, 0]


def test_a_corrected_sample_estimates_the_whole_sum() -> None:
    """The mean of the corrected sums over samples is the sum over all items: what logQ is for."""
    counts, scores = np.arange(2, 42), random(40)
    negatives, rng = Negatives(counts, 10, 1.0), np.random.default_rng(0)
    sums = [np.exp(scores[rows] - correction).sum() for rows, correction in (negatives.draw(rng) for _ in range(5000))]
    assert np.mean(sums) == pytest.approx(np.exp(scores).sum(), rel=0.02)


def test_the_rating_loss_is_its_formula() -> None:
    """The mean of (rating - scale * cosine) squared over the rated events."""
    users, items = random(4, 3), random(5, 3, seed=1)
    places, ratings = np.array([0, 4, 2, 2]), np.array([5, 1, np.nan, 3], np.float32)
    loss = float(rating_loss(tensor(users), tensor(items), places, ratings, 5.0, counted=3))
    cosine = [u @ items[p] / np.linalg.norm(u) / np.linalg.norm(items[p]) for u, p in zip(users, places)]
    assert loss == pytest.approx(np.nanmean((ratings - 5 * np.array(cosine)) ** 2), rel=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("places", [1, 4, 6])
def test_decayed_sums_are_sums_over_the_past(places: int, scaled: bool) -> None:
    """Of what was read before each place, never of what stands there or later; each block times gate and scale."""
    read, gates, decays = random(6, 2, 3, 4), random(2, 3, seed=2), np.array([0.0, 0.6, 0.9], np.float32)
    gaps, counts = np.zeros((6, 2), bool), np.arange(2 * places).reshape(places, 2) % 4
    scales = random(places, 2, 3, seed=3) if scaled else None
    sums = decayed_sums(
        paddle.to_tensor(read), tensor(gates), gaps, decays, counts=np.minimum(counts, 2), scales=scales
    ).numpy()
    factors = np.concatenate([gates, np.ones((2, 3))])[counts] * (1 if scales is None else scales)
    for place in range(places):
        seen = 6 - places + place
        wanted = np.zeros((2, 4))
        for moment in range(seen):
            fading = (decays ** (seen - 1 - moment))[None, :, None] * factors[place][:, :, None]
            wanted += (read[moment] * fading).sum(axis=1)
        np.testing.assert_allclose(sums[place], wanted, atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_decayed_sums_have_the_right_gradients(scaled: bool) -> None:
    """Of what was read and of the gates; padding stays what it is."""
    read, gates, pull = random(5, 2, 2, 3), random(2, 2, seed=2), random(3, 2, 3, seed=1)
    decays, counts = np.array([0.3, 0.8], np.float32), np.array([[2, 0], [2, 1], [0, 2]])
    gaps = np.zeros((5, 2), bool)
    gaps[:2, 1] = True
    left, right = tensor(read), tensor(gates)
    scales = random(3, 2, 2, seed=3) if scaled else None

    def sums(x: Any, y: Any) -> Any:
        return decayed_sums(x, y, gaps, decays, counts=counts, scales=scales)

    (sums(left, right) * paddle.to_tensor(pull)).sum().backward()

    def loss(x: Array, y: Array) -> float:
        return float((sums(paddle.to_tensor(x), tensor(y)).numpy() * pull).sum())

    wanted = differences(lambda x: loss(x, gates), read)
    wanted[gaps] = 0
    np.testing.assert_allclose(left.grad.numpy(), wanted, atol=5e-3)
    np.testing.assert_allclose(right.grad.numpy(), differences(lambda y: loss(read, y), gates), atol=5e-3)


@pytest.mark.parametrize("masked", [False, True])
def test_the_hidden_layer_has_the_right_gradients(masked: bool) -> None:
    """Of the vectors and of both weights, with dropout and without."""
    inputs = [random(5, 4), random(4, 6, seed=1), random(6, 4, seed=2)]
    mask = (random(5, 6, seed=3) > 0).astype(np.float32) * 2 if masked else None
    pull = random(5, 4, seed=4)
    parameters = [tensor(array) for array in inputs]

    def layer(vectors: Any, inner: Any, outer: Any) -> Any:
        return hidden_layer(vectors, inner, outer, mask)

    (layer(*parameters) * paddle.to_tensor(pull)).sum().backward()
    for place, parameter in enumerate(parameters):

        def loss(x: Array, place: int = place) -> float:
            arrays = [x if n == place else array for n, array in enumerate(inputs)]
            return float((layer(*map(paddle.to_tensor, arrays)).numpy() * pull).sum())

        np.testing.assert_allclose(parameter.grad.numpy(), differences(loss, inputs[place]), atol=3e-2)


def test_sparse_products_have_the_right_gradients() -> None:
    """As PaddlePaddle computes them with its own operators."""
    from scipy.sparse import random_array

    rows = random_array((6, 5), density=0.4, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    ours, theirs = tensor(random(5, 3)), tensor(random(5, 3))
    (sparse_product(ours, rows) ** 2).sum().backward()
    ((paddle.to_tensor(rows.toarray()) @ theirs) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5, atol=1e-5)


def differences(loss: Any, at: Array, step: float = 1e-2) -> Array:
    """The gradient of a function, by central differences."""
    slopes = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        more, less = at.copy(), at.copy()
        more[place] += step
        less[place] -= step
        slopes[place] = (loss(more) - loss(less)) / (2 * step)
    return slopes
