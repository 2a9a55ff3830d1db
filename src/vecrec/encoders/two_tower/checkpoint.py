"""What a training run that ended early can go on from: one npz file without pickle, replaced after every epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.files import reading, writing
from vecrec._internal.storage import load_arrays, save_arrays
from vecrec.encoders.two_tower.learning_curve import Epoch
from vecrec.errors import InvalidDataError

if TYPE_CHECKING:
    import paddle

    from vecrec.encoders.two_tower.network import TwoTowers

__all__ = ["State", "load", "remove", "save"]

_FILE = "two_tower.checkpoint.npz"


@dataclass(slots=True)
class State:
    """How far training has come."""

    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    """The best of them, from 1; 0 before the first."""
    best: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """The weights after it."""
    curve: list[Epoch] = field(default_factory=list)
    """What was measured after each."""


def save(
    directory: Path | None, key: str, network: TwoTowers, optimizer: paddle.optimizer.Optimizer, state: State
) -> None:
    """Replace the checkpoint in one step.

    Args:
        directory: Where; ``None`` to keep none.
        key: Stands for everything that the result depends on.
        network: Its weights are kept.
        optimizer: Its moments are kept.
        state: The rest.
    """
    if directory is None:
        return
    about = {
        "key": key,
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        "curve": [epoch.to_json() for epoch in state.curve],
    }
    parts = {
        "weight": network.weights(),
        "best": state.best,
        "moment": _moments(network, optimizer),
    }
    arrays = {f"{part}/{name}": array for part, group in parts.items() for name, array in group.items()}
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        save_arrays(directory / _FILE, {"about": np.array(json.dumps(about)), **arrays})


def load(directory: Path | None, key: str, network: TwoTowers, optimizer: paddle.optimizer.Optimizer) -> State | None:
    """Take a checkpoint up, so that network and optimizer are as they were.

    ``None``, and nothing changed, where there is none of this key.
    """
    held = _read(directory)
    if held is None or (about := json.loads(str(held["about"])))["key"] != key:
        return None
    network.set_weights(_part(held, "weight"))
    optimizer.set_state_dict(_state(network, _part(held, "moment")))
    curve = [Epoch.from_json(value) for value in about["curve"]]
    return State(about["epoch"], about["best_epoch"], _part(held, "best"), curve)


def remove(directory: Path | None) -> None:
    """Delete the checkpoint, if there is one."""
    if directory is not None:
        (directory / _FILE).unlink(missing_ok=True)


def _read(directory: Path | None) -> dict[str, NDArray[Any]] | None:
    if directory is None or not (directory / _FILE).is_file():
        return None
    try:
        with reading(f"{directory / _FILE} is damaged", "train again"):
            return load_arrays(directory / _FILE)
    except InvalidDataError:
        # A damaged checkpoint costs time, not the run.
        return None


def _part(held: dict[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    prefix = f"{part}/"
    return {name.removeprefix(prefix): array for name, array in held.items() if name.startswith(prefix)}


def _moments(network: TwoTowers, optimizer: paddle.optimizer.Optimizer) -> dict[str, NDArray[Any]]:
    names = _names(network)
    state = {key: value.numpy() for key, value in optimizer.state_dict().items() if key != "LR_Scheduler"}
    return {f"{names[key.rsplit('.w_', 1)[0]]}/{key.rsplit('.w_', 1)[1]}": value for key, value in state.items()}


def _names(network: TwoTowers) -> dict[str, str]:
    """PaddlePaddle's names of the parameters, which differ from process to process, and ours."""
    return {parameter.name.rsplit(".w_", 1)[0]: name for name, parameter in network.named_parameters()}


def _state(network: TwoTowers, moments: dict[str, NDArray[Any]]) -> dict[str, Any]:
    import paddle

    theirs = {name: key for key, name in _names(network).items()}
    split = ((name.split("/", 1), value) for name, value in moments.items())
    return {f"{theirs[name]}.w_{rest}": paddle.to_tensor(value) for (name, rest), value in split}
