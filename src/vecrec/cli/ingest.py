"""``ingest``."""

from __future__ import annotations

import argparse

from vecrec.cli.arguments import Command, add_stores, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.recommender.ingest import ingest

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("servers", metavar="URL", help="such as nats://localhost:4222, several separated by commas")
    parser.add_argument("--stream", required=True, help="a stream of JetStream whose messages are events as JSON")
    parser.add_argument("--durable", default="vecrec", help="what the server keeps the progress under (%(default)s)")
    parser.add_argument("--dead-letters", metavar="SUBJECT", help="gets what is not an event; of another stream")
    parser.add_argument("--batch", type=int, default=500, help="messages that are stored together (%(default)s)")
    parser.add_argument("--ack-seconds", type=float, default=30.0, help="until a new delivery (%(default)s)")
    parser.add_argument("--until-empty", action="store_true", help="end when every message is acknowledged")
    add_stores(parser)


def _ingest(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        done = ingest(
            recommender,
            arguments.servers,
            arguments.stream,
            durable=arguments.durable,
            dead_letters=arguments.dead_letters,
            batch=arguments.batch,
            ack_seconds=arguments.ack_seconds,
            until_empty=arguments.until_empty,
            progress=output.progress,
        )
    output.value(done.to_json())
    output.text(f"{done.recorded:,} events recorded, {done.refused:,} messages refused")
    return 0


COMMANDS = (Command("ingest", "Record the events of a stream of NATS JetStream.", _add, _ingest),)
