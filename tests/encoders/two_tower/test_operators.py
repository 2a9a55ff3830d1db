"""PaddlePaddle's own operators, which train on any device, compute what the kernels for CPUs compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, random_array

from tests.encoders.two_tower.boards import checkerboard, item, quick, user
from vecrec.data import Dataset
from vecrec.encoders import ensemble
from vecrec.encoders.two_tower import TwoTowerEncoder
from vecrec.encoders.two_tower.sampling import accidental_hits
from vecrec.errors import InvalidDataError
from vecrec.learning import kernels, operators
from vecrec.learning.paddle import available_device, gpu_count
from vecrec.types import Event

Array = NDArray[np.float32]

RNG = np.random.default_rng


def computed(operator: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any], pull: Array) -> list[Array]:
    """The result, and the gradient of each argument that is learnt, which are given as lists of one array."""
    tensors = [paddle.to_tensor(arg[0], stop_gradient=False) if isinstance(arg, list) else arg for arg in args]
    out = operator(*tensors, **named)
    (out * paddle.to_tensor(pull.reshape(out.shape))).sum().backward()
    learnt = [tensor for tensor, arg in zip(tensors, args) if isinstance(arg, list)]
    return [out.numpy(), *(tensor.grad.numpy() for tensor in learnt)]


def check_equal(operator: Callable[..., Any], *args: Any, size: int, **named: Any) -> None:
    """Both ways, with the kernel and without, forward and backward, to 1e-5 of the largest number."""
    pull = RNG(9).standard_normal(size).astype(np.float32)
    by_kernel = computed(operator, args, named, pull)
    with operators.without_kernels():
        by_paddle = computed(operator, args, named, pull)
    assert len(by_kernel) > 1
    for found, wanted in zip(by_paddle, by_kernel, strict=True):
        assert found.shape == wanted.shape
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * float(np.abs(wanted).max()))


def numbers(rng: np.random.Generator, *shape: int) -> list[Array]:
    """What is learnt."""
    return [rng.standard_normal(shape).astype(np.float32)]


def mask(rng: np.random.Generator, *shape: int) -> Array:
    """Dropout's, with a share of a half."""
    return (rng.random(shape) < 0.5).astype(np.float32) * 2


def gaps(rng: np.random.Generator, length: int, count: int) -> NDArray[np.bool_]:
    """Padding before the events of each user but the first, and some of it between them."""
    found = np.arange(length)[:, None] < rng.integers(0, length, count)
    found |= rng.random((length, count)) < 0.1
    found[:, 0] = False
    return found


@pytest.mark.parametrize("seed", range(5))
def test_sparse_products(seed: int) -> None:
    """With rows of nothing, also at the end, and with columns that come twice."""
    rng = RNG(seed)
    n, k, m = rng.integers(2, 30, 3)
    rows = random_array((n, k), density=0.3, rng=rng, format="lil", dtype=np.float32)
    rows[-1] = 0
    rows[0, 0] = 1
    check_equal(operators.sparse_product, numbers(rng, k, m), csr_matrix(rows), size=n * m)
    twice = csr_matrix((np.ones(3, np.float32), [1, 1, 0], [0, 2, 3, 3]), shape=(3, k))
    check_equal(operators.sparse_product, numbers(rng, k, m), twice, size=3 * m)


def test_a_sparse_product_with_nothing_still_has_a_gradient() -> None:
    """Of zeros: Adam goes on with a table of which a step has no entries."""
    with operators.without_kernels():
        result, gradient = computed(
            operators.sparse_product, ([np.ones((4, 3), np.float32)], csr_matrix((5, 4))), {}, np.ones(15, np.float32)
        )
    assert result.tolist() == np.zeros((5, 3)).tolist()
    assert gradient.tolist() == np.zeros((4, 3)).tolist()


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_decayed_sums(seed: int, gated: bool, scaled: bool) -> None:
    """As many places as events and fewer; without decay, and with what sees the last event only."""
    rng = RNG(seed)
    length, count, dim = (int(size) for size in rng.integers(2, 70, 3))
    places = (1, length, length // 2 + 1)[seed]
    decays = np.array(((1.0,), (0.0, 0.6, 0.9), (0.3, 0.95))[seed], np.float32)
    padding, blocks, rows = gaps(rng, length, count), len(decays), 4 if gated else 0
    read = [numbers(rng, length, count, blocks, dim)[0] * ~padding[:, :, None, None]]
    counts = rng.integers(0, rows + 1, (places, count))
    scales = rng.random((places, count, blocks)).astype(np.float32) if scaled else None
    gates = numbers(rng, rows, blocks) if gated else None
    args = read, gates, padding, decays
    check_equal(operators.decayed_sums, *args, counts=counts, scales=scales, size=places * count * dim)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_hidden_layer(seed: int, masked: bool) -> None:
    rng = RNG(seed)
    n, d, hidden = (int(size) for size in rng.integers(2, 60, 3))
    vectors = numbers(rng, n, d)
    vectors[0][-1] = 0  # whose scale is finite
    weights = numbers(rng, d, hidden), numbers(rng, hidden, d)
    check_equal(operators.hidden_layer, vectors, *weights, mask(rng, n, hidden) if masked else None, size=n * d)


@pytest.mark.parametrize("seed", range(5))
def test_the_sampled_softmax(seed: int) -> None:
    """With negatives that are the right item, with rows that do not count, and with large scores."""
    rng = RNG(seed)
    n, m, d = (int(size) for size in rng.integers(2, 80, 3))
    places, negatives = rng.integers(0, m, n), np.arange(m)
    users = numbers(rng, n, d)
    users[0][0] *= 30
    corrections = rng.standard_normal(m).astype(np.float32)
    weights = rng.random(n).astype(np.float32) * (rng.random(n) < 0.8)
    weights[0] = 1
    hits = accidental_hits(places, negatives)
    assert len(hits[0]) == n
    if seed == 0:  # none is hit
        hits = np.zeros(0, np.int64), np.zeros(0, np.int64)
    args = users, numbers(rng, n, d), numbers(rng, m, d)
    check_equal(operators.sampled_softmax, *args, correction=corrections, hits=hits, weights=weights, size=1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [1, 2, 13, 64])
def test_gated_recurrence(length: int, masked: bool) -> None:
    rng = RNG(length)
    count, d = (int(size) for size in rng.integers(2, 20, 2))
    weights = numbers(rng, d, 3 * d), numbers(rng, d), numbers(rng, d, d)
    padding, left_out = gaps(rng, length, count), mask(rng, length, count, d) if masked else None
    args = numbers(rng, length, count, d), *weights
    check_equal(operators.gated_recurrence, *args, padding=padding, mask=left_out, size=length * count * d)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("length", "places"), [(2, 1), (9, 9), (12, 5)])
