"""The notebook runs from top to bottom, draws its pictures, and is kept without what it printed."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient

_NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "recommender_system.ipynb"
# Two epochs say as much as five about whether it works.
_QUICK = 'DATA = "100k"\nSETTINGS = TwoTowerSettings(epochs=2, min_steps=2)'


def _cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs() -> None:
    """They would hold rows of MovieLens, which may not be passed on."""
    cells = _cells(nbformat.read(_NOTEBOOK, as_version=4))
    assert len(cells) > 10
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


def test_names_on_the_map_do_not_overlap() -> None:
    """Not even where all points are in one place; and each name is written."""
    (source,) = [
        cell.source for cell in _cells(nbformat.read(_NOTEBOOK, as_version=4)) if "def write_names" in cell.source
    ]
    defined: dict[str, Any] = {"np": np}
    exec(source, defined)
    axes = Figure(figsize=(11, 8)).subplots()
    names = ["Star Wars", "The Godfather", "Toy Story", "A name that is longer than the others", "Alien", "Scream"]
    boxes = defined["write_names"](axes, np.full((6, 2), 0.5), names)
    assert [text.get_text() for text in axes.texts] == names
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.slow
def test_it_runs_and_draws(tmp_path: Path) -> None:
    """Lists with titles, four pictures, and two towers that beat popularity."""
    notebook = nbformat.read(_NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = _QUICK
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in _cells(notebook) for output in cell.outputs]
    data = [output.data for output in outputs if output.output_type == "display_data"]
    assert sum("image/png" in each for each in data) == 4
    tables = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert len(tables) == 7
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "two towers less popularity = +" in printed
    assert "INFO" not in printed
    assert list(tmp_path.iterdir()) == []
