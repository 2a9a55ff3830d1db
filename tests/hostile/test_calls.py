"""Whatever is passed to a public call: an answer or an error of vecrec, never an error of Python or of an engine.

The calls are those that the reference names. A method that is new and not listed here fails the test.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.values import HOSTILE, complaint
from tests.recommender.tastes import SCHEMA, TasteEncoder, world
from vecrec import Event, FeedbackPolicy, Hit, Item, Recommender, ReleaseChecks, User, evaluation, field
from vecrec.config import Settings
from vecrec.config.compose import open_metadata_store
from vecrec.data import Categorical, Columns, Dataset, MultiCategorical, Numeric, Schema, Text, splits
from vecrec.doctor import diagnose_data, diagnose_system
from vecrec.encoders import (
    CombinedEncoder,
    ContentEncoder,
    EASEEncoder,
    EASESettings,
    LinearSequenceEncoder,
    LinearSequenceSettings,
    PopularityEncoder,
    TwoTowerEncoder,
    TwoTowerSettings,
    ensemble,
)
from vecrec.filters import check_filter
from vecrec.metadata_stores import MemoryMetadataStore, RedisMetadataStore, SQLMetadataStore, from_url
from vecrec.rerankers import ChainReranker, MMRReranker, RatingReranker, RatingSettings
from vecrec.vector_stores import (
    CollectionSpec,
    FileVectorStore,
    MemoryVectorStore,
    MilvusVectorStore,
    open_vector_store,
)


@dataclass
class World:
    """What the calls are made on; a call may change it."""

    path: Path
    rec: Recommender
    data: Dataset = dataclass_field(default_factory=lambda: world(8, 16))

    @cached_property
    def encoder(self) -> ContentEncoder:
        """One that was fitted."""
        return ContentEncoder(dim=8).fit(self.data)

    @property
    def split(self) -> splits.Split:
        """The data, split."""
        return splits.leave_last_out(self.data)


Make = Callable[[World], tuple[Callable[..., Any], dict[str, Any]]]
"""A callable with valid arguments, on a world."""

CONSTRUCTORS: dict[str, Make] = {
    "Item": lambda w: (Item, {"id": 1, "features": {}}),
    "User": lambda w: (User, {"id": 1, "features": {}, "history": []}),
    "Event": lambda w: (Event, {"user_id": 1, "item_id": 2}),
    "Hit": lambda w: (Hit, {"id": 1, "score": 1.0}),
    "FeedbackPolicy": lambda w: (FeedbackPolicy, {}),
    "FeedbackPolicy.from_json": lambda w: (FeedbackPolicy.from_json, {"value": {}}),
    "field": lambda w: (field, {"name": "year"}),
    "field ==": lambda w: (lambda value: field("year") == value, {"value": 1}),
    "field >=": lambda w: (lambda value: field("year") >= value, {"value": 1}),
    "field.between": lambda w: (field("year").between, {"low": 1, "high": 2}),
    "field.is_in": lambda w: (field("year").is_in, {"values": [1]}),
    "field.contains": lambda w: (field("tastes").contains, {"value": "war"}),
    "field.contains_any": lambda w: (field("tastes").contains_any, {"values": ["war"]}),
    "filter &": lambda w: (lambda other: (field("year") >= 1) & other, {"other": field("year") >= 1}),
    "check_filter": lambda w: (
        lambda where: check_filter(where, {"year": "integer"}),
        {"where": field("year") >= 1},
    ),
    "ReleaseChecks": lambda w: (ReleaseChecks, {}),
    "Recommender": lambda w: (
        Recommender,
        {"encoder": None, "vector_store": MemoryVectorStore(), "metadata_store": MemoryMetadataStore()},
    ),
    "Recommender.open": lambda w: (
        Recommender.open,
        {
            "name": w.rec.name,
            "vector_store": w.rec.vector_store,
            "metadata_store": w.rec.metadata_store,
            "artifacts": w.path,
            "encoder": TasteEncoder,
        },
    ),
    "Settings": lambda w: (Settings, {}),
    "Settings.load": lambda w: (Settings.load, {"path": None, "environ": {}}),
    "open_metadata_store": lambda w: (open_metadata_store, {"url": "memory://"}),
    "from_url": lambda w: (from_url, {"url": "memory://"}),
    "open_vector_store": lambda w: (open_vector_store, {"uri": "memory://"}),
    "Categorical": lambda w: (Categorical, {"name": "a"}),
    "MultiCategorical": lambda w: (MultiCategorical, {"name": "a"}),
    "Numeric": lambda w: (Numeric, {"name": "a"}),
    "Text": lambda w: (Text, {"name": "a"}),
    "Schema": lambda w: (Schema, {"items": (), "users": ()}),
    "Schema.from_json": lambda w: (Schema.from_json, {"value": SCHEMA.to_json()}),
    "Columns": lambda w: (Columns, {}),
    "Dataset": lambda w: (Dataset, {"interactions": {"user_id": [1], "item_id": [2]}}),
    "Dataset of columns": lambda w: (
        lambda **columns: Dataset(columns),
        {"user_id": [1], "item_id": [2], "time": [1.0], "rating": [1.0], "kind": ["view"]},
    ),
    "CollectionSpec": lambda w: (CollectionSpec, {"dim": 2}),
    "TwoTowerEncoder": lambda w: (TwoTowerEncoder, {}),
    "TwoTowerSettings": lambda w: (TwoTowerSettings, {}),
    "LinearSequenceEncoder": lambda w: (LinearSequenceEncoder, {}),
    "LinearSequenceSettings": lambda w: (LinearSequenceSettings, {}),
    "EASEEncoder": lambda w: (EASEEncoder, {}),
    "EASESettings": lambda w: (EASESettings, {}),
    "CombinedEncoder": lambda w: (CombinedEncoder, {"members": [PopularityEncoder()]}),
    "ensemble": lambda w: (ensemble, {}),
    "PopularityEncoder": lambda w: (PopularityEncoder, {}),
    "ContentEncoder": lambda w: (ContentEncoder, {}),
    "MMRReranker": lambda w: (MMRReranker, {}),
    "ChainReranker": lambda w: (ChainReranker, {"stages": [MMRReranker()]}),
    "RatingReranker": lambda w: (RatingReranker, {}),
    "RatingSettings": lambda w: (RatingSettings, {}),
    "MilvusVectorStore": lambda w: (MilvusVectorStore, {"uri": "http://127.0.0.1:1"}),
    "FileVectorStore": lambda w: (FileVectorStore, {"path": w.path / "a.vec"}),
    "RedisMetadataStore": lambda w: (RedisMetadataStore, {"url": "redis://127.0.0.1:1"}),
    "SQLMetadataStore": lambda w: (SQLMetadataStore, {"url": "sqlite:///:memory:"}),
}


def _filled() -> MemoryMetadataStore:
    store = MemoryMetadataStore()
    store.put("item", {1: {"a": 1}})
    store.append_events([Event(1, 2, 3.0)])
    return store


def _with_collection() -> MemoryVectorStore:
    store = MemoryVectorStore()
    store.create("a", CollectionSpec(dim=2))
    store.upsert("a", [1], [[1, 2]])
    return store


FUNCTIONS: dict[str, Make] = {
    "splits.leave_last_out": lambda w: (splits.leave_last_out, {"data": w.data}),
    "splits.random": lambda w: (splits.random, {"data": w.data}),
    "splits.temporal": lambda w: (splits.temporal, {"data": w.data}),
    "splits.cold_items": lambda w: (splits.cold_items, {"data": w.data}),
    "splits.cold_users": lambda w: (splits.cold_users, {"data": w.data}),
    "evaluation.evaluate": lambda w: (evaluation.evaluate, {"encoder": w.encoder, "split": w.split}),
    "evaluation.from_split": lambda w: (evaluation.from_split, {"split": w.split}),
    "evaluation.sampled_negatives": lambda w: (
        evaluation.sampled_negatives,
        {"split": w.split, "negatives": {user: [1, 2] for user in range(8)}},
    ),
    "diagnose_data": lambda w: (diagnose_data, {"data": w.data}),
    "diagnose_system": lambda w: (diagnose_system, {"recommender": w.rec}),
}

OBJECTS: dict[str, tuple[Callable[[World], Any], dict[str, dict[str, Any] | None]]] = {
    "Recommender": (
        lambda w: w.rec,
        {
            "recommend": {
                "user_id": 1,
                "k": 3,
                "where": None,
                "exclude": (),
                "exclude_seen": True,
                "disliked": (),
                "rerank": None,
            },
            "recommend_many": {"user_ids": [1], "k": 3, "exclude": {}},
            "recommend_for": {"user": User(1), "k": 3},
            "similar_items": {"item_id": 1},
            "search": {"text": "movie", "user": 1},
            "matching": {"text": "movie"},
            "popular": {},
            "rank": {"user": 1, "item_ids": [1, 2], "where": None, "exclude": (), "disliked": (), "rerank": None},
            "explain": {"user": 1, "item_id": 2},
            "explain_many": {"user": 1, "item_ids": [2]},
            "written_id": {"text": "7", "side": "items"},
            "get_items": {"ids": [1]},
            "get_users": {"ids": [1]},
            "history": {"user_id": 1},
            "user_ids": {},
            "taste": {"user": User(1)},
            "evaluate": {"test": world(2, 16)},
            "upsert_items": {"items": [Item(1)]},
            "delete_items": {"ids": ["none"]},
            "upsert_users": {"users": [User(1)]},
            "update_users": {"changes": {1: {}}},
            "record": {"events": [Event(1, 2, 1.0)]},
            "delete_events": {"user_id": "none", "item_ids": [1], "kinds": None, "time": None},
            "forget_user": {"user_id": "none"},
            "fit": None,
            "publish": None,
            "refresh": {"since": None},
            "releases": {},
            "rollback": None,
            "verify": {},
            "measure_recall": {},
            "dataset": {"since": None, "until": None, "as_of": None},
            "update_items": {"changes": {2: {"year": 1990}}},
            "repair": {},
            "migrate": None,
            "live": {},
            "open": None,
            "close": None,
        },
    ),
    "MetadataStore": (
        lambda w: _filled(),
        {
            "put": {"kind": "item", "records": {1: {}}},
            "get": {"kind": "item", "ids": [1]},
            "delete": {"kind": "item", "ids": [1]},
            "scan": {"kind": "item"},
            "count": {"kind": "item"},
            "append_events": {"events": [Event(1, 2, 3.0)]},
            "recent_events": {"user_ids": [1]},
            "read_users": {"kind": "user", "user_ids": [1]},
            "delete_events": {"user_ids": [1]},
            "scan_events": {},
            "ping": {},
            "close": {},
        },
    ),
    "VectorStore": (
        lambda w: _with_collection(),
        {
            "create": {"collection": "b", "spec": CollectionSpec(dim=2)},
            "drop": {"collection": "b"},
            "widen": {"collection": "a", "effort": 2},
            "collections": {},
            "spec": {"collection": "a"},
            "upsert": {"collection": "a", "ids": [1], "vectors": [[1, 2]]},
            "delete": {"collection": "a", "ids": [1]},
            "search": {"collection": "a", "queries": [[1, 2]], "k": 3},
            "fetch": {"collection": "a", "ids": [1]},
            "scan": {"collection": "a"},
            "count": {"collection": "a"},
            "bulk": {"collection": "a"},
            "flush": {"collection": "a"},
            "check_spec": {"spec": CollectionSpec(dim=2)},
            "ping": {},
            "close": {},
        },
    ),
    "Encoder": (
        lambda w: w.encoder,
        {
            "fit": None,
            "refreshed": None,
            "encode_items": {"items": [Item(1)]},
            "encode_users": {"users": [User(1)]},
            "explain_user": {"user": User(1)},
            "knows": None,  # asked for every event of a history, whose ids were checked
            "save": {"directory": "encoder"},
            "load": {"directory": "encoder"},
            "get_params": {},
            "set_params": {},
        },
    ),
    "Dataset": (
        lambda w: w.data,
        {
            "with_feedback": {"feedback": FeedbackPolicy()},
            "item_code": {"item_id": 1},
            "user_code": {"user_id": 1},
            "item": {"code": 1},
            "user": {"code": 1},
            "user_before": {"event": 1, "most": 10},
            "item_features": {"name": "year"},
            "user_features": {"name": "taste"},
            "users": {"history": False},
            "is_consumed": {"kinds": None},
            "select_events": {"mask": None},
        },
    ),
    "FeedbackPolicy": (
        lambda w: FeedbackPolicy(),
        {
            "sign": {"event": Event(1, 2)},
            "weight": {"event": Event(1, 2)},
            "predicts": {"event": Event(1, 2)},
            "taste": {"user": User(1)},
            "from_json": {"value": {}},
            "negative_event": {"user_id": 1, "item_id": 2},
            "signs": None,  # of columns that `Dataset` has checked
            "event_weights": None,
            "is_target": None,
            "is_consumed": None,
        },
    ),
    "Schema": (
        lambda w: SCHEMA,
        {
            "check_item": {"item": Item(1)},
            "check_user": {"user": User(1)},
            "from_json": {"value": SCHEMA.to_json()},
            "with_filter_only": {"names": ["year"]},
            "infer": {"items": [{"item_id": 1, "a": "b"}]},
            "attributes": None,  # of items that were checked
            "drop_invalid_features": None,
        },
    ),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A recommender with a release, and a saved encoder."""
    path = tmp_path_factory.mktemp("hostile")
    before = Path.cwd()
    os.chdir(path)  # some calls write where a text says
    made = World(path, Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), artifacts=path))
    made.rec.fit(made.data)
    made.encoder.save("encoder")
    yield made
    os.chdir(before)


