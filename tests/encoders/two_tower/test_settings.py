"""Settings say what is wrong with them, and survive being saved."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tests.evaluation.walks import walks
from vecrec.encoders import TwoTowerEncoder, TwoTowerSettings
from vecrec.encoders.two_tower.settings import ResolvedSettings
from vecrec.errors import InvalidDataError

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "mse"), ("loss", None), ("decays", 0.5), ("decays", "0.5"), ("decays", (1.0,)), ("decays", (-0.1,)),
        ("decays", (0.5, 0.5)), ("decays", (NAN,)), ("hidden", -1), ("hidden", 1.0), ("hidden", True),
        ("user_ids", 1), ("history", -1), ("negatives", 0), ("negative_power", 1.5), ("batch", 0), ("epochs", 0),
        ("min_steps", 0), ("patience", 0), ("learning_rate", 0), ("learning_rate", NAN), ("learning_rate", "0.1"),
        ("dropout", 1.0), ("unknown_items", -0.1), ("unknown_users", 2), ("unknown_history", None),
        ("validation_users", -1), ("sparse_above", -1),
        ("horizon", 0), ("horizon", 1.5), ("layers", -1), ("layers", True), ("width", 0),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_refused(name: str, value: object) -> None:
    """The message names the setting and shows the value."""
    with pytest.raises(InvalidDataError) as caught:
        TwoTowerSettings(**{name: value})  # type: ignore[arg-type]
    assert name.rstrip("s") in str(caught.value)
    assert repr(value).strip("(,)").split(",")[0] in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"dim": 1},
        {"dim": 2.0},
        {"dim": True},
        {"seed": -1},
        {"seed": "1"},
        {"threads": 0},
        {"settings": {"epoch": 3}},
        {"settings": 3},
    ],
)
def test_an_argument_that_cannot_be_used_is_refused(arguments: dict[str, object]) -> None:
    """So does the encoder itself."""
    with pytest.raises(InvalidDataError, match="epochs" if "epoch" in str(arguments) else next(iter(arguments))):
        TwoTowerEncoder(**arguments)  # type: ignore[arg-type]


def test_settings_may_be_a_dictionary_of_changes() -> None:
    encoder = TwoTowerEncoder(settings={"epochs": 3, "decays": [0.5]})
    assert encoder.settings == TwoTowerSettings(epochs=3, decays=(0.5,))


def test_what_suits_recurrent_layers_can_be_changed() -> None:
    settings = TwoTowerSettings.recurrent(width=32, epochs=2)
    assert (settings.width, settings.epochs) == (32, 2)
    assert settings.layers > 0
    with pytest.raises(InvalidDataError, match="breadth"):
        TwoTowerSettings.recurrent(breadth=3)


def test_what_is_not_given_follows_from_the_data() -> None:
    """Items with few events get other settings than items with many; what is given stays, in either case."""
    few, many = (np.array([0, each, each]) for each in (9, 900))
    sparse, dense = (ResolvedSettings.of_data(TwoTowerSettings(), counts) for counts in (few, many))
    assert sparse.hidden == 0
    assert sparse.epochs > dense.epochs
    assert sparse.negatives > dense.negatives
    assert dense == ResolvedSettings()
    given = TwoTowerSettings(hidden=8, user_ids=True, epochs=2, dropout=0.0)
    found = ResolvedSettings.of_data(given, few)
    assert found == ResolvedSettings(hidden=8, user_ids=True, epochs=2, dropout=0.0, negatives=sparse.negatives)
    rating = ResolvedSettings.of_data(TwoTowerSettings(loss="rating"), few)
    assert rating == ResolvedSettings(loss="rating", user_ids=True)


def test_the_learning_report_tells_what_followed_from_the_data() -> None:
    report = TwoTowerEncoder(8, settings={"epochs": 1, "hidden": 0, "min_steps": 1}).fit(walks(20)).learning_report
    assert report is not None
    assert report.chosen == {"negatives": 4096, "dropout": 0.5, "best epoch": 1}
    assert str(report).endswith("(negatives 4096, dropout 0.5, best epoch 1)")


def test_settings_cannot_be_changed() -> None:
    """What an encoder was made with stays."""
    settings = TwoTowerSettings()
    with pytest.raises(FrozenInstanceError):
        settings.epochs = 3  # type: ignore[misc]


def test_settings_survive_json() -> None:
    """Every field comes back, tuples as tuples; a field of a newer version is refused."""
    settings = TwoTowerSettings(decays=(0.0, 0.5), epochs=3, loss="rating")
    held = json.loads(json.dumps(settings.to_json()))
    assert TwoTowerSettings.from_json(held) == settings
    with pytest.raises(InvalidDataError, match="warp_speed"):
        TwoTowerSettings.from_json(held | {"warp_speed": 9})
