"""Settings of encoders and rerankers are read, shown, changed and cloned in one way, and a typing error is named."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecrec.encoders import (
    CombinedEncoder,
    ContentEncoder,
    EASEEncoder,
    EASESettings,
    LinearSequenceEncoder,
    LinearSequenceSettings,
    PopularityEncoder,
    TwoTowerEncoder,
    TwoTowerSettings,
)
from vecrec.errors import InvalidDataError
from vecrec.learning.base import FittedPart
from vecrec.learning.settings import Settings
from vecrec.rerankers import ChainReranker, MMRReranker, RatingReranker, RatingSettings
from vecrec.testing.encoders.tastes import tastes
from vecrec.types import Item

PARTS: dict[str, tuple[Callable[[], FittedPart], str]] = {
    "popularity": (PopularityEncoder, "PopularityEncoder()"),
    "content": (lambda: ContentEncoder(8, 3), "ContentEncoder(dim=8, seed=3)"),
    "ease": (
        lambda: EASEEncoder(8, settings={"ridge": 2.0}),
        "EASEEncoder(dim=8, settings=EASESettings(ridge=2.0))",
    ),
    "linear_sequence": (
        lambda: LinearSequenceEncoder(8, settings=LinearSequenceSettings(decays=(0.5,))),
        "LinearSequenceEncoder(dim=8, settings=LinearSequenceSettings(decays=(0.5,)))",
    ),
    "two_tower": (
        lambda: TwoTowerEncoder(8, settings={"epochs": 2}, checkpoint="runs"),
        f"TwoTowerEncoder(dim=8, settings=TwoTowerSettings(epochs=2), checkpoint={Path('runs')!r})",
    ),
    "two_tower without settings": (lambda: TwoTowerEncoder(threads=2), "TwoTowerEncoder(threads=2)"),
    "combined": (
        lambda: CombinedEncoder([ContentEncoder(8), PopularityEncoder()], weights=[1, 0.5]),
        "CombinedEncoder(members=(ContentEncoder(dim=8), PopularityEncoder()), dim=10, weights=(1.0, 0.5))",
    ),
    "mmr": (lambda: MMRReranker(0.25), "MMRReranker(balance=0.25)"),
    "rating": (
        lambda: RatingReranker(20, settings={"hidden": [4]}),
        "RatingReranker(depth=20, settings=RatingSettings(hidden=(4,)))",
    ),
    "chain": (
        lambda: ChainReranker([MMRReranker(), RatingReranker()]),
        "ChainReranker(stages=(MMRReranker(), RatingReranker()))",
    ),
}
every_part = pytest.mark.parametrize(("make", "shown"), PARTS.values(), ids=PARTS)


@every_part
def test_a_part_shows_the_settings_that_differ_from_the_defaults(make: Callable[[], FittedPart], shown: str) -> None:
    assert repr(make()) == shown


@every_part
def test_the_constructor_takes_the_params(make: Callable[[], FittedPart], shown: str) -> None:
    part = make()
    params = part.get_params(deep=False)
    again: Any = type(part)(**params)
    assert repr(again) == shown
    for name, value in again.get_params(deep=False).items():
        assert value is params[name], name


@every_part
def test_scikit_learn_clones_a_part(make: Callable[[], FittedPart], shown: str) -> None:
    base: Any = import_module("sklearn.base")
    part = make()
    clone = base.clone(part)
    assert clone is not part
    assert repr(clone) == shown


@every_part
def test_an_unknown_param_is_refused(make: Callable[[], FittedPart], shown: str) -> None:
    part = make()
    with pytest.raises(InvalidDataError, match=f"'nonsense' is not a setting of {type(part).__name__}"):
        part.set_params(nonsense=1)
    assert repr(part) == shown


@pytest.mark.parametrize(
    ("make", "params", "shown"),
    [
        (lambda: ContentEncoder(8), {"dim": np.int64(16)}, "ContentEncoder(dim=16)"),
        (lambda: EASEEncoder(8), {"ridge": 3}, "EASEEncoder(dim=8, settings=EASESettings(ridge=3.0))"),
        (
            lambda: EASEEncoder(8, settings={"history": 5}),
            {"settings__ridge": 3.0, "seed": 2},
            "EASEEncoder(dim=8, seed=2, settings=EASESettings(ridge=3.0, history=5))",
        ),
        (
            lambda: EASEEncoder(8, settings={"history": 5}),
            {"settings": EASESettings(ridge=9.0), "history": 6},
            "EASEEncoder(dim=8, settings=EASESettings(ridge=9.0, history=6))",
        ),
        (MMRReranker, {"balance": 1, "depth": 7}, "MMRReranker(balance=1.0, depth=7)"),
    ],
)
def test_params_are_set(make: Callable[[], FittedPart], params: dict[str, Any], shown: str) -> None:
    part = make()
    assert part.set_params(**params) is part
    assert repr(part) == shown


def test_params_that_cannot_be_used_change_nothing() -> None:
    encoder = ContentEncoder(8).fit(tastes())
    before = encoder.encode_items([Item("item 1")])
    with pytest.raises(InvalidDataError, match="dim is 0"):
        encoder.set_params(seed=4, dim=0)
    assert (encoder.encode_items([Item("item 1")]) == before).all()
    assert encoder.seed == 0


def test_new_params_forget_what_was_learnt() -> None:
    encoder = ContentEncoder(8).fit(tastes())
    assert not encoder.set_params(seed=4).is_fitted


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        (TwoTowerSettings, "epoch", "epochs"),
        (TwoTowerSettings, "learning-rate", "learning_rate"),
        (LinearSequenceSettings, "decay", "decays"),
        (EASESettings, "Ridge", "ridge"),
        (RatingSettings, "drop_out", "dropout"),
    ],
)
def test_a_typing_error_is_named(kind: type[Settings], wrong: str, right: str) -> None:
    with pytest.raises(InvalidDataError) as refusal:
        kind.of({wrong: 1})
    assert refusal.value.problem == f"{wrong!r} is not a setting of {kind.__name__}"
    assert refusal.value.cure == f"did you mean {right!r}?"


def test_a_typing_error_in_set_params_is_named() -> None:
    with pytest.raises(InvalidDataError, match="did you mean 'epochs'"):
        TwoTowerEncoder().set_params(epoch=3)


@pytest.mark.parametrize("kind", [TwoTowerSettings, LinearSequenceSettings, EASESettings, RatingSettings])
def test_numpy_numbers_are_numbers_and_bools_are_not(kind: Any) -> None:
    integers = [name for name, value in kind().to_json().items() if type(value) is int]
    numbers = [name for name, value in kind().to_json().items() if type(value) is float]
    assert integers
    assert numbers
    for name in integers:
        assert type(getattr(kind.of({name: np.int64(2)}), name)) is int
    for name in [*integers, *numbers]:
        with pytest.raises(InvalidDataError, match=name):
            kind.of({name: True})
