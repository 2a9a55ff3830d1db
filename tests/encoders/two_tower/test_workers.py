"""Several processes that train together make the steps of one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.encoders.two_tower.boards import checkerboard, item, quick, user
from vecrec.encoders import TwoTowerEncoder
from vecrec.encoders.two_tower import workers
from vecrec.errors import InvalidDataError, TrainingError
from vecrec.progress import Step

STILL: dict[str, Any] = {
    "dropout": 0.0, "unknown_items": 0.0, "unknown_users": 0.0, "unknown_history": 0.0, "unknown_pause": 1.0
}  # fmt: skip
"""Nothing is drawn that is a process's own."""


def vectors(encoder: TwoTowerEncoder) -> np.ndarray:
    return np.concatenate([encoder.encode_users([*map(user, range(9))]), encoder.encode_items([*map(item, range(9))])])


def curve(encoder: TwoTowerEncoder) -> list[float]:
    return [epoch.loss for epoch in encoder.learning_curve]


@pytest.mark.parametrize(
    "settings", [{"sparse_above": 0}, {"loss": "rating", "user_ids": False}, {"layers": 1, "width": 6}]
)
def test_two_processes_learn_what_one_learns(settings: dict[str, Any]) -> None:
    """With whole tables and with gradients of some rows; with both losses; with recurrent layers."""
    kept = {**STILL, "epochs": 2, "min_steps": 20, "negatives": 8, **settings}
    alone = quick(**kept).fit(checkerboard())
    steps: list[Step] = []
    together = quick(**kept).set_params(workers=2).fit(checkerboard(), progress=steps.append)
    np.testing.assert_allclose(curve(together), curve(alone), rtol=1e-4)
    # Adam divides by the size of a gradient, which makes much of a rounding where it is nearly nothing.
    np.testing.assert_allclose(vectors(together), vectors(alone), atol=0.02)
    assert steps[-1].done == steps[-1].total
    assert any(step.validation is not None for step in steps)


def test_a_killed_process_ends_the_others_and_the_next_fit_goes_on(tmp_path: Path) -> None:
    """After the last whole epoch, to what an undisturbed run gives, bit for bit."""
    whole = quick(min_steps=40).set_params(workers=2).fit(checkerboard())

    def kill(step: Step) -> None:
        if step.validation is not None:
            os.kill(children()[-1], signal.SIGKILL)

    with pytest.raises(TrainingError, match="of 2 that train together ended with status"):
        quick(min_steps=40).set_params(workers=2, checkpoint=tmp_path).fit(checkerboard(), progress=kill)
    assert not children()
    assert [*tmp_path.iterdir()]
    again = quick(min_steps=40).set_params(workers=2, checkpoint=tmp_path).fit(checkerboard())
    np.testing.assert_array_equal(vectors(again), vectors(whole))


def children() -> list[int]:
    """The processes of this one that train."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (place / "cmdline").read_text()
        except OSError:
            continue
        if parent == os.getpid() and "two_tower.workers" in command:
            found.append(int(place.name))
    return sorted(found)


def test_an_interrupted_fit_leaves_no_process() -> None:
    def stop(step: Step) -> None:
        if step.stage == "train":
            assert len(children()) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(min_steps=40).set_params(workers=2).fit(checkerboard(), progress=stop)
    assert not children()
    assert threading.active_count() < 20


LAUNCHED = """
import json, sys
import numpy as np
from tests.encoders.two_tower.boards import checkerboard, quick
from tests.encoders.two_tower.test_workers import STILL, curve, vectors
fitted = quick(**STILL, min_steps=20).fit(checkerboard())
import paddle.distributed
with open(f"{sys.argv[1]}/{paddle.distributed.get_rank()}.json", "w") as file:
    json.dump([curve(fitted), vectors(fitted).tolist()], file)
"""


def test_a_program_that_paddle_launches_trains_together(tmp_path: Path) -> None:
    """Each of its processes calls ``fit`` and ends with the same encoder."""
    (tmp_path / "program.py").write_text(LAUNCHED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = [f"127.0.0.1:{port + number}" for number in range(2)]
    running = []
    for rank, place in enumerate(places):
        named = {
            "PADDLE_TRAINER_ID": str(rank),
            "PADDLE_TRAINERS_NUM": "2",
            "PADDLE_TRAINER_ENDPOINTS": ",".join(places),
            "PADDLE_CURRENT_ENDPOINT": place,
            "PADDLE_MASTER": places[0],
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
        running.append(subprocess.Popen(command, env={**os.environ, **named}))
    assert [process.wait(300) for process in running] == [0, 0]
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert one == other
    alone = quick(**STILL, min_steps=20).fit(checkerboard())
    np.testing.assert_allclose(one[0], curve(alone), rtol=1e-4)


def test_each_process_is_told_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """In turn, unless one is named; a CPU needs no word."""
    monkeypatch.setattr("vecrec.learning.paddle.gpu_count", lambda: 2)
    told = [workers._gpu("gpu", rank)["FLAGS_selected_gpus"] for rank in range(3)]
    assert told == ["0", "1", "0"]
    assert workers._gpu("gpu:1", 0) == {"FLAGS_selected_gpus": "1"}
    assert workers._gpu("cpu", 1) == {}


def test_how_many_must_be_a_number() -> None:
    for number in (0, -1, 1.5, True, "2"):
        with pytest.raises(InvalidDataError, match="workers"):
            TwoTowerEncoder(workers=number)  # type: ignore[arg-type]
