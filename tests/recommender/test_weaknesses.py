"""What the systems before this one got wrong in serving, and that it cannot come back, on every engine.

The other five of the ten weaknesses are about encoders and metrics, and are tested there.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.recommender.engines import Engine, each_engine
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Event, Item, Recommender, User, field
from vecrec.ids import id_order
from vecrec.records import JSON

ROOT = Path(__file__).parents[2]


@each_engine()
def test_weakness_04_the_order_is_that_of_the_metric_it_was_trained_on(engine: Engine) -> None:
    """Trained on one metric and searched with another: here the served top k is brute force by inner product.

    The vectors have lengths that differ, so that L2 or cosine would give another order.
    """
    with engine.recommender(TasteEncoder(twist=0.3)) as rec:
        rec.fit(world())
        long = [Item(f"long {n}", {"tastes": _repeated("love", n), "year": 2000 - n}) for n in range(1, 5)]
        rec.upsert_items(long)
        items = list(rec.get_items([*range(60), *(f"long {n}" for n in range(1, 5))]).values())
        matrix = rec.encoder.encode_items(items)
        for user in world().users(history=True):
            vector = rec.encoder.encode_users([user])[0]
            scores = matrix @ vector
            order = sorted(range(len(items)), key=lambda n: (-scores[n], id_order(items[n].id or 0)))
            found = rec.recommend(user.id or 0, 20, exclude_seen=False)
            assert [each.item_id for each in found] == [items[n].id for n in order[:20]]
            assert np.allclose([each.score for each in found], scores[order[:20]], atol=1e-5)
        lengths = np.linalg.norm(matrix, axis=1)
        assert lengths.max() > 1.1 * lengths.min()


def _repeated(taste: str, times: int) -> list[JSON]:
    return [*(taste for _ in range(times)), "war"]


@each_engine()
def test_weakness_07_none_seen_and_exactly_k_under_a_filter(engine: Engine) -> None:
    """Seen movies recommended, no filters: here none is seen, all pass, and k come while there are k."""
    with engine.recommender() as rec:
        rec.fit(world())
        rec.upsert_items([Item(n, {"tastes": ["love"], "year": 2_000 + n % 50}) for n in range(1_000, 3_000)])
        rec.record([Event(1, n, float(n)) for n in range(1_000, 3_000) if n % 10])
        seen = {event.item_id for event in rec.metadata_store.recent_events([1])[1]}
        where = field("tastes").contains("love") & (field("year") >= 2_020)
        for k in (1, 10, 100):
            found = rec.recommend(1, k, where=where)
            assert (len(found), found.shortfall) == (k, None)
            assert not seen & {each.item_id for each in found}
            assert all(where.matches(each.metadata) for each in found)
        left = 2_000 * 30 // 50 // 10 + sum(1 for n in (41, 45, 49, 53, 57) if n not in seen and 1980 + n >= 2_020)
        everything = rec.recommend(1, 1_000, where=where)
        assert (len(everything), everything.shortfall is None) == (left, False)


@each_engine()
def test_weakness_08_twice_is_once_and_items_come_change_and_go(engine: Engine) -> None:
    """Running twice breaks or doubles, items are for ever: here counts stay, and the catalogue lives."""
    with engine.recommender() as rec:
        for _ in range(2):
            release = rec.fit(world())
            assert rec.vector_store.count(release.collection) == rec.metadata_store.count("item") == 60
            assert sum(len(events) for _, events in rec.metadata_store.scan_events()) == 480
        for _ in range(2):
            rec.upsert_items([Item("new", {"tastes": ["love"], "year": 2090}), Item(57, {"tastes": ["war"]})])
        assert [each.item_id for each in rec.recommend(1, 2)] == ["new", 53]
        report = rec.verify()
        assert (bool(report), report.records, report.vectors) == (True, 61, 61)
        rec.delete_items(["new"])
        assert rec.recommend(1, 1)[0].item_id == 53
        assert rec.verify().vectors == 60


@each_engine()
def test_weakness_09_a_missing_record_costs_one_item_and_is_mended(engine: Engine) -> None:
    """One missing record fails the reply: here it is skipped, replaced, told, marked and repaired."""
    with engine.recommender() as rec:
        rec.fit(world())
        rec.metadata_store.delete("item", [57])
        found = rec.recommend(1, 5)
        assert (len(found), found.shortfall, found.missing) == (5, None, (57,))
        assert 57 not in [each.item_id for each in found]
        assert rec.verify().orphaned == rec.verify().pending == (57,)
        assert rec.repair() == [57]
        assert rec.verify()


def test_weakness_09_one_batched_read_and_no_loading_per_request(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round trips by the item, `load()` by the request: here a request is three calls, and the encoder stays."""
    calls: list[str] = []
    for store in (rec.vector_store, rec.metadata_store):
        for name in ("search", "fetch", "get", "scan", "recent_events", "read_users", "spec", "collections", "count"):
            if hasattr(store, name):
                monkeypatch.setattr(store, name, _counted(getattr(store, name), name, calls))
    monkeypatch.setattr(TasteEncoder, "load", None)
    rec.recommend(1, 50)
    assert [name for name in calls if name != "spec"] == ["read_users", "search", "get"]


def _counted(method: object, name: str, calls: list[str]) -> object:
    def counted(*arguments: object) -> object:
        calls.append(name)
        return method(*arguments)  # type: ignore[operator]

    return counted


@each_engine()
def test_weakness_10_text_of_clients_is_never_part_of_a_command(engine: Engine) -> None:
    """SQL built from client strings: here a hostile id or value reads, writes and deletes itself alone."""
    hostile = "zz'] or id != \"zz\" or id in ['zz'; DROP TABLE vecrec_records; -- \r\nFLUSHALL\r\n\\"
    with engine.recommender() as rec:
        rec.fit(world())
        rec.upsert_items([Item(hostile, {"title": hostile, "tastes": [hostile], "year": 1}), Item("zz", {"year": 2})])
        rec.upsert_users([User(hostile, {"taste": "love"})])
        rec.record([Event(hostile, hostile, 1.0)])
        assert (
            rec.recommend_for(User(None, {"taste": "love"}), 1, where=field("tastes").contains(hostile))[0].item_id
            == hostile
        )
        assert rec.get_items([hostile, "zz"]).keys() == {hostile, "zz"}
        rec.delete_items([hostile])
        rec.forget_user(hostile)
        assert rec.get_items([hostile, "zz"]).keys() == {"zz"}
        assert rec.verify().records == 61
        assert rec.recommend(1).served_by == "vectors"


def test_weakness_10_nothing_that_looks_like_a_key_is_committed() -> None:
    """Committed keys: no file of the repository holds a private key, a cloud key or a password in a URL."""
    secret = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|"
        r"\b(?:api[_-]?key|secret|token|passwd)\s*[=:]\s*['\"][A-Za-z0-9+/_-]{24,}['\"]",
        re.IGNORECASE,
    )
    folders = ("src", "tests", "docs", "examples", "benchmarks", ".ci")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    files = [path for path in [*paths, *ROOT.glob("*.*")] if path.is_file()]
    assert len(files) > 50, "the repository is not where it should be"
    assert [path for path in files if secret.search(path.read_text("utf-8", "ignore"))] == []
