"""What the feedback policy says about events reaches every encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vecrec import Item, User
from vecrec.data import Dataset
from vecrec.encoders import ContentEncoder, EASEEncoder, LinearSequenceEncoder
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError


@pytest.mark.parametrize("make", [ContentEncoder, lambda: EASEEncoder(dim=8), lambda: LinearSequenceEncoder(dim=8)])
def test_nothing_is_learnt_from_dislikes(make: Callable[[], Encoder]) -> None:
    """A log with thumbs down makes the same encoder as the log without them; one of nothing else is refused."""
    rng = np.random.default_rng(0)
    table = {"user_id": np.repeat(np.arange(60), 8), "item_id": rng.permutation(480) % 40, "time": np.arange(480)}
    down = table["item_id"] % 5 == 0
    items = [Item(n, {"shelf": f"s{n % 3}"}) for n in range(40)]
    both = Dataset({**table, "rating": np.where(down, 0, 4)}, items)
    liked = Dataset({name: column[~down] for name, column in table.items()}, items, [User(n) for n in range(60)])
    left, right = make().fit(both), make().fit(liked)
    np.testing.assert_array_equal(left.encode_items(items), right.encode_items(items))
    with pytest.raises(InvalidDataError, match="none of the 480 events is positive"):
        make().fit(Dataset({**table, "rating": [-1] * 480}, items))
