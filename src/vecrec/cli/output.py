"""The output of the commands: tables for people, JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vecrec.errors import VecrecError
from vecrec.recommendations import Recommendations

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["Output"]

_LONGEST = 60


@dataclass
class Output:
    """Where results, progress and errors go."""

    json: bool = False
    """Whether a program is reading."""
    quiet: bool = False
    """Whether to show no progress."""
    stdout: IO[str] = field(default_factory=lambda: sys.stdout)
    stderr: IO[str] = field(default_factory=lambda: sys.stderr)

    @property
    def progress(self) -> bool:
        """Whether long calls shall show how far they are."""
        return not (self.json or self.quiet)

    def value(self, value: Any) -> None:
        """Print a result as JSON, where a program is reading."""
        if self.json:
            self.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")

    def text(self, *parts: Any) -> None:
        """Print text for people."""
        if not self.json:
            self.console().print(*parts)

    def table(self, title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> None:
        """Print a table for people; columns of numbers are set right."""
        if self.json:
            return
        held = [list(row) for row in rows]
        table = Table(title=escape(title), title_justify="left", title_style="bold", show_header=any(heads))
        for at, head in enumerate(heads):
            right = any(isinstance(row[at], (int, float)) for row in held)
            table.add_column(escape(head), justify="right" if right else "left", overflow="fold")
        for row in held:
            table.add_row(*(escape(_cell(value)) for value in row))
        self.console().print(table)
        if caption:
            self.console().print(f"[dim]{escape(caption)}[/]")

    def notices(self, data: Dataset) -> None:
        """Print what a data set assumes, and what looks like a mistake in it."""
        for notice in (*data.notices, *data.warnings):
            self.text(escape(f"note: {notice}"))

    @contextmanager
    def noticed(self, data: Dataset) -> Iterator[None]:
        """Print the notices of a data set for people, and keep them out of the log meanwhile."""
        self.notices(data)
        log = logging.getLogger("vecrec.data")
        level = log.level
        log.setLevel(level if self.json else logging.CRITICAL)
        try:
            yield
        finally:
            log.setLevel(level)

    def error(self, error: VecrecError) -> None:
        """Print what is wrong, and the cure."""
        if self.json:
            value = {
                "type": type(error).__name__, "message": str(error), "problem": error.problem, "cure": error.cure
            }  # fmt: skip
            self.stderr.write(json.dumps({"error": value}, ensure_ascii=False) + "\n")
        else:
            text = f"[bold red]error:[/] {escape(str(error))}"
            Console(file=self.stderr, soft_wrap=True).print(text, highlight=False)

    def console(self) -> Console:
        """A console for people. What is piped is not cut at some width."""
        return _Console(file=self.stdout, width=None if self.stdout.isatty() else 160, highlight=False)

    def recommendations(self, title: str, found: Recommendations) -> None:
        """Print a list with the fields of its records."""
        self.value(found.to_dict())
        names = list(dict.fromkeys(name for item in found for name in item.metadata))[:6]
        rows = [[item.rank, f"{item.score:.4f}", item.item_id, *(item.get(name) for name in names)] for item in found]
        notes = [*([found.shortfall] if found.shortfall else []), *found.notes]
        by = f"served by {found.served_by}, release {found.release}"
        self.table(title, ["", "score", "item", *names], rows, "\n".join([by, *notes]))


class _Console(Console):
    """A console that leaves it to `vecrec.cli.main` what to do when the reader has closed the pipe."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)  # a year has no comma
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    elif isinstance(value, Mapping):
        value = ", ".join(f"{name} {item}" for name, item in value.items())
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
