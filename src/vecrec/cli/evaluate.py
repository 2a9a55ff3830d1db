"""``evaluate``."""

from __future__ import annotations

import argparse

from vecrec.cli.arguments import Command, add_data, add_stores, dataset_of, settings_of
from vecrec.cli.output import Output
from vecrec.cli.train import add_encoder, encoder_of
from vecrec.config.compose import compose
from vecrec.data import Dataset, Split, splits
from vecrec.errors import InvalidDataError

__all__ = ["COMMANDS", "add_split", "depths_of", "split_of"]


def _add(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    parser.add_argument("-k", default="10,50", metavar="K,K", help="how deep to look (%(default)s)")
    add_split(parser)
    parser.add_argument(
        "--live",
        action="store_true",
        help="measure what the live release serves, which must not know the held-out events",
    )
    add_encoder(parser)
    add_stores(parser)


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add what is held out."""
    parser.add_argument(
        "--split",
        choices=("leave-last-out", "temporal"),
        default="leave-last-out",
        help="what is held out (%(default)s)",
    )


def _evaluate(arguments: argparse.Namespace, output: Output) -> int:
    from vecrec.evaluation import evaluate

    depths = depths_of(arguments.k)
    split = split_of(dataset_of(arguments, progress=output.progress), arguments.split)
    if arguments.live:
        with compose(settings_of(arguments)) as recommender:
            measured = recommender.evaluate(split.test, depths)
        output.value(measured.to_json())
        output.text(str(measured))
        return 0
    encoder = encoder_of(arguments).fit(split.before_test, progress=output.progress)
    result = evaluate(encoder, split, depths, progress=output.progress)
    output.value(result.to_json())
    output.text(str(result))
    return 0


def split_of(data: Dataset, rule: str) -> Split:
    """The parts of a data set, by a rule of ``--split``."""
    return splits.leave_last_out(data) if rule == "leave-last-out" else splits.temporal(data)


def depths_of(text: str) -> list[int]:
    """The depths of ``-k``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidDataError(f"-k is {text!r}", "give whole numbers with commas between, such as 10,50") from error


COMMANDS = (
    Command("evaluate", "Train on a part of the data, and measure how well the rest is predicted.", _add, _evaluate),
)
