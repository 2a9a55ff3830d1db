"""Data sets without times, in the text format of SASRec and S3-Rec: a user a line, then the items in order of time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vecrec.data import Dataset, MultiCategorical, Schema

__all__ = ["load_sequences"]


def load_sequences(directory: str | Path, *, attributes: bool = False) -> Dataset:
    """Read the one ``NAME.txt`` of a directory, and ``NAME_item2attributes.json`` beside it where that is wanted.

    Args:
        directory: Where the files are.
        attributes: Whether items have the numbers of their attributes as the feature ``attributes``.

    Raises:
        FileNotFoundError: when there is not exactly one text file.
    """
    files = sorted(Path(directory).glob("*.txt"))
    if len(files) != 1:
        raise FileNotFoundError(f"{len(files)} files end in .txt in the directory, not one")
    rows = [line.split() for line in files[0].read_text().splitlines() if line.strip()]
    log = {
        "user_id": [int(user) for user, *items in rows for _ in items],
        "item_id": [int(item) for _, *items in rows for item in items],
    }
    name = files[0].stem
    if not attributes:
        return Dataset(log, order="rows", name=name)
    table: dict[str, list[int]] = json.loads(files[0].with_name(f"{name}_item2attributes.json").read_text())
    records: list[dict[str, Any]] = [
        {"item_id": int(item), "attributes": [str(number) for number in numbers]} for item, numbers in table.items()
    ]
    schema = Schema(items=(MultiCategorical("attributes"),))
    return Dataset(log, records, schema=schema, order="rows", name=f"{name} with attributes")
