"""Progress of long calls, as plain values that any caller can display.

Long calls take ``progress``: ``True`` draws bars on stderr, ``None`` or ``False`` is silent, a callable receives every
`Step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

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
    else:
        with _bars() as show:
            yield show


@contextmanager
def _bars() -> Iterator[Progress]:
    # Imported here because importing rich costs more than the rest of vecrec together.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        # No markup: a name such as recall[10] would lose its brackets.
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(step: Step) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.total, detail=step.detail)
            bars.update(tasks[step.stage], completed=step.done, total=step.total, detail=step.detail)

        yield show
