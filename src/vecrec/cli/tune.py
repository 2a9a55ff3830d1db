"""``tune`` and ``compare``: which encoder, with which settings."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vecrec.cli.arguments import Command, add_data, dataset_of, json_object
from vecrec.cli.evaluate import add_split, split_of
from vecrec.cli.output import Output
from vecrec.cli.train import add_encoder, encoder_named, encoder_of

__all__ = ["COMMANDS"]


def _add_tune(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    add_split(parser)
    add_encoder(parser)
    parser.add_argument(
        "--space", required=True, metavar="JSON",
        help='what to try: a list of values, or {"low": 1, "high": 9, "log": true}, by setting, such as '
        '\'{"dim": [64, 128], "epochs": {"low": 4, "high": 20}}\'',
    )  # fmt: skip
    parser.add_argument("--trials", type=int, default=20, help="how many in all, earlier ones included (%(default)s)")
    parser.add_argument("--metric", default="ndcg@10", help="what to maximise (%(default)s)")
    parser.add_argument("--storage", metavar="FILE|URL", help="where trials are kept: called again, it goes on")
    parser.add_argument("--no-prune", action="store_true", help="do not give up trials that are behind")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="a picture of the trials, .svg or .png")


def _tune(arguments: argparse.Namespace, output: Output) -> int:
    from vecrec.evaluation import tune

    found = tune(
        encoder_of(arguments),
        split_of(dataset_of(arguments, progress=output.progress), arguments.split),
        {name: _bounds(values) for name, values in json_object(arguments.space, "--space").items()},
        trials=arguments.trials,
        metric=arguments.metric,
        storage=arguments.storage,
        prune=not arguments.no_prune,
        progress=output.progress,
    )
    if arguments.picture is not None:
        found.plot(arguments.picture)
    output.value(found.to_json())
    output.text(str(found))
    options = " ".join(f"--option '{name}={json.dumps(value)}'" for name, value in found.best.params.items())
    output.text(f"the best one: vecrec train --encoder {arguments.encoder} {options} ...")
    return 0


def _bounds(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return (values.get("low"), values.get("high"), *(("log",) if values.get("log") else ()))


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "encoders", nargs="+", metavar="NAME[:JSON]",
        help='at least two, each with its arguments, such as linear_sequence or \'ease:{"dim": 64}\'',
    )  # fmt: skip
    add_data(parser)
    add_split(parser)
    parser.add_argument("-k", default="10,50", metavar="K,K", help="how deep to look (%(default)s)")
    parser.add_argument("--metric", default="ndcg@10", help="by which they are compared (%(default)s)")


def _compare(arguments: argparse.Namespace, output: Output) -> int:
    from vecrec.cli.evaluate import depths_of
    from vecrec.evaluation import compare

    encoders = []
    for text in arguments.encoders:
        name, _, options = text.partition(":")
        encoders.append(encoder_named(name, **json_object(options, text)))
    repeated = len({text.partition(":")[0] for text in arguments.encoders}) < len(encoders)
    found = compare(
        encoders,
        split_of(dataset_of(arguments, progress=output.progress), arguments.split),
        depths_of(arguments.k),
        metric=arguments.metric,
        names=arguments.encoders if repeated else None,
        progress=output.progress,
    )
    output.value(found.to_json())
    output.text(str(found))
    return 0


COMMANDS = (
    Command("tune", "Search the settings of an encoder on the validation part of the data.", _add_tune, _tune),
    Command("compare", "Compare encoders on the same held-out events, with what each costs.", _add_compare, _compare),
)
