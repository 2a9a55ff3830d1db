"""The shop of a hundred lines does what its page says."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from examples import shop
from vecrec import field
from vecrec.errors import ReleaseError
from vecrec.recommender import Candidate


def test_a_day_and_a_night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice: the second run goes on with the stores of the first one."""
    for nights in (1, 2):
        shop.main(tmp_path)
        with shop.open_shop(tmp_path) as opened:
            live = opened.releases()[0]
            assert {"held_out", "difference_low"} <= live.checks.keys(), f"no gate in night {nights}"
            assert opened.verify()
            assert 12 not in opened.get_items([12, "new"])
            assert opened.get_items([8])[8].features["price"] == 9.9
            assert opened.history("c3") == []
            newest = opened.recommend("c4", k=50, where=field("stock") > 0)
            assert {product["kind"] for product in newest[:3]} == {"hiking"}
            users = {*opened.user_ids()}
        rows = pq.read_table(tmp_path / "lists" / live.id).to_pylist()
        assert {row["user_id"] for row in rows} == users
        assert {row["rank"] for row in rows} == set(range(1, 11))
    out = capsys.readouterr().out
    assert out.count("for c1: 1") == 2
    assert "events=13" in out
    assert len(Path(shop.__file__).read_text().splitlines()) <= 100


def test_a_night_that_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's own check refuses the release: yesterday's goes on serving, and what was trained is kept."""

    def never(candidate: Candidate) -> bool:
        return False

    with shop.open_shop(tmp_path) as opened:
        opened.fit(shop.generate())
        before = opened.releases()
        with monkeypatch.context() as patch:
            patch.setattr(shop, "all_kinds_are_shown", never)
            with pytest.raises(ReleaseError, match="never"):
                shop.a_night(opened)
        assert opened.releases() == before
        assert opened.publish(trained=True).id != before[0].id
