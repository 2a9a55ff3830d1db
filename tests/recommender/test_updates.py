"""`update_items`, and the values that items and users are made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.recommender.engines import ENGINES, Engine, each_engine, snapshot
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Item, Recommender, User, field
from vecrec.data import Dataset
from vecrec.errors import InvalidDataError, ItemNotFoundError, NotFittedError


@each_engine((*ENGINES,))
def test_single_fields_change_in_both_stores(engine: Engine) -> None:
    """What changed is found by its filter at once; the other fields and items stay; both stores agree."""
    with engine.recommender() as rec:
        rec.fit(world())
        before = rec.get_items([7, 8, 9])
        rec.update_items({7: {"year": 2050, "sale": None}, 8: {"title": None}, 9: {"year": 2051, "tastes": ["war"]}})
        found = rec.get_items([7, 8, 9])
        assert found[7].features == {**before[7].features, "year": 2050}
        assert found[8].features == {name: before[8].features[name] for name in ("tastes", "year")}
        assert found[9].features == {**before[9].features, "year": 2051, "tastes": ["war"]}
        assert {each.item_id for each in rec.popular(5, where=field("year") >= 2050)} == {7, 9}
        assert rec.verify()


@each_engine((*ENGINES,))
def test_single_fields_of_profiles_change(engine: Engine) -> None:
    """The others stay, the next recommendation reads them, and of two changes at a time both count."""
    with engine.recommender() as rec:
        rec.fit(world())
        rec.upsert_users([User("newcomer", {"taste": "war", "name": "W", "city": "Bonn"})])
        rec.update_users({"newcomer": {"taste": "space", "city": None}, "another": {"taste": "war"}})
        found = rec.metadata_store.get("user", ["newcomer", "another"])
        assert found == {"newcomer": {"taste": "space", "name": "W"}, "another": {"taste": "war"}}
        assert rec.recommend("newcomer", 1)[0].item_id == 58
        with ThreadPoolExecutor(4) as pool:
            names = [f"n{place}" for place in range(12)]
            rec.upsert_users([User("busy", dict.fromkeys(names, 0))])
            list(pool.map(lambda name: rec.update_users({"busy": {name: 1}}), names))
        assert rec.metadata_store.get("user", ["busy"]) == {"busy": dict.fromkeys(names, 1)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": {"taste": "space"}, "b": {"colour": "red"}}, "user 'b' has no field 'colour'"),
        ({"a": {"taste": "space"}, "b": {"taste": 3}}, "taste"),
        ({"a": {"taste": "space"}, 1.5: {}}, "user id"),
        ([("a", {"taste": "space"})], "takes a mapping"),
    ],
)
def test_a_change_of_profiles_that_cannot_be_used_writes_nothing(rec: Recommender, changes: Any, message: str) -> None:
    rec.upsert_users([User("a", {"taste": "war"}), User("b", {"taste": "war"})])
    with pytest.raises(InvalidDataError, match=message):
        rec.update_users(changes)
    assert rec.metadata_store.get("user", ["a", "b"]) == {"a": {"taste": "war"}, "b": {"taste": "war"}}


def test_what_is_no_feature_moves_no_vector(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is asked for the items alone of which a feature changed, or whose vector was out of date."""
    rec.upsert_items([Item(key, {**item.features, "stock": 1}) for key, item in rec.get_items(range(6)).items()])
    rec.metadata_store.put("item", {5: {"stock": 1, "year": 1999}})  # by another program, so its vector is stale
    asked: list[list[Any]] = []
    encode = TasteEncoder._encode_items

    def asking(self: TasteEncoder, items: Sequence[Item]) -> Any:
        asked.append([item.id for item in items])
        return encode(self, items)

    monkeypatch.setattr(TasteEncoder, "_encode_items", asking)
    lists = rec.recommend_many(range(20), 40)
    rec.update_items({n: {"stock": 2 + n} for n in range(4)})
    assert asked == []
    assert [[(each.item_id, each.score) for each in row] for row in rec.recommend_many(range(20), 40)] == [
        [(each.item_id, each.score) for each in row] for row in lists
    ]
    rec.update_items({0: {"stock": 1}, 1: {"year": 1981}, 2: {"year": 1990, "stock": 3}, 5: {"stock": 7}})
    assert asked == [[2, 5]], "1981 is the year that item 1 has already"
    assert rec.verify()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({404: {"year": 1}}, ItemNotFoundError, "404"),
        ({9: {"yaer": 1}}, InvalidDataError, "yaer"),
        ({9: {"year": "late"}}, InvalidDataError, "year"),
        ({9: {"year": 1.5}}, InvalidDataError, "year"),
        ({9: {"title": float("nan")}}, InvalidDataError, "title"),
        ({9: ["year"]}, InvalidDataError, "mapping"),
        ({2.5: {"year": 1}}, InvalidDataError, "item id"),
        ([9], InvalidDataError, "mapping"),
    ],
    ids=str,
)  # fmt: skip
def test_of_a_mistake_nothing_is_written(
    rec: Recommender, changes: Any, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the items before it nor in the batches before it."""
    monkeypatch.setattr("vecrec.recommender.recommender.BATCH", 2)
    before = snapshot(rec)
    many: Any = {n: {"year": 1} for n in range(5)} | changes if isinstance(changes, dict) else changes
    with pytest.raises(error, match=message):
        rec.update_items(many)
    assert snapshot(rec) == before


def test_many_items_are_changed_in_batches(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrec.recommender.recommender.BATCH", 7)
    rec.update_items({n: {"year": 3000 + n} for n in range(60)})
    assert [item.features["year"] for item in rec.get_items(range(60)).values()] == [3000 + n for n in range(60)]
    assert rec.verify()


def test_without_a_release_there_is_nothing_to_change(unfitted: Recommender) -> None:
    with pytest.raises(NotFittedError):
        unfitted.update_items({})


def test_a_dataset_of_earlier_does_not_undo_an_update(rec: Recommender) -> None:
    """Newest wins, for updates as for whole records."""
    old = world()
    rec.update_items({7: {"year": 2077}})
    rec.fit(old)
    assert rec.get_items([7])[7].features["year"] == 2077


VALUES: dict[str, tuple[Any, Any]] = {
    "date": (dt.date(2020, 1, 2), "2020-01-02"),
    "moment": (dt.datetime(2020, 1, 2, 3, tzinfo=dt.timezone.utc), "2020-01-02T03:00:00+00:00"),
    "numpy": (np.datetime64("2020-01-02T03:04:05", "ns"), "2020-01-02T03:04:05.000000000"),
    "hour": (dt.time(3, 4), "03:04:00"),
    "price": (Decimal("9.90"), 9.9),
    "count": (np.int64(3), 3),
    "share": (np.float32(0.5), 0.5),
    "flag": (np.True_, True),
    "list": ([Decimal(1), dt.date(2020, 1, 2)], [1.0, "2020-01-02"]),
    "array": (np.array([1.5, 2.5], np.float32), [1.5, 2.5]),
    "days": (np.array(["2020-01-02"], "datetime64[D]"), ["2020-01-02"]),
    "inner": ({"day": dt.date(2020, 1, 2)}, {"day": "2020-01-02"}),
}


def test_items_and_users_take_what_a_dataset_takes(rec: Recommender) -> None:
    """One conversion, so that the same row gives the same record by every door."""
    row, plain = {name: pair[0] for name, pair in VALUES.items()}, {name: pair[1] for name, pair in VALUES.items()}
    data = Dataset([{"user_id": 1, "item_id": "x"}], [{"item_id": "x", **row}], [{"user_id": 1, **row}])
    assert data.item_records == data.user_records == [plain]
    rec.upsert_items(Item("x", row))
    rec.upsert_users(User(1, row))
    assert rec.get_items(["x"])["x"].features == rec.get_users([1])[1].features == plain
    rec.update_items({"x": {"price": Decimal("7.5"), "date": dt.date(2021, 1, 1)}})
    assert rec.get_items(["x"])["x"].features == {**plain, "price": 7.5, "date": "2021-01-01"}


@pytest.mark.parametrize("value", [np.datetime64("NaT"), Decimal("NaN"), float("nan"), {1, 2}, b"x", dt.timedelta(1)])
def test_a_value_that_says_nothing_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDataError, match="price"):
        Item(1, {"price": value})
