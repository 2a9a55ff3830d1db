"""Events from a stream of NATS JetStream: each one is stored once, whatever is killed or sent again."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vecrec._internal.dependencies import requires
from vecrec._internal.times import check_not_future
from vecrec._internal.validation import flag, instance, integer, number
from vecrec.errors import InvalidDataError, StoreError, StoreUnavailableError, shown
from vecrec.progress import Progress, ProgressLike, Step, showing
from vecrec.types import Event

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from vecrec.recommender import Recommender

__all__ = ["IngestResult", "ingest"]

_LOG = logging.getLogger(__name__)
_FIELDS = {"user_id", "item_id", "time", "rating", "kind"}
_WAIT = 1.0
"""Seconds that a request for messages waits for the first one."""


@dataclass(slots=True)
class IngestResult:
    """What became of the messages."""

    recorded: int = 0
    """How many are stored as events, those included that were delivered again."""
    refused: int = 0
    """How many are not events; they went to the dead letters."""

    def to_json(self) -> dict[str, int]:
        """The figures as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Options:
    stream: str
    durable: str
    dead_letters: str | None
    batch: int
    ack_seconds: float
    until_empty: bool


def ingest(
    recommender: Recommender,
    servers: str,
    stream: str,
    *,
    durable: str = "vecrec",
    dead_letters: str | None = None,
    batch: int = 500,
    ack_seconds: float = 30.0,
    until_empty: bool = False,
    progress: ProgressLike = None,
) -> IngestResult:
    """Record the messages of a stream as events, for ever or until none is left.

    A message is a JSON object with ``user_id``, ``item_id`` and optionally ``time``, ``rating`` and ``kind``. Without a
    ``time`` it has the time at which the stream got it. A message is acknowledged when its event is stored. What is
    delivered again after a crash is the same event, by user, item, time and kind, so nothing is stored twice, and
    nothing is lost. Several processes with one ``durable`` share the messages.

    Args:
        recommender: Whose users did it.
        servers: The address, such as ``nats://localhost:4222``; several are separated by commas.
        stream: The stream, which exists.
        durable: The name under which the server keeps what is acknowledged; made at the first use.
        dead_letters: A subject of another stream, which gets the messages that are not events. Without one they are
            written to the log, and counted.
        batch: How many messages are stored together.
        ack_seconds: After how many seconds the server delivers again what was not acknowledged, for a new ``durable``.
        until_empty: Whether to end when every message is acknowledged, those of other processes included.
        progress: ``True`` for a bar on stderr, a callable for every step, ``None`` for silence.

    Raises:
        InvalidDataError: for a stream or a subject of dead letters that is not there.
        StoreUnavailableError: when no server answers.
        StoreError: when the server refuses, or a store does. What is not acknowledged is delivered again.
        MissingDependencyError: when nats-py is not installed.
    """
    for value, name in ((servers, "servers"), (stream, "stream"), (durable, "durable")):
        instance(value, name, str)
    options = _Options(
        stream, durable, None if dead_letters is None else instance(dead_letters, "dead_letters", str),
        integer(batch, "batch", low=1, high=10_000), number(ack_seconds, "ack_seconds", low=0.1),
        flag(until_empty, "until_empty"),
    )  # fmt: skip
    with requires("nats-py", extra="nats", purpose="ingest"):
        import nats  # noqa: F401
    with showing(progress) as show, _translated(servers):
        return asyncio.run(_ingest(recommender, servers, options, show))


async def _ingest(recommender: Recommender, servers: str, options: _Options, show: Progress) -> IngestResult:
    import nats

    patience = {"connect_timeout": 5, "reconnect_time_wait": 0.5, "max_reconnect_attempts": 5}
    client = await nats.connect(servers.split(","), error_cb=_note, **patience)
    try:
        context = client.jetstream()
        await _prepare(context, options)
        messages = await context.pull_subscribe_bind(options.durable, options.stream)
        result = IngestResult()
        while True:
            try:
                found = await messages.fetch(options.batch, timeout=_WAIT)
            except asyncio.TimeoutError:  # also the client's own, which is one
                info = await messages.consumer_info()
                if options.until_empty and not info.num_pending and not info.num_ack_pending:
                    return result
                continue
            await _store(recommender, context, found, options.dead_letters, result)
            show(Step("ingest", result.recorded + result.refused, None))
    finally:
        await client.close()


