"""``batch``."""

from __future__ import annotations

import argparse
from functools import partial

from vecrec.cli.arguments import Command, add_list, as_stored, settings_of, where_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.recommender.batch import recommend_to_parquet

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "output",
        metavar="DIR",
        help="the directory for the Parquet files, or a URI such as s3://bucket/lists; called again, it continues",
    )
    parser.add_argument(
        "--users-file",
        metavar="FILE",
        help="Parquet, CSV or JSON lines with a column user_id, or the URI of Parquet; all stored users by default",
    )
    parser.add_argument("--include-seen", action="store_true", help="keep the items of their events")
    parser.add_argument("--engine", choices=("local", "ray", "spark"), default="local", help="who runs the processes")
    parser.add_argument("--processes", type=int, metavar="N", help="how many; by default one for each core")
    parser.add_argument("--users-per-file", type=int, metavar="N", help="by default a 64th of them, 500 to 10,000")
    add_list(parser)


def _batch(arguments: argparse.Namespace, output: Output) -> int:
    from vecrec.data.reading import read_user_ids

    opener, users, where = partial(compose, settings_of(arguments)), None, None
    if arguments.users_file is not None or arguments.where:
        with opener() as recommender:
            where = where_of(recommender, arguments.where)
            if arguments.users_file is not None:
                users = as_stored(read_user_ids(arguments.users_file), "users", recommender)
    done = recommend_to_parquet(
        opener,
        arguments.output,
        users,
        arguments.k,
        where=where,
        exclude_seen=not arguments.include_seen,
        users_per_file=arguments.users_per_file,
        engine=arguments.engine,
        processes=arguments.processes,
        progress=output.progress,
    )
    output.value({"directory": arguments.output, **done.to_json()})
    counts = f"{done.users:,} users, {done.rows:,} rows in {done.files:,} files"
    output.text(f"{counts} of {arguments.output} (release {done.release})")
    return 0


COMMANDS = (Command("batch", "Recommend to whole user bases, into Parquet files.", _add, _batch),)
