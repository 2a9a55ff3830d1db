"""``migrate``."""

from __future__ import annotations

import argparse

from vecrec.cli.arguments import Command, add_stores, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose, open_metadata_store
from vecrec.vector_stores.opening import open_vector_store

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to-vector-store", required=True, metavar="URI", help="where the vectors go")
    parser.add_argument("--to-metadata-store", required=True, metavar="URL", help="where records and events go")
    add_stores(parser)


def _migrate(arguments: argparse.Namespace, output: Output) -> int:
    settings = settings_of(arguments)
    with (
        compose(settings) as recommender,
        open_vector_store(arguments.to_vector_store, settings.vector_store_token) as vectors,
        open_metadata_store(arguments.to_metadata_store, settings.metadata_prefix) as metadata,
    ):
        done = recommender.migrate(vectors, metadata, progress=output.progress)
    output.value(done.to_json())
    output.table(
        "Moved", ["", ""], done.to_json().items(), "Point --vector-store and --metadata-store to the new ones."
    )
    return 0


COMMANDS = (
    Command("migrate", "Move everything to other stores, such as from embedded ones to servers.", _add, _migrate),
)
