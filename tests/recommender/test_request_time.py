"""The time of a request reaches the encoder by every door, and counts everywhere or nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.encoders.two_tower.boards import quick
from tests.encoders.two_tower.test_request_time import LATER, SOON, returning
from tests.serving.web import get, listening
from vecrec import Event, Recommender, User
from vecrec.cli import main
from vecrec.config import Settings
from vecrec.config.compose import compose
from vecrec.errors import InvalidDataError
from vecrec.serving import create_app

LAST = float(round(time.time() - LATER))
"""When user "back" did something for the last time: chose an item of the upper half."""


def iso(at: float) -> str:
    """A time as text."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def rec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """Towers that have learnt that people who come back later want the other half of the catalogue."""
    settings = Settings.load(None, name="times", artifacts=str(tmp_path_factory.mktemp("times")))
    with compose(settings, encoder=quick(user_ids=False, min_steps=1500)) as made:
        made.fit(returning())
        made.record([Event("back", 21, LAST - 10), Event("back", 25, LAST)])
        yield made


def half(item_ids: Any) -> str:
    """The half of the catalogue that a list is of."""
    upper = [int(item_id) >= 20 for item_id in item_ids]
    return "upper" if all(upper) else "lower" if not any(upper) else "both"


def test_a_request_is_of_a_time(rec: Recommender) -> None:
    """By default of now, a day after the last event; a text is read like any time."""
    assert half(rec.recommend("back", 5, at=LAST + SOON).item_ids) == "upper"
    assert half(rec.recommend("back", 5, at=LAST + LATER).item_ids) == "lower"
    assert half(rec.recommend("back", 5, at=iso(LAST + LATER)).item_ids) == "lower"
    assert rec.recommend("back", 5).item_ids == rec.recommend("back", 5, at=time.time()).item_ids
    assert half(rec.recommend("back", 5).item_ids) == "lower"
    assert half(rec.recommend_many(["back", 3], 5, at=LAST + SOON)[0].item_ids) == "upper"
    assert half(rec.rank("back", range(40), at=LAST + SOON).item_ids[:5]) == "upper"


def test_a_user_may_bring_the_time(rec: Recommender) -> None:
    history = [Event(None, 21, LAST - 10), Event(None, 25, LAST)]
    assert half(rec.recommend_for(User(None, {}, history, LAST + SOON), 5).item_ids) == "upper"
    assert half(rec.recommend_for(User(None, {}, history), 5, at=LAST + SOON).item_ids) == "upper"
    assert half(rec.recommend_for(User(None, {}, history), 5).item_ids) == "lower"


def test_without_a_time_nothing_depends_on_it(rec: Recommender) -> None:
    """Nor where the history has none."""
    blind = rec.recommend("back", 5, at=None).item_ids
    assert blind == rec.recommend_for(User(None, {}, [21, 25]), 5, at=LAST + LATER).item_ids
    assert blind == rec.recommend_for(User(None, {}, [21, 25]), 5).item_ids
    long_ago = [Event(None, 21, 1e9 - 10), Event(None, 25, 1e9)]
    assert blind == rec.recommend_for(User(None, {}, long_ago), 5).item_ids  # of years, the data say nothing


def test_an_explanation_is_of_the_same_time(rec: Recommender) -> None:
    for at in (LAST + SOON, LAST + LATER, None):
        found = rec.recommend("back", 5, at=at)
        explained = rec.explain("back", found.item_ids[0], at=at)
        assert explained.score == pytest.approx(found[0].score, abs=1e-4)
        assert sum(part.value for part in explained.parts) == pytest.approx(explained.score, abs=1e-4)
        many = rec.explain_many("back", found.item_ids, at=at)
        assert [each.score for each in many if each] == pytest.approx([item.score for item in found], abs=1e-4)


@pytest.mark.parametrize("at", ["soon", True, float("nan"), [1.0], {}])
def test_what_is_not_a_time_is_refused(rec: Recommender, at: Any) -> None:
    with pytest.raises(InvalidDataError, match="at"):
        rec.recommend("back", 5, at=at)
    if at != "soon":
        with pytest.raises(InvalidDataError):
            User("back", at=at)


def test_by_http(rec: Recommender) -> None:
    """In the query and in the body, for lists, batches and explanations; what is not a time is refused."""
    with listening(create_app(rec)) as client:

        def ids(answer: Any) -> list[int]:
            return [item["item_id"] for item in answer["items"]]

        path, soon, later = "/v1/users/back/recommendations", LAST + SOON, LAST + LATER
        for at, wanted in ((soon, "upper"), (later, "lower"), ("now", "lower"), (iso(soon), "upper")):
            found = get(client.get(path, params={"k": 5, "at": at, "explain": True}))
            assert half(ids(found)) == wanted
            body = {"user_id": "back", "k": 5, "at": at}
            assert ids(get(client.post("/v1/recommendations", json=body))) == ids(found)
            batch = {"user_ids": ["back"], "k": 5, "at": at}
            assert ids(get(client.post("/v1/recommendations/batch", json=batch))["lists"][0]) == ids(found)
            reason = get(client.get(f"{path}/{ids(found)[0]}/explanation", params={"at": at}))
            assert reason["score"] == pytest.approx(found["items"][0]["score"], abs=1e-4)
            again = get(client.post("/v1/explanations", json={**body, "item_id": ids(found)[0]}))
            assert again["score"] == pytest.approx(reason["score"], abs=1e-4)
        blind = get(client.post("/v1/recommendations", json={"user_id": "back", "k": 5, "at": None}))
        assert ids(blind) == rec.recommend("back", 5, at=None).item_ids
        for answer in (
            client.get(path, params={"at": "soon"}),
            client.post("/v1/recommendations", json={"user_id": "back", "at": "soon"}),
            client.post("/v1/recommendations", json={"user_id": "back", "at": True}),
        ):
            assert answer.status_code == 422, answer.text


def test_by_the_command_line(rec: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--name", "times", "--artifacts", str(rec._archive.path.parent), "--json"]
    for at, wanted in ((LAST + SOON, "upper"), (LAST + LATER, "lower")):
        assert main(["recommend", "back", "-k", "5", "--at", str(at), *where]) == 0
        found = json.loads(capsys.readouterr().out)
        assert half([item["item_id"] for item in found["items"]]) == wanted
        assert main(["explain", "back", str(found["items"][0]["item_id"]), "--at", str(at), *where]) == 0
        assert json.loads(capsys.readouterr().out)["score"] == pytest.approx(found["items"][0]["score"], abs=1e-4)
    assert main(["recommend", "back", "--at", "soon", *where]) != 0
