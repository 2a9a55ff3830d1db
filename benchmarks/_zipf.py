"""A log by Zipf's law of any length, as a folder of Parquet files, written piece by piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["EVENTS_A_USER", "write_log"]

EVENTS_A_USER = 20
"""Events of each user, on average; some have a hundred times as many as others."""

_PIECE = 1 << 20
_START = 1_700_000_000


def write_log(folder: Path, n_events: int, n_items: int, seed: int = 0) -> Path:
    """Write the events, a million a file, in order of time.

    The item of rank r is drawn with a chance of about 1 / r, the user of rank r with one of about 1 / sqrt(r). Ids of
    users are integers and ids of items are texts, each without an order that would follow from the ranks.
    """
    rng = np.random.default_rng(seed)
    n_users = max(1, n_events // EVENTS_A_USER)
    users = rng.permutation(n_users)
    names = pa.array(np.char.add("item-", rng.permutation(n_items).astype(str)))
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, n_events, _PIECE)):
        count = min(_PIECE, n_events - start)
        ranks = np.minimum((n_items + 1) ** rng.random(count), n_items).astype(np.int32) - 1
        table = {
            "user_id": users[(n_users * rng.random(count) ** 2).astype(np.int64)],
            "item_id": pa.DictionaryArray.from_arrays(ranks, names).cast(pa.string()),
            "time": _START + np.arange(start, start + count),
        }
        pq.write_table(pa.table(table), folder / f"part-{number:04}.parquet")
    return folder
