"""Tables as text and as HTML, for what a terminal and a notebook show. Every text of the HTML is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["html_facts", "html_lines", "html_table", "text_table"]


def text_table(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> list[str]:
    """The lines of a table whose columns are aligned; below the heads, if there are some, is a rule."""
    every = [*([heads] if heads else []), *rows]
    widths = [max(map(len, column)) for column in zip(*every)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in every]
    return [lines[0], "-" * len(lines[0]), *lines[1:]] if heads else lines


def html_table(rows: Iterable[Sequence[str]], heads: Sequence[str] = (), caption: Iterable[str] = ()) -> str:
    """A table. Each entry of the caption is a line above it."""
    above = "<br>".join(map(html.escape, caption))
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return (
        f"<table>{above and f'<caption>{above}</caption>'}{head and f'<thead><tr>{head}</tr></thead>'}"
        f"<tbody>{body}</tbody></table>"
    )


def html_facts(facts: Mapping[str, object], notes: Iterable[object] = ()) -> str:
    """A table of names and values, and a list of what is to be said about them."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items()
    )
    return f"<table>{rows}</table>{html_lines(notes)}"


def html_lines(lines: Iterable[object]) -> str:
    """A list of lines; nothing for none."""
    said = "".join(f"<li>{html.escape(str(line))}</li>" for line in lines)
    return f"<ul>{said}</ul>" if said else ""
