"""``batch``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vecrec.cli.arguments import Command, add_list, as_stored, settings_of, where_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.recommender.batch import recommend_to_parquet

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "output", type=Path, metavar="DIR", help="the directory for the Parquet files; called again, it continues"
    )
    parser.add_argument(
        "--users-file",
        type=Path,
        metavar="FILE",
        help="Parquet, CSV or JSON lines with a column user_id; all stored users by default",
    )
    parser.add_argument("--include-seen", action="store_true", help="keep the items of their events")
    add_list(parser)


def _batch(arguments: argparse.Namespace, output: Output) -> int:
    from vecrec.data.reading import read_user_ids

    with compose(settings_of(arguments)) as recommender:
        done = recommend_to_parquet(
            recommender,
            arguments.output,
            None
            if arguments.users_file is None
            else as_stored(read_user_ids(arguments.users_file), "users", recommender),
            arguments.k,
            where=where_of(recommender, arguments.where),
            exclude_seen=not arguments.include_seen,
            progress=output.progress,
        )
    output.value({"directory": str(arguments.output), **done.to_json()})
    counts = f"{done.users:,} users, {done.rows:,} rows in {done.files:,} files"
    output.text(f"{counts} of {arguments.output} (release {done.release})")
    return 0


COMMANDS = (Command("batch", "Recommend to whole user bases, into Parquet files.", _add, _batch),)
