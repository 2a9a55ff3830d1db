"""Fields of the catalogue that are features, filters or both, through the recommender."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TasteEncoder
from vecrec import Item, Recommender, field
from vecrec.data import Dataset, Schema
from vecrec.encoders import ContentEncoder
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import CollectionSpec, MemoryVectorStore


def shop(n_items: int = 40) -> Dataset:
    """Items with a title, a day of release, and a price and a stock for filters alone."""
    items = [
        {
            "item_id": n, "title": f"thing {n % 5}", "price": n / 2, "stock": n, "sale": n % 2 == 0,
            "released": dt.date(2000 + n % 25, 1 + n % 12, 1), "picture": [float(n % 5), 1.0, float(n)],
        }
        for n in range(n_items)
    ]  # fmt: skip
    events = [
        {"user_id": u, "item_id": (u + 5 * n) % n_items, "time": 100 * u + n} for u in range(20) for n in range(6)
    ]
    return Dataset(events, items, filter_only=["price", "stock"])


def _scores(rec: Recommender) -> list[list[tuple[Any, float]]]:
    return [[(each.item_id, each.score) for each in row] for row in rec.recommend_many(range(20), 40)]


@each_engine()
def test_a_price_moves_no_score(engine: Engine) -> None:
    """It is found by its new value at once, with dates and booleans beside it, by every engine."""
    with engine.recommender(ContentEncoder(dim=32)) as rec:
        rec.fit(shop())
        before = _scores(rec)
        rec.update_items({n: {"price": 100.0 + n, "stock": 0} for n in range(0, 40, 4)})
        for row, earlier in zip(_scores(rec), before):
            assert [key for key, _ in row] == [key for key, _ in earlier]
            # An engine may add up in another order after a write.
            assert [score for _, score in row] == pytest.approx([score for _, score in earlier], abs=1e-6)
        dear = rec.popular(40, where=(field("price") > 99) & (field("stock") == 0))
        assert {each.item_id for each in dear} == {*range(0, 40, 4)}
        late = rec.popular(40, where=(field("released") >= dt.date(2015, 1, 1)) & (field("sale") == True))  # noqa: E712
        assert {each.item_id for each in late} == {n for n in range(40) if n % 25 >= 15 and n % 2 == 0}
        rec.update_items({1: {"released": dt.date(2099, 1, 1)}})
        assert [each.item_id for each in rec.popular(5, where=field("released") > "2090-01-01")] == [1]
        assert rec.verify()


def test_an_index_that_the_engine_cannot_make_is_an_error_before_the_training(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store refuses the spec by `check_spec`, which `fit` asks first."""

    class Small(MemoryVectorStore):
        def _check_spec(self, spec: CollectionSpec) -> None:
            if len(spec.fields) > 3:
                raise InvalidDataError(f"{len(spec.fields)} fields are too many", "mark fewer filterable")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(TasteEncoder, "_fit", never)
    rec = Recommender(TasteEncoder(), Small(), MemoryMetadataStore(), name="shop", artifacts=tmp_path)
    with pytest.raises(InvalidDataError, match="6 fields"):
        rec.fit(shop())


@pytest.mark.milvus
def test_a_server_has_room_for_so_many_fields(server_url: Any) -> None:
    """The refusal comes without a collection being made."""
    from vecrec.vector_stores import MilvusVectorStore

    with MilvusVectorStore(server_url("milvus")) as store:
        held = store.collections()
        store.check_spec(CollectionSpec(8, fields={f"f{n}": "number" for n in range(30)}))
        with pytest.raises(InvalidDataError, match="room"):
            store.check_spec(CollectionSpec(8, fields={f"f{n}": "number" for n in range(32)}))
        assert store.collections() == held


def _cold_world(seed: int, n_items: int = 240, n_users: int = 160) -> tuple[Dataset, list[tuple[Item, set[Any]]]]:
    """Items by hidden kinds that a picture shows and a title hardly does, and new items with those who want them."""
    rng = np.random.default_rng(seed)
    kinds, mixing = rng.normal(size=(8, 6)), rng.normal(size=(6, 16))
    of_items, of_users = rng.integers(8, size=n_items), rng.integers(8, size=n_users)
    pictures = (kinds[of_items] + 0.3 * rng.normal(size=(n_items, 6))) @ mixing + 3.0
    words = [f"w{rng.integers(8) if rng.random() < 0.8 else kind}" for kind in of_items]
    rows = [
        {"item_id": n, "title": f"{words[n]} thing", "picture": pictures[n].tolist()} for n in range(n_items)
    ]  # fmt: skip
    old = n_items * 3 // 4
    events = []
    for user in range(n_users):
        own = np.flatnonzero(of_items[:old] == of_users[user])
        chosen = rng.choice(own, min(8, len(own)), replace=False)
        events += [{"user_id": user, "item_id": int(item), "time": 10 * user + n} for n, item in enumerate(chosen)]
    data = Dataset(events, rows[:old])
    fresh = [
        (
            Item(n, {"title": rows[n]["title"], "picture": rows[n]["picture"]}),
            {*np.flatnonzero(of_users == of_items[n])},
        )
        for n in range(old, n_items)
    ]
    return data, fresh


def _precision(encoder: Any, data: Dataset, fresh: Sequence[tuple[Item, set[Any]]]) -> float:
    """The share of the ten users with the highest scores for a new item who want its kind."""
    encoder.fit(data)
    scores = encoder.encode_users([*data.users(history=True)]) @ encoder.encode_items([item for item, _ in fresh]).T
    best = np.argsort(-scores, axis=0)[:10].T
    return float(np.mean([len(wanted & {*row.tolist()}) / 10 for row, (_, wanted) in zip(best, fresh)]))


@pytest.mark.parametrize("name", ["content", "linear", "ease", "two_tower"])
def test_a_picture_says_more_of_a_new_item_than_its_title(name: str) -> None:
    """Each encoder reads embeddings: items without events reach those who want them."""
    from vecrec.encoders import EASEEncoder, LinearSequenceEncoder, TwoTowerEncoder

    make: dict[str, Callable[[], Encoder]] = {
        "content": lambda: ContentEncoder(dim=64),
        "linear": lambda: LinearSequenceEncoder(dim=16),
        "ease": lambda: EASEEncoder(dim=16),
        "two_tower": lambda: TwoTowerEncoder(dim=16, settings={"epochs": 20}),
    }
    data, fresh = _cold_world(3)
    words = data.schema.items
    by_words = data._copy(schema=Schema(tuple(each for each in words if each.name == "title")))
    with_picture, with_title = _precision(make[name](), data, fresh), _precision(make[name](), by_words, fresh)
    assert with_picture > with_title + 0.2, (with_picture, with_title)
