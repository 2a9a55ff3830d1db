"""What format 1 saved loads for ever, and gives the vectors that it gave when it was saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.registry import find_part
from vecrec.types import Event, Item, User

SAMPLES = Path(__file__).parent / "samples"
NAMES = sorted(path.name for path in SAMPLES.iterdir() if path.is_dir())


def load(directory: Path) -> Encoder:
    kind: Any = find_part("vecrec.encoders", json.loads((directory / "encoder.json").read_text())["encoder"])
    loaded: Encoder = kind.load(directory)
    return loaded


def asked() -> tuple[list[Item], list[User]]:
    value = json.loads((SAMPLES / "asked.json").read_text())
    users = [
        User(key, profile, [Event(None, item, time, rating) for item, time, rating in history])
        for key, profile, history in value["users"]
    ]
    return [Item(key, features) for key, features in value["items"]], users


def test_there_is_a_sample_of_every_encoder() -> None:
    kinds = {json.loads((SAMPLES / name / "encoder.json").read_text())["encoder"] for name in NAMES}
    assert kinds == {"combined", "content", "ease", "linear_sequence", "popularity", "two_tower"}


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_gives_the_vectors_that_it_gave(name: str) -> None:
    items, users = asked()
    encoder = load(SAMPLES / name)
    with np.load(SAMPLES / name / "golden.npz", allow_pickle=False) as golden:
        assert np.ptp(golden["items"]) > 0
        np.testing.assert_allclose(encoder.encode_items(items), golden["items"], atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(encoder.encode_users(users), golden["users"], atol=1e-5, rtol=1e-5)
        assert encoder.fingerprint == str(golden["fingerprint"])


@pytest.mark.parametrize("name", NAMES)
def test_a_newer_format_is_refused(name: str, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / name, tmp_path / name)
    path = tmp_path / name / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(InvalidDataError) as refusal:
        load(tmp_path / name)
    assert "99" in refusal.value.problem
    assert refusal.value.cure == "upgrade vecrec"