def test_the_readout(length: int, places: int, masked: bool) -> None:
    rng = RNG(length)
    count, d, m = (int(size) for size in rng.integers(3, 20, 3))
    seen = np.logical_or.accumulate(~gaps(rng, length, count), axis=0)
    left_out = mask(rng, places, count, d) if masked else None
    args = numbers(rng, length, count, d), numbers(rng, d, m), seen
    check_equal(operators.readout, *args, places=places, mask=left_out, size=places * count * m)


TRAININGS: list[dict[str, Any]] = [
    {"hidden": 8},
    {"hidden": 8, "sparse_above": 0},
    {"layers": 2, "width": 8, "sparse_above": 0},
    {"loss": "rating"},
    {"loss": "rating", "hidden": 8, "sparse_above": 0},
]


@pytest.mark.parametrize("settings", TRAININGS)
def test_training_learns_the_same(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of each epoch, and what is recommended; and nothing reaches into the host's memory."""
    data = checkerboard()
    wanted = quick(epochs=2, min_steps=20, **settings).fit(data)
    monkeypatch.setattr(kernels, "array_of", forbidden)
    monkeypatch.setattr(kernels, "tensor_of", forbidden)
    with operators.without_kernels():
        found = quick(epochs=2, min_steps=20, **settings).fit(data)
    np.testing.assert_allclose(losses(found), losses(wanted), rtol=1e-4)
    np.testing.assert_allclose(scores(found), scores(wanted), atol=0.02 * float(np.abs(scores(wanted)).max()))


def test_training_on_sets_learns_the_same() -> None:
    """Events without times are scaled by their number."""
    data = Dataset([Event(event.user_id, event.item_id) for event in checkerboard().events()])
    wanted = quick(epochs=2, min_steps=20).fit(data)
    with operators.without_kernels():
        found = quick(epochs=2, min_steps=20).fit(data)
    np.testing.assert_allclose(losses(found), losses(wanted), rtol=1e-4)


def forbidden(*_: Any) -> Any:
    raise AssertionError("a kernel for CPUs was used")


def losses(encoder: TwoTowerEncoder) -> list[float]:
    return [epoch.loss for epoch in encoder.learning_curve]


def scores(encoder: TwoTowerEncoder) -> Array:
    return encoder.encode_users([*map(user, range(9))]) @ encoder.encode_items([*map(item, range(9))]).T


def test_auto_is_a_device_that_is_there() -> None:
    assert available_device("auto") == ("gpu" if gpu_count() else "cpu")
    assert available_device("cpu") == "cpu"


def test_a_device_that_is_not_there_is_told_before_anything_is_learnt() -> None:
    missing = f"gpu:{gpu_count()}"
    steps: list[Any] = []
    with pytest.raises(InvalidDataError, match=f"{missing}.*finds {gpu_count()} GPUs"):
        quick().set_params(device=missing).fit(checkerboard(), progress=steps.append)
    assert not [step for step in steps if step.stage == "train"]


def test_the_device_is_a_parameter_like_any_other() -> None:
    assert TwoTowerEncoder().get_params()["device"] == "auto"
    composed: Any = ensemble(device="cpu")._composed
    towers = [part for part in composed(checkerboard()) if isinstance(part, TwoTowerEncoder)]
    assert [part.device for part in towers] == ["cpu", "cpu"]
    with pytest.raises(InvalidDataError, match="device"):
        ensemble(device="tpu")


@pytest.mark.parametrize("device", ["", "cuda", "gpu:", "gpu:-1", "CPU", 0, None])
def test_a_device_has_a_name(device: Any) -> None:
    with pytest.raises(InvalidDataError, match="device"):
        TwoTowerEncoder(device=device)
