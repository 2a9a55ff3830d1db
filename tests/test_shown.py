"""What a notebook and a debugger show of the objects that people hold: short, escaped, and without asking an engine."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recommender.tastes import TasteEncoder, world
from vecrec import Recommender, User
from vecrec.data import Dataset, splits
from vecrec.encoders import ContentEncoder, EASEEncoder, PopularityEncoder
from vecrec.evaluation import compare, evaluate
from vecrec.metadata_stores import MemoryMetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.vector_stores import FileVectorStore, MemoryVectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore

_EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Give a published recommender whose store can be asked nothing any more."""
    made = Recommender(
        TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), name="demo",
        artifacts=tmp_path_factory.mktemp(_EVIL.replace("/", "")),
    )  # fmt: skip
    made.fit(world())
    return made


def _data() -> Dataset:
    rng = np.random.default_rng(3)
    users, items = np.repeat(np.arange(30), 6), rng.integers(0, 20, 180)
    records = {"item_id": list(range(20)), "title": [_EVIL] * 20, "genre": [_EVIL, "b"] * 10}
    return Dataset({"user_id": users, "item_id": items, "time": np.arange(180)}, items=records, name=_EVIL)


def test_a_recommender_says_what_is_live_and_where(recommender: Recommender, tmp_path: Path) -> None:
    release = recommender.releases()[0]
    assert repr(recommender) == (
        f"<Recommender 'demo': {release.id}, {recommender.vector_store!r}, {recommender.metadata_store!r}>"
    )
    assert repr(recommender.vector_store).startswith("<MemoryVectorStore of 1 ")
    shown = recommender._repr_html_()
    assert f"<td>{release.id}</td>" in shown
    assert "<script>" not in shown
    new = Recommender(PopularityEncoder(), MemoryVectorStore(), MemoryMetadataStore(), name="new", artifacts=tmp_path)
    assert "nothing published" in repr(new)
    assert "fit publishes the first" in new._repr_html_()
    (tmp_path / "new").mkdir(exist_ok=True)
    (tmp_path / "new" / "live.json").write_text("{")
    assert "is damaged" in repr(new)


def test_a_closed_recommender_can_be_shown(tmp_path: Path) -> None:
    """In a notebook that is what is left of a `with`."""
    with Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path) as made:
        made.fit(world())
    assert made.releases()[0].id in made._repr_html_()


def test_a_release_is_a_line_and_a_table(recommender: Recommender) -> None:
    """The line has no digests; the table has the checks with what was measured."""
    release = recommender.releases()[0]
    line = repr(release)
    assert len(line) < 200
    assert all(part in line for part in (release.id, "'demo'", release.encoder, "60 items"))
    shown = release._repr_html_()
    assert release.checks
    for name, value in release.checks.items():
        assert f"check: {name.replace('_', ' ')}" in shown
        assert f"<td>{'not measured' if value is None else f'{value:.4g}'}</td>" in shown


@pytest.mark.parametrize(
    "make",
    [
        lambda path: RedisMetadataStore("redis://me:s3cret@127.0.0.1:1/0", prefix="a:"),
        lambda path: SQLMetadataStore("mysql+pymysql://me:s3cret@127.0.0.1:1/db"),
        lambda path: MilvusVectorStore("http://127.0.0.1:1", token="me:s3cret"),
        lambda path: FileVectorStore(path / "vectors"),
    ],
)
def test_a_store_shows_its_address_and_no_secret(make: Callable[[Path], Any], tmp_path: Path) -> None:
    """Nothing listens there: showing asks nothing."""
    with make(tmp_path) as store:
        assert type(store).__name__ in repr(store)
        assert "127.0.0.1:1" in repr(store) or str(tmp_path) in repr(store)
        assert "s3cret" not in repr(store)
        assert html.escape(repr(store)) in store._repr_html_()


def test_an_encoder_shows_its_settings_and_what_it_has_learnt() -> None:
    """The line is what makes it; a value that is not plain is escaped."""
    encoder = ContentEncoder(dim=16)
    assert repr(encoder) == "ContentEncoder(dim=16)"
    assert "nothing yet" in encoder._repr_html_()
    encoder.fit(_data())
    assert "180 of 180 events" in encoder._repr_html_()
    hostile = ContentEncoder()
    vars(hostile)["dim"] = _EVIL
    assert "<script>" not in hostile._repr_html_()


def test_data_and_figures(recommender: Recommender) -> None:
    """A data set, an evaluation and a comparison: a short line, and tables without anybody's markup."""
    data = _data()
    split = splits.leave_last_out(data)
    found = evaluate(PopularityEncoder().fit(split.before_test), split, (5, 10), baselines=(), name=_EVIL)
    assert repr(found).startswith(f"<Evaluation of {_EVIL}: recall@5 0.")
    assert repr(found).endswith("30 users>")
    choice = compare([PopularityEncoder(), EASEEncoder()], split, 10, names=[_EVIL, "b"])
    explained = recommender.explain(User(features={"taste": "war"}), 3)
    for each in (data, data.schema, found, choice, explained):
        shown = each._repr_html_()
        assert "<table>" in shown
        assert "<script>" not in shown
    assert "&lt;script&gt;" in choice._repr_html_()
    assert f"<td>{explained.parts[0].value:+.4f}</td>" in explained._repr_html_()
