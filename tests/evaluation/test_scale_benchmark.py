"""The benchmark of growth says what grows how, on a log that follows Zipf's law."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks._zipf import write_log
from benchmarks.scale import growth
from vecrec.data import Dataset


def test_the_log_follows_zipfs_law_and_repeats_itself(tmp_path: Path) -> None:
    """Each tenfold of ranks has about as many events; ids say nothing about ranks."""
    data = Dataset(write_log(tmp_path / "one", 30_000, 1_000))
    of_items = np.bincount(data.item_codes)
    counts = np.sort(of_items)[::-1]
    shares = np.add.reduceat(counts, [0, 10, 100]) / counts.sum()
    np.testing.assert_allclose(shares, [1 / 3] * 3, atol=0.06)
    assert abs(np.corrcoef(np.arange(data.n_items), of_items)[0, 1]) < 0.1
    assert Dataset(write_log(tmp_path / "two", 30_000, 1_000)).digest == data.digest
    assert Dataset(write_log(tmp_path / "three", 30_000, 1_000, seed=1)).digest != data.digest


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_two_largest_sizes(exponent: float) -> None:
    """Other logs of a size, and stages that were not measured, do not count."""
    runs: list[dict[str, Any]] = [
        {"items": n, "events": 10 * n, "stages": {"fit": {"gb": 7.0 * n**exponent}}} for n in (10, 1_000, 20_000)
    ]
    runs[0]["stages"]["fit"]["gb"] = 99.0
    runs += [{"items": 10, "events": 5, "stages": {"fit": {"gb": 3.0}}}, {"items": 1, "events": 10, "stages": {}}]
    found = growth(runs, "fit", "gb")
    assert found is not None
    assert abs(found - exponent) < 1e-9
    assert growth(runs[:1], "fit", "gb") is None
