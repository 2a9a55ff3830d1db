"""Processes that train one model together. Only training imports this module.

Every rank draws the same steps and computes with some users of each; the gradients are added up by PaddlePaddle's
collective operators, so that all ranks make the same change. A step is that of one process, whatever their number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import distributed
from typing_extensions import Self

from vecrec.encoders.two_tower.network import TwoTowers
from vecrec.encoders.two_tower.sampling import Batch

__all__ = ["Ranks"]

Array = NDArray[np.float32]


class Ranks:
    """The processes that train together, as one of them sees it.

    Args:
        rank: Its number, from 0.
        size: How many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def joined(cls) -> Self:
        """Those that the environment names, as ``python -m paddle.distributed.launch`` sets it; this one alone else."""
        if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) < 2:
            return cls()
        if not distributed.is_initialized():
            # Gloo connects any machines; with nccl, if the environment names it, tensors stay on the GPUs.
            os.environ.setdefault("PADDLE_DISTRI_BACKEND", "gloo")
            device = paddle.get_device()
            distributed.init_parallel_env()
            paddle.set_device(device)
        return cls(distributed.get_rank(), distributed.get_world_size())

    def share(self, batch: Batch) -> Batch:
        """The part of a step that this rank computes."""
        return batch if self.size == 1 else batch.users_from(self.rank, self.size)

    def add_up(self, network: TwoTowers, loss: float | None) -> float | None:
        """Make the gradients those of all ranks together; the loss of all of them, ``None`` where none had any."""
        if self.size == 1:
            return loss
        parameters = dict(network.named_parameters())
        sparse = [name for name in network.sparse if name in parameters]
        dense = [name for name in parameters if name not in sparse]
        with paddle.no_grad():
            told = self._sum(
                [parameters[name] for name in dense], [0.0 if loss is None else loss, float(loss is not None)]
            )
        for name in sparse:
            self._gather(parameters[name])
        total, some = told
        return total if some else None

    def agree(self, values: Sequence[float]) -> list[float]:
        """What the first rank says: where it measures, no other one may find something else."""
        if self.size == 1:
            return list(values)
        told = self._sent(paddle.to_tensor(np.array(values, np.float64)))
        distributed.broadcast(told, 0)
        return [float(value) for value in told.numpy()]

    def _sum(self, parameters: list[paddle.Tensor], numbers: list[float]) -> list[float]:
        """Add up the gradients, and some numbers with them, in one message."""
        parts = [_dense(parameter).flatten() for parameter in parameters]
        summed = self._sent(paddle.concat([*parts, paddle.to_tensor(numbers)]))
        distributed.all_reduce(summed)
        *gradients, told = paddle.split(summed, [*map(len, parts), len(numbers)])
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient.reshape(parameter.shape).to(parameter.place)
        return [float(number) for number in told.numpy()]

    def _gather(self, table: paddle.Tensor) -> None:
        """Make the gradient of a table, of some of its rows, that of all ranks."""
        rows, values = _sparse(table)
        counts = self._of_all(np.array([len(rows)]))[:, 0]
        padded = np.zeros(int(counts.max()), np.int64), np.zeros((int(counts.max()), table.shape[1]), np.float32)
        padded[0][: len(rows)], padded[1][: len(rows)] = rows, values
        all_rows, all_values = (self._of_all(array) for array in padded)
        there = np.arange(len(padded[0])) < counts[:, None]
        table.clear_grad()
        if counts.any():
            # Only an operator makes a gradient of some rows.
            found = paddle.nn.functional.embedding(paddle.to_tensor(all_rows[there]), table, sparse=True)
            paddle.sum(found * paddle.to_tensor(all_values[there])).backward()

    def _of_all(self, array: NDArray[Any]) -> NDArray[Any]:
        """The arrays of all ranks, of one shape, stacked."""
        found: list[paddle.Tensor] = []
        distributed.all_gather(found, self._sent(paddle.to_tensor(array)))
        return np.stack([each.numpy() for each in found])

    def _sent(self, tensor: paddle.Tensor) -> paddle.Tensor:
        """The tensor where the collective operators take it from: gloo in the host's memory, nccl in a GPU's."""
        return tensor.cpu() if distributed.get_backend() == "GLOO" else tensor.cuda()


def _dense(parameter: paddle.Tensor) -> paddle.Tensor:
    return paddle.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _sparse(table: paddle.Tensor) -> tuple[NDArray[np.int64], Array]:
    """The rows of a gradient, each once, and its values."""
    if table.grad is None:
        return np.zeros(0, np.int64), np.zeros((0, table.shape[1]), np.float32)
    rows, places = np.unique(np.array(table.grad.rows(), np.int64), return_inverse=True)
    values = np.zeros((len(rows), table.shape[1]), np.float32)
    np.add.at(values, places, table.grad.numpy())
    return rows, values
