"""``export`` and ``import`` of vectors."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vecrec._internal.batching import batched
from vecrec.cli.arguments import Command, add_stores, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.data.vector_files import Batch, read_vectors, write_vectors
from vecrec.errors import InvalidDataError
from vecrec.recommender import Recommender
from vecrec.recommender.users import user_vectors
from vecrec.vector_stores.base import CollectionSpec, VectorStore
from vecrec.vector_stores.opening import open_vector_store

__all__ = ["COMMANDS"]

_AT_A_TIME = 2_000


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .parquet, .npz or .txt file (lines like 42:[0.1, 0.2])")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--users", action="store_true", help="the vectors of all stored users, instead of the items'")
    what.add_argument("--collection", help="any collection of the vector store, instead of the live release's")
    add_stores(parser)


def _export(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        if arguments.users:
            source = _user_vectors(recommender)
        else:
            with recommender.live() as live:
                source = _item_vectors(recommender.vector_store, arguments.collection or live.collection)
        count = write_vectors(arguments.file, source)
    output.value({"file": str(arguments.file), "vectors": count})
    output.text(f"{count:,} vectors in {arguments.file}")
    return 0


def _item_vectors(store: VectorStore, collection: str) -> Iterator[Batch]:
    for entries in batched(store.scan(collection, vectors=True), _AT_A_TIME):
        yield [entry.id for entry in entries], np.stack([entry.vector for entry in entries if entry.vector is not None])


def _user_vectors(recommender: Recommender) -> Iterator[Batch]:
    """The vectors that users are searched with: of all about whom a profile or an event is stored."""
    with recommender.live() as live:
        for ids in batched(recommender.user_ids(), _AT_A_TIME):
            users = recommender.get_users(ids)
            yield list(users), user_vectors(live, list(users.values()))


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .parquet, .npz or .txt file (lines like 42:[0.1, 0.2])")
    parser.add_argument("--collection", required=True, help="where they go; made if it is not there")
    parser.add_argument("--metric", choices=("ip", "cosine"), default="ip", help="how they compare (%(default)s)")
    add_stores(parser)


def _import(arguments: argparse.Namespace, output: Output) -> int:
    settings = settings_of(arguments)
    if "__" in arguments.collection:
        raise InvalidDataError(
            f"{arguments.collection!r} has two underscores, as the collections of releases have", "choose another name"
        )
    with open_vector_store(settings.vector_store_uri, settings.vector_store_token) as store:
        count = _load(store, arguments.collection, arguments.metric, read_vectors(arguments.file))
    output.value({"collection": arguments.collection, "vectors": count})
    output.text(f"{count:,} vectors in the collection {arguments.collection}")
    return 0


def _load(store: VectorStore, collection: str, metric: str, source: Iterable[Batch]) -> int:
    count = 0
    for ids, matrix in source:
        if collection not in store.collections():
            store.create(collection, CollectionSpec(matrix.shape[1], metric))  # type: ignore[arg-type]  # one of two
        store.upsert(collection, ids, matrix)
        count += len(ids)
    if count:
        store.flush(collection)
    return count


COMMANDS = (
    Command("export", "Write vectors into a file.", _add_export, _export),
    Command("import", "Read vectors from a file into a collection.", _add_import, _import),
)