async def _prepare(context: JetStreamContext, options: _Options) -> None:
    from nats.js.api import AckPolicy, ConsumerConfig
    from nats.js.errors import NotFoundError

    try:
        await context.stream_info(options.stream)
    except NotFoundError as error:
        cure = "name one that exists, or make it with `nats stream add`"
        raise InvalidDataError(f"there is no stream {options.stream!r}", cure) from error
    try:
        await context.consumer_info(options.stream, options.durable)
    except NotFoundError:
        explicit = {"ack_policy": AckPolicy.EXPLICIT, "ack_wait": options.ack_seconds}
        await context.add_consumer(options.stream, ConsumerConfig(durable_name=options.durable, **explicit))
    if options.dead_letters is not None:
        try:
            there = await context.find_stream_name_by_subject(options.dead_letters)
        except NotFoundError as error:
            cure = "make a stream for it, so that nothing is lost"
            raise InvalidDataError(f"no stream takes the dead letters {options.dead_letters!r}", cure) from error
        if there == options.stream:
            raise InvalidDataError(f"the stream {there!r} would take its own dead letters", "use another stream")


async def _store(
    recommender: Recommender,
    context: JetStreamContext,
    messages: Sequence[Msg],
    dead_letters: str | None,
    result: IngestResult,
) -> None:
    """Store the events of some messages, acknowledge these, and set the others aside."""
    good: list[tuple[Msg, Event]] = []
    for message in messages:
        try:
            good.append((message, _event(message)))
        except InvalidDataError as error:
            await _set_aside(context, message, dead_letters, error, result)
    await asyncio.to_thread(recommender.record, [event for _, event in good])
    for message, _ in good:
        await message.ack()
        result.recorded += 1


def _event(message: Msg) -> Event:
    try:
        fields = json.loads(message.data)
    except (ValueError, RecursionError) as error:
        raise InvalidDataError(f"{shown(message.data)} is not JSON", "send an object") from error
    if not isinstance(fields, dict) or not {"user_id", "item_id"} <= fields.keys() <= _FIELDS:
        raise InvalidDataError(f"{shown(fields)} is not an event", f"send an object with {sorted(_FIELDS)}")
    if fields["user_id"] is None:
        raise InvalidDataError("user_id is None", "send the user's id")
    given = fields.get("time")
    # The same at each delivery, as the time of day is not.
    event = Event(**{**fields, "time": message.metadata.timestamp if given is None else given})
    check_not_future(event.time or 0.0, "the time of an event", time.time())
    return event


async def _set_aside(
    context: JetStreamContext, message: Msg, subject: str | None, error: InvalidDataError, result: IngestResult
) -> None:
    """Keep a message that is not an event from being delivered again."""
    number = message.metadata.sequence.stream
    _LOG.warning("message %d of %s is set aside: %s", number, message.metadata.stream, error)
    if subject is not None:
        # By its id the server drops what is sent again after a crash.
        reason = str(error)[:500].encode("unicode_escape").decode()
        headers = {"Nats-Msg-Id": f"{message.metadata.stream}-{number}", "Vecrec-Error": reason}
        await context.publish(subject, message.data, headers=headers)
    await message.term()
    result.refused += 1


async def _note(error: Exception) -> None:
    _LOG.warning("NATS reports: %s", error)


@contextmanager
def _translated(servers: str) -> Iterator[None]:
    from nats import errors

    shown_as = servers.rpartition("@")[2]  # without what may be a password
    try:
        yield
    except (errors.NoServersError, errors.ConnectionClosedError, errors.TimeoutError, OSError) as error:
        cure = "start it, or correct the address; what is not acknowledged is delivered again"
        raise StoreUnavailableError(f"NATS at {shown_as} does not answer ({error})", cure) from error
    except errors.Error as error:
        raise StoreError(f"NATS at {shown_as} refuses: {error}", "look at the server and at its rights") from error