def _parameters(call: Callable[..., Any], valid: Mapping[str, Any]) -> list[str]:
    try:
        found = inspect.signature(call).parameters.values()
    except ValueError:  # a class without a signature of its own
        return list(valid)
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return list(dict.fromkeys([*(each.name for each in found if each.kind in kinds), *valid]))


def _complaints(make: Callable[[], tuple[Callable[..., Any], dict[str, Any]]]) -> list[str]:
    call, valid = make()
    assert complaint(lambda: call(**valid)) is None, "the arguments of the table are not valid"
    found = []
    for name in _parameters(call, valid):
        for what, value in HOSTILE.items():
            if (name, what) not in _ALLOWED:
                call, valid = make()
                said = complaint(lambda: call(**{**valid, name: value()}))  # noqa: B023
                found += [] if said is None else [f"{name}={what}: {said}"]
    return found


_ALLOWED = {(name, what) for name in ("progress", "filter_only") for what in HOSTILE}
"""The errors of a callable for progress are its own; ``filter_only`` is not checked yet."""


@pytest.mark.filterwarnings("ignore")  # of NumPy and pandas, about what they were given
@pytest.mark.parametrize("name", [*CONSTRUCTORS, *FUNCTIONS])
def test_a_function_raises_errors_of_vecrec_only(here: World, name: str) -> None:
    """Each argument by itself is each of the hostile values."""
    assert _complaints(lambda: {**CONSTRUCTORS, **FUNCTIONS}[name](here)) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OBJECTS)
def test_a_method_raises_errors_of_vecrec_only(here: World, name: str) -> None:
    """Each public method that takes an argument is in the table."""
    make, methods = OBJECTS[name]
    kind = type(make(here))
    public = {each for each in dir(kind) if not each.startswith("_") and callable(getattr(kind, each))}
    taking = {each for each in public if _parameters(getattr(kind, each), {}) not in ([], ["self"])}
    assert taking <= methods.keys(), "name its arguments in the table"
    found = {
        each: said
        for each, valid in methods.items()
        if valid is not None and (said := _complaints(lambda: (getattr(make(here), each), dict(valid))))  # noqa: B023
    }
    assert found == {}
