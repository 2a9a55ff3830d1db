"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from vecrec.cli.output import Output

__all__ = ["Command"]


@dataclass(frozen=True, slots=True)
class Command:
    """One word after ``vecrec``."""

    name: str
    """The word."""
    help: str
    """What it does, in one line."""
    add: Callable[[argparse.ArgumentParser], None]
    """Adds its arguments."""
    run: Callable[[argparse.Namespace, Output], int]
    """Does it, and gives the exit status."""
