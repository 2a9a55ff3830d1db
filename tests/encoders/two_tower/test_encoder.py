"""The two-tower encoder keeps every promise of the contract, and its own."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.encoders.two_tower.boards import checkerboard, item, quick, user, walk
from vecrec.data import Dataset
from vecrec.encoders import TwoTowerEncoder
from vecrec.errors import InvalidDataError, MissingDependencyError, NotFittedError
from vecrec.progress import Step
from vecrec.testing.encoders import EncoderTests
from vecrec.types import Item, User


class TestTwoTower(EncoderTests):
    """With the softmax."""

    @classmethod
    def make(cls, seed: int = 0) -> TwoTowerEncoder:
        """A small one."""
        return quick(seed=seed, min_steps=60)


class TestRatings(EncoderTests):
    """With the rating loss, and a hidden layer."""

    @classmethod
    def make(cls, seed: int = 0) -> TwoTowerEncoder:
        """A small one."""
        return quick(seed=seed, min_steps=60, loss="rating", hidden=8)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """The checkerboard."""
    return checkerboard()


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> TwoTowerEncoder:
    """An encoder that knows the checkerboard."""
    return quick().fit(data)


def test_quality_floor(fitted: TwoTowerEncoder) -> None:
    """Who went through a row of items goes on with the next one: first or second of 40, for nine users in ten."""
    vectors = fitted.encode_items([*map(item, range(40))])
    ranks = []
    for number in range(40):
        history = walk(number, number * 7, 8)
        target = walk(number, number * 7, 9)[-1]
        scores = vectors @ fitted.encode_users([User(None, {}, history)])[0]
        scores[history] = -np.inf
        ranks.append(int((scores >= scores[target]).sum()))
    assert np.mean(np.array(ranks) <= 2) > 0.9


def test_the_learning_curve_tells_how_training_went(fitted: TwoTowerEncoder) -> None:
    """An entry an epoch: loss, metric and time; the loss falls and the metric ends high."""
    curve = fitted.learning_curve
    assert [epoch.number for epoch in curve] == [*range(1, len(curve) + 1)]
    assert curve[-1].loss < curve[0].loss
    assert max(epoch.recall or 0 for epoch in curve) > 0.8
    assert all(epoch.seconds > 0 for epoch in curve)


def test_the_learning_curve_is_drawn(fitted: TwoTowerEncoder, tmp_path: Path) -> None:
    """Into a picture file, in the format that its name says."""
    fitted.plot_learning_curve(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(NotFittedError):
        TwoTowerEncoder().plot_learning_curve(tmp_path / "none.png")


def test_a_curve_without_matplotlib_says_what_to_install(
    fitted: TwoTowerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra ``plot``."""
    block(monkeypatch, "matplotlib")
    with pytest.raises(MissingDependencyError, match=r"vecrec-recommender\[plot\]"):
        fitted.plot_learning_curve(tmp_path / "curve.png")


def test_fitting_without_paddlepaddle_says_what_to_install(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra ``paddle``; nothing was learnt."""
    block(monkeypatch, "paddle")
    encoder = quick()
    with pytest.raises(MissingDependencyError, match=r"vecrec-recommender\[paddle\]"):
        encoder.fit(data)
    assert not encoder.is_fitted


def test_loading_and_encoding_do_without_paddlepaddle(fitted: TwoTowerEncoder, tmp_path: Path) -> None:
    """In a process where every package that training needs cannot be imported, the vectors are the same."""
    fitted.save(tmp_path / "encoder")
    script = """
import sys
for name in ("paddle", "scipy", "threadpoolctl", "matplotlib"):
    sys.modules[name] = None
import numpy as np
from vecrec.encoders import TwoTowerEncoder
from vecrec.types import Item, User
encoder = TwoTowerEncoder.load(sys.argv[1])
items = encoder.encode_items([Item(3, {"parity": "odd"}), Item()])
users = encoder.encode_users([User(3, {"gender": "F"}, [1, 3, 5]), User()])
np.save(sys.argv[2], np.concatenate([items, users]))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "encoder"), str(tmp_path / "found.npy")], check=True)
    items = fitted.encode_items([Item(3, {"parity": "odd"}), Item()])
    users = fitted.encode_users([User(3, {"gender": "F"}, [1, 3, 5]), User()])
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), np.concatenate([items, users]), atol=1e-6)


