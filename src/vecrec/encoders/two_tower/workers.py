"""Training in several processes of this machine. Run as a module, it is one of them."""

from __future__ import annotations

import os
import pickle
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from vecrec._internal.files import writing
from vecrec.encoders.two_tower.inference import Towers
from vecrec.encoders.two_tower.learning_curve import Epoch
from vecrec.errors import TrainingError
from vecrec.progress import Progress, Step

if TYPE_CHECKING:
    from vecrec.encoders.two_tower.settings import ResolvedSettings
    from vecrec.encoders.two_tower.training import Plan
    from vecrec.encoders.two_tower.training_data import TrainingData

__all__ = ["train_apart"]

_TOLD = 4_000
"""Characters at most of what a process wrote before it ended."""


def train_apart(
    data: TrainingData, settings: ResolvedSettings, plan: Plan, workers: int, progress: Progress
) -> tuple[Towers, list[Epoch]]:
    """What `vecrec.encoders.two_tower.training.train` returns, by several processes.

    They are programs of their own, not forks of this one, so the application needs no ``if __name__ == "__main__":``.

    Args:
        data: What they train on; each has a copy.
        settings: Of the encoder.
        plan: How the run goes.
        workers: How many processes.
        progress: Receives each step of the first one.

    Raises:
        TrainingError: when one of them ends early; the others are ended too.
    """
    with TemporaryDirectory(prefix="vecrec-training-") as name:
        folder = Path(name)
        with writing(folder), (folder / "work").open("wb") as file:
            pickle.dump((data, settings, plan), file, protocol=5)
        with _started(folder, workers, plan.device) as processes:
            _follow(processes, folder, progress)
        with (folder / "result").open("rb") as file:
            weights, ordered, pauses, epochs = pickle.load(file)  # noqa: S301 - written by the process started above
    return Towers(weights, settings, data.top_rating, ordered=ordered, pauses=pauses), epochs


@contextmanager
def _started(folder: Path, workers: int, device: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes, which do not outlive the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = [f"127.0.0.1:{port + number}" for number in range(workers)]
    common = {
        "PADDLE_TRAINERS_NUM": str(workers),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(places),
        "PADDLE_MASTER": places[0],
        "PADDLE_DISTRI_BACKEND": "gloo",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank, place in enumerate(places):
            with (folder / f"errors-{rank}").open("wb") as errors:
                own = {"PADDLE_TRAINER_ID": str(rank), "PADDLE_CURRENT_ENDPOINT": place, **_gpu(device, rank)}
                command = [sys.executable, "-m", __spec__.name, str(folder)]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
                processes.append(subprocess.Popen(command, env={**os.environ, **common, **own}, **pipes))  # type: ignore[call-overload] # noqa: S603
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _gpu(device: str, rank: int) -> dict[str, str]:
    """How PaddlePaddle's launcher tells a process which GPU is its own; they take turns where ``device`` names none."""
    if device == "cpu":
        return {}
    from vecrec.learning.paddle import gpu_count

    return {"FLAGS_selected_gpus": device.partition(":")[2] or str(rank % gpu_count())}


def _follow(processes: list[subprocess.Popen[bytes]], folder: Path, progress: Progress) -> None:
    """Hand on the steps of the first process until all have ended well."""
    said: queue.Queue[tuple[int, Step | None]] = queue.Queue()
    for rank, process in enumerate(processes):
        threading.Thread(target=_listen, args=(rank, process.stdout, said), daemon=True).start()
    running = len(processes)
    while running:
        rank, step = said.get()
        if step is not None:
            progress(step)
            continue
        running -= 1
        if status := processes[rank].wait():
            told = (folder / f"errors-{rank}").read_text(errors="replace").strip()[-_TOLD:]
            raise TrainingError(
                f"process {rank} of {len(processes)} that train together ended with status {status}\n{told}",
                "look at what it wrote; with checkpoint= the next fit goes on after the last whole epoch",
            )


def _listen(rank: int, pipe: IO[bytes], said: queue.Queue[tuple[int, Step | None]]) -> None:
    """Hand on what a process says, and at last that it has ended."""
    try:
        while True:
            said.put((rank, pickle.load(pipe)))  # noqa: S301 - from a process that this one started
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        said.put((rank, None))


def _work(folder: Path) -> None:
    """Train as one of the ranks that the environment names."""
    from vecrec.encoders.two_tower import training

    # What libraries print must not come between the steps.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with (folder / "work").open("rb") as file:
        data, settings, plan = pickle.load(file)  # noqa: S301 - written by the process that started this one
    first = os.environ["PADDLE_TRAINER_ID"] == "0"

    def tell(step: Step) -> None:
        if first:
            pickle.dump(step, pipe)
            pipe.flush()

    towers, epochs = training.train(data, settings, plan, tell)
    if first:
        result = towers.weights, towers.ordered, towers.pauses, epochs
        (folder / "result").write_bytes(pickle.dumps(result, protocol=5))


def _end_with_parent() -> None:
    """End when the process that started this one has: then its input ends."""
    os.read(0, 1)  # not by sys.stdin, whose lock a thread must not hold when the interpreter ends
    os._exit(1)


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
