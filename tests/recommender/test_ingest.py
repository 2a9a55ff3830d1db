"""Events of a stream are stored once each, whatever is killed, sent again or malformed."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.servers.nats import NatsServer
from tests.servers.ports import free_port
from vecrec import Recommender
from vecrec.cli import main
from vecrec.config import Settings
from vecrec.config.compose import compose
from vecrec.errors import InvalidDataError, MissingDependencyError, StoreUnavailableError
from vecrec.recommender.ingest import ingest


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Give the address of a server with JetStream."""
    with NatsServer() as server:
        yield server.url


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a recommender that has only stores."""
    return Settings(artifacts=str(tmp_path / "artifacts"), vector_store=str(tmp_path / "none.vec"))


def on_server(url: str, call: Callable[[Any], Any]) -> Any:
    """What a call with the context of JetStream returns."""

    async def run() -> Any:
        client = await nats.connect(url)
        try:
            return await call(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(run())


def publish(url: str, stream: str, messages: Sequence[bytes]) -> None:
    """Make a stream and send it messages."""

    async def send(context: Any) -> None:
        await context.add_stream(name=stream, subjects=[f"{stream}.>"])
        for message in messages:
            await context.publish(f"{stream}.events", message)

    on_server(url, send)


def stored(recommender: Recommender) -> Counter[tuple[Any, ...]]:
    """How often each event is stored."""
    found = (event for user in range(20) for event in recommender.history(user))
    return Counter((event.user_id, event.item_id, event.kind, event.rating) for event in found)


def killed_before_it_acknowledges(settings: Settings, url: str) -> None:
    """Its third batch is stored, and then the process ends by SIGKILL."""
    with compose(settings) as recommender:
        record, batches = recommender.record, [0]

        def recorded(events: Any) -> None:
            record(events)
            batches[0] += 1
            if batches[0] == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        recommender.record = recorded  # type: ignore[method-assign]
        ingest(recommender, url, "killed", batch=20, ack_seconds=1.0)


def test_what_is_delivered_again_after_a_kill_is_not_stored_again(url: str, settings: Settings) -> None:
    """Every other event comes without a time, which is then that of its message."""
    sent = [
        {"user_id": n % 20, "item_id": n, "kind": "view", "rating": n % 5, **({"time": 1e9 + n} if n % 2 else {})}
        for n in range(100)
    ]
    publish(url, "killed", [json.dumps(event).encode() for event in sent])
    process = multiprocessing.get_context("spawn").Process(target=killed_before_it_acknowledges, args=(settings, url))
    process.start()
    process.join()
    assert process.exitcode == -9
    expected = Counter((event["user_id"], event["item_id"], "view", float(event["rating"])) for event in sent)  # type: ignore[arg-type]
    with compose(settings) as recommender:
        before = stored(recommender).total()
        assert 0 < before <= 60
        done = ingest(recommender, url, "killed", batch=20, until_empty=True)
        assert 100 - before < done.recorded <= 100  # the third batch at least was delivered again
        assert done.refused == 0
        assert stored(recommender) == expected
        times = {event.item_id: event.time for user in range(20) for event in recommender.history(user)}
        assert all(times[n] == 1e9 + n for n in range(1, 100, 2))
        assert ingest(recommender, url, "killed", durable="again", until_empty=True).recorded == 100
        assert stored(recommender) == expected
    info = on_server(url, lambda context: context.consumer_info("killed", "vecrec"))
    assert (info.num_pending, info.num_ack_pending) == (0, 0)


BAD = [
    b"\xff\xfe",
    b"[" * 100_000,
    b"[]",
    b"{}",
    b'{"user_id": 1, "item_id": 2, "price": 3}',
    b'{"user_id": null, "item_id": 2}',
    b'{"user_id": 1.5, "item_id": 2}',
    b'{"user_id": 1, "item_id": 2, "time": 99999999999}',
    '{"user_id": 1, "item_id": 2, "kind": "größer\\n"}'.encode(),
]


def test_what_is_no_event_is_set_aside(url: str, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """It goes to the dead letters with the reason, once, and holds up no other message."""
    good = [json.dumps({"user_id": n, "item_id": n}).encode() for n in range(len(BAD))]
    publish(url, "mixed", [message for pair in zip(BAD, good) for message in pair])
    publish(url, "dead", [])
    with compose(settings) as recommender, caplog.at_level(logging.WARNING, "vecrec"):
        for durable in ("one", "two"):  # the second sends the same dead letters again
            done = ingest(
                recommender, url, "mixed", durable=durable, dead_letters="dead.events", batch=4, until_empty=True
            )
            assert (done.recorded, done.refused) == (len(good), len(BAD))
        assert stored(recommender).total() == len(good)
    assert "message 1 of mixed is set aside" in caplog.text

    async def letters(context: Any) -> list[Any]:
        info = await context.stream_info("dead")
        return [await context.get_msg("dead", seq) for seq in range(1, info.state.messages + 1)]

    found = on_server(url, letters)
    assert [letter.data for letter in found] == BAD
    assert all(letter.headers["Vecrec-Error"] for letter in found)


def test_by_command(url: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused messages are counted where no subject takes them."""
    publish(url, "command", [b'{"user_id": "anna", "item_id": 7, "kind": "view"}', b"no event"])
    given = ["--artifacts", settings.artifacts, "--vector-store", settings.vector_store, "--json"]
    assert main(["ingest", url, "--stream", "command", "--until-empty", *given]) == 0
    assert json.loads(capsys.readouterr().out) == {"recorded": 1, "refused": 1}
    assert main(["ingest", url, "--stream", "nonesuch", *given]) == 2
    assert main(["ingest", f"nats://user:secret@127.0.0.1:{free_port()}", "--stream", "command", *given]) == 3
    assert "secret" not in capsys.readouterr().err


def test_what_is_not_there_is_said(url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream, a stream for the dead letters, a server, the package."""
    publish(url, "there", [])
    with compose(settings) as recommender:
        with pytest.raises(InvalidDataError, match="no stream 'nonesuch'"):
            ingest(recommender, url, "nonesuch")
        with pytest.raises(InvalidDataError, match="no stream takes the dead letters"):
            ingest(recommender, url, "there", dead_letters="nonesuch.events")
        with pytest.raises(InvalidDataError, match="its own dead letters"):
            ingest(recommender, url, "there", dead_letters="there.dead")
        for wrong in ({"batch": 0}, {"ack_seconds": 0}, {"until_empty": 1}, {"durable": None}):
            with pytest.raises(InvalidDataError, match=next(iter(wrong))):
                ingest(recommender, url, "there", **wrong)
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            ingest(recommender, f"nats://127.0.0.1:{free_port()}", "there")
        monkeypatch.setitem(sys.modules, "nats", None)
        with pytest.raises(MissingDependencyError, match=r"\[nats\]"):
            ingest(recommender, url, "there")