def test_files_that_were_changed_are_refused(fitted: TwoTowerEncoder, tmp_path: Path) -> None:
    """Tables of another size than the vocabularies, another dimension, unknown settings."""
    fitted.save(tmp_path)
    path = tmp_path / "encoder.json"
    held = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [
        {"dim": 17},
        {"items": held["users"]},
        {"settings": held["settings"] | {"warp_speed": 9}},
        {"settings": held["settings"] | {"epochs": -1}},
        {"item_space": []},
        {"curve": [{"number": 1}]},
        {"schema": None},
    ]
    for change in changes:
        path.write_text(json.dumps(held | change))
        with pytest.raises(InvalidDataError):
            TwoTowerEncoder.load(tmp_path)


def test_progress_reaches_the_end(data: Dataset) -> None:
    """The bar of the training grows and is full at last, whether or not it stopped early; the text shows the metric."""
    steps: list[Step] = []
    quick(min_steps=40).fit(data, progress=steps.append)
    done = [step.done for step in steps if step.stage == "train"]
    assert done == sorted(done)
    assert steps[-1].done == steps[-1].total
    assert "recall@10" in steps[-1].detail


def test_unknown_items_of_a_history_are_ignored(fitted: TwoTowerEncoder) -> None:
    """They neither count nor make what came before them older."""
    plain, noisy = fitted.encode_users([User(None, {}, [2, 4]), User(None, {}, ["?", 2, 10**9, 4, "!"])])
    np.testing.assert_allclose(plain, noisy, atol=1e-6)


def test_an_id_without_a_type_of_its_own_is_unknown(fitted: TwoTowerEncoder) -> None:
    """``"3"`` is not ``3``."""
    three, text, new = fitted.encode_items([Item(3), Item("3"), Item("new")])
    assert not np.allclose(three, text)
    np.testing.assert_array_equal(text, new)


def test_what_never_came_up_does_not_change_the_fingerprint(fitted: TwoTowerEncoder, data: Dataset) -> None:
    """How long training took and how many threads a later fit may take are not part of it; the history read is."""
    again = TwoTowerEncoder(16, settings=fitted.settings, threads=1).fit(data)
    assert again.fingerprint == fitted.fingerprint
    assert again.learning_curve != fitted.learning_curve
    shorter = quick(history=1).fit(data)
    assert shorter.fingerprint != fitted.fingerprint
    assert not np.array_equal(
        shorter.encode_users([data.user(0, history=True)]), fitted.encode_users([data.user(0, history=True)])
    )


def test_a_new_item_gets_a_vector_from_its_features(fitted: TwoTowerEncoder) -> None:
    """One that nobody has seen is ranked high by those who like what is like it."""
    even, odd = fitted.encode_items([Item("new", item(n).features) for n in (6, 7)])
    users = fitted.encode_users([User(None, {}, walk(number, 5, 6)) for number in (0, 1)])
    assert users[0] @ even > users[0] @ odd
    assert users[1] @ odd > users[1] @ even


def test_a_new_user_gets_a_vector_from_the_profile(fitted: TwoTowerEncoder) -> None:
    """Gender goes with parity, and that is enough."""
    vectors = fitted.encode_items([*map(item, range(40))])
    for number in (0, 1):
        scores = vectors @ fitted.encode_users([User("new", user(number).features)])[0]
        assert (np.argsort(-scores)[:10] % 2 == number).mean() > 0.7


def block(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let imports of a package fail."""
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
