"""A short soak: nothing that was acknowledged is lost and no answer is wrong, whatever happens to the engines.

The long one is ``tox run -e soak -- --minutes 10``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ledger import ABSENT, Ledger, expected_record, operations
from tests.faults.soak import Soak, Tally, soak
from tests.servers import MilvusServer
from vecrec.errors import StoreError


@pytest.fixture(scope="module")
def milvus() -> Iterator[MilvusServer]:
    with MilvusServer({"proxy.timeTickInterval": 50}) as server:
        yield server


def _sound(running: Soak, engine: str) -> Tally:
    tally = running.settle()
    assert tally.lost == []
    assert tally.wrong == []
    assert tally.acknowledged > 20
    assert tally.operations > tally.acknowledged + tally.refused
    assert {"kill process", "freeze process"} <= tally.faults.keys()
    assert engine == "" or tally.stalls[engine] > 0
    return tally


@pytest.mark.slow
@pytest.mark.milvus
@pytest.mark.parametrize("metadata", ["redis", "mariadb"])
def test_servers(metadata: str, milvus: MilvusServer, tmp_path: Path) -> None:
    """A frozen Milvus; a frozen and a killed metadata store; a killed and a frozen process."""
    with soak(f"milvus+{metadata}", tmp_path, 7, {"milvus": milvus}) as running:
        running.load(30)
        running.freeze_engine("milvus", 1.0)
        running.kill_process()
        running.freeze_engine(metadata, 1.0)
        running.load(15)
        running.freeze_process(1.0)
        running.kill_engine(metadata)
        running.load(30)
        _sound(running, metadata)


@pytest.mark.slow
@pytest.mark.parametrize("vectors", ["file", "lite"])
def test_embedded_engines(vectors: str, tmp_path: Path) -> None:
    """They have no process of their own: those that write are killed and frozen, several times."""
    with soak(f"{vectors}+sqlite", tmp_path, 7) as running:
        for _ in range(3):
            running.load(20)
            running.kill_process()
            running.freeze_process(0.5)
        running.load(20)
        _sound(running, "")


def test_the_model_knows_what_was_acknowledged_and_what_is_in_doubt(tmp_path: Path) -> None:
    """Also after the process has died, from its journal."""
    path = tmp_path / "w0t0.journal"
    ledger = Ledger.open(path)
    ledger.write("item", "a", lambda n: None)
    assert ledger.possible("item", "a") == [1]

    def fails(number: int) -> None:
        raise StoreError("the answer was lost")

    with pytest.raises(StoreError):
        ledger.write("item", "a", fails, remove=True)
    ledger.write("event", "u", lambda n: None)
    with pytest.raises(StoreError):
        ledger.write("event", "u", fails)
    for each in (ledger, Ledger.open(path)):
        assert each.possible("item", "a") == [1, ABSENT]
        assert each.possible("item", "never") == [ABSENT]
        assert each.events == {"u": {3: True, 4: False}}
        assert each.number == 4
    ledger.write("forget", "u", lambda n: None)
    assert Ledger.open(path).forgotten == {"u": {3, 4}}
    assert Ledger.open(path).events == {}
    assert [each.outcome for each in operations(path)] == ["ok", "refused", "ok", "refused", "ok"]
    assert expected_record(1) != expected_record(2)
    assert expected_record(ABSENT) is None


def test_a_lost_write_is_noticed(tmp_path: Path) -> None:
    """The soak can fail: what another program takes away is missed, by item and by event."""
    with soak("file+sqlite", tmp_path, 3) as running:
        running.load(40)
        for process in running._processes:
            process.kill()
            process.join()
        ledgers = [Ledger.open(path) for path in tmp_path.glob("*.journal")]
        sure = [key for each in ledgers for (kind, key), states in each.states.items()
                if kind == "item" and len(states) == 1 and states[0] != ABSENT]  # fmt: skip
        users = [key for each in ledgers for key, events in each.events.items() if any(events.values())]
        assert sure
        assert users
        _, metadata = running.pair.stores()
        with metadata:
            metadata.delete("item", sure[:1])
            metadata.delete_events(users[:1])
        with running.open() as rec:
            rec.repair(full=True)
        tally = running.settle()
        assert any(sure[0] in each for each in tally.lost)
        assert any(users[0] in each for each in tally.lost)
