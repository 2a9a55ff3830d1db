"""What the feedback policy says about events reaches every encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vecrec import Item, User
from vecrec.data import Dataset
from vecrec.encoders import ContentEncoder, EASEEncoder, LinearSequenceEncoder, PopularityEncoder
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.feedback import FeedbackPolicy

CLOSED_FORMS = [ContentEncoder, lambda: EASEEncoder(dim=8), lambda: LinearSequenceEncoder(dim=8)]


@pytest.mark.parametrize("make", [*CLOSED_FORMS, PopularityEncoder])
@pytest.mark.parametrize("dated", [True, False])
def test_equal_weights_are_no_weights(make: Callable[[], Encoder], dated: bool) -> None:
    """Whatever they all are, the vectors are the same to the last bit, with times or without."""
    rng = np.random.default_rng(0)
    table = {"user_id": np.repeat(np.arange(60), 8), "item_id": rng.integers(0, 40, 480), "kind": ["view"] * 480}
    if dated:
        table["time"] = np.arange(480)
    found = []
    for policy in (FeedbackPolicy(), *(FeedbackPolicy(weights={"view": weight}) for weight in (5, 0.3, 49))):
        data = Dataset(table, feedback=policy)
        encoder = make().fit(data)
        users = [User(), *data.users(history=True)]
        found.append(np.concatenate([encoder.encode_items(list(data.items())), encoder.encode_users(users)]))
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])


@pytest.mark.parametrize("make", [lambda: EASEEncoder(dim=8), lambda: LinearSequenceEncoder(dim=8)])
@pytest.mark.parametrize("dated", [True, False])
def test_items_that_are_not_to_be_predicted_say_something_and_are_not_said(
    make: Callable[[], Encoder], dated: bool
) -> None:
    """Views tell what is bought and are no targets: who viewed an item of a half is offered what this half buys."""
    rng = np.random.default_rng(0)
    events = []
    for user in range(80):
        views, buys = rng.choice(10, 3, replace=False), rng.choice(10, 3, replace=False)
        events += [(user, f"viewed {user % 2} {item}", "view") for item in views]
        events += [(user, f"bought {user % 2} {item}", "purchase") for item in buys]
    table = {name: [event[place] for event in events] for place, name in enumerate(("user_id", "item_id", "kind"))}
    if dated:
        table["time"] = list(range(len(events)))
    encoder = make().fit(Dataset(table, feedback=FeedbackPolicy(targets={"purchase"})))
    users = encoder.encode_users([User(None, {}, [f"viewed {half} 3"]) for half in (0, 1)])
    bought = [encoder.encode_items([Item(f"bought {half} {item}") for item in range(10)]) for half in (0, 1)]
    scores = [[float((user @ items.T).mean()) for items in bought] for user in users]
    assert scores[0][0] > scores[0][1]
    assert scores[1][1] > scores[1][0]


@pytest.mark.parametrize("make", CLOSED_FORMS)
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
