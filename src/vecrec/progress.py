"""Progress of long calls, as plain values that any caller can display.

Long calls take ``progress``: ``True`` draws bars on stderr, or writes lines where stderr is not a terminal, ``None`` or
``False`` is silent, a callable receives every `Step`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

_SECONDS_A_LINE = 10.0

__all__ = ["Progress", "ProgressLike", "Step", "showing", "silent"]


@dataclass(frozen=True, slots=True)
class Step:
    """The progress of one stage of a call."""

    stage: str
    """The name of the stage, such as ``"train"``; a new name starts a new bar."""
    done: int
    """Units finished so far."""
    total: int | None
    """Units in all; ``None`` where the number is unknown."""
    detail: str = ""
    """A short text beside the bar, such as ``"loss 4.21, recall@10 .171"``."""
    validation: float | None = None
    """After an epoch, its metric on the validation part, of which more is better; ``None`` at any other step."""


Progress: TypeAlias = Callable[[Step], None]
"""A callable that receives each step."""

ProgressLike: TypeAlias = "Progress | bool | None"


def silent(step: Step) -> None:
    """Show nothing."""


@contextmanager
def showing(progress: ProgressLike) -> Iterator[Progress]:
    """Yield the callable that ``progress`` stands for, and close its bars at the end.

    Args:
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` or ``False`` for silence.
    """
    if callable(progress):
        yield progress
    elif not progress:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _lines(time.monotonic)


def _lines(clock: Callable[[], float]) -> Progress:
    """Lines for a log file: the beginning and the end of each stage, and how far it is at most every ten seconds."""
    last: dict[str, float] = {}

    def show(step: Step) -> None:
        now, ended = clock(), step.total is not None and step.done >= step.total
        if step.stage in last and not ended and now - last[step.stage] < _SECONDS_A_LINE:
            return
        last[step.stage] = now
        count = f"{step.done:,}" if step.total is None else f"{step.done:,}/{step.total:,}"
        sys.stderr.write(f"{step.stage} {count} {step.detail}".rstrip() + "\n")

    return show


@contextmanager
def _bars() -> Iterator[Progress]:
    # Imported here because importing rich costs more than the rest of vecrec together.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        # No markup: a name such as recall[10] would lose its brackets.
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    console = Console(stderr=True)
    with RichProgress(*columns, console=console) as bars:
        tasks = {}

        def show(step: Step) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.total, detail=step.detail)
            bars.update(tasks[step.stage], completed=step.done, total=step.total, detail=step.detail)

        yield show
