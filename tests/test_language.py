"""Docstrings and messages are plain technical English, checked by a list of words that do not belong in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrec

ROOT = Path(vecrec.__file__).parent

DIALECT = re.compile(
    r"\b(?:somebody|whoever|nobody|anybody else|anew|of whom|one's own)\b"
    r"|\bthat (?:is|are) none\b|(?<!there )\b(?:is|are) no (?!longer\b)[a-z]+\b|\bwhat is like\b|\bGives:",
    re.IGNORECASE,
)


def sentences(source: str) -> Iterator[tuple[int, str]]:
    """The docstrings, attribute docstrings and texts of raised errors, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
        elif isinstance(node, ast.Raise):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def test_the_check_finds_dialect() -> None:
    """Each kind of sentence is read, and each kind of word is found in it."""
    source = '''
"""Whoever opens it."""
LIMIT = 1
"""A limit that is none."""
def call():
    """What is like it sinks."""
    raise ValueError(f"{LIMIT} is no number", "of whom", f"nobody {LIMIT} answers")
# nobody reads comments
'''
    assert len([text for _, text in sentences(source) if DIALECT.search(text)]) == 6


@pytest.mark.parametrize(
    "text", ["it is no longer there", "there are no vectors", "x is not a valid id", "of one kind"]
)
def test_the_check_leaves_plain_sentences_alone(text: str) -> None:
    assert DIALECT.search(text) is None


def test_docstrings_and_messages_are_plain() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r}"
        for path in sorted(ROOT.rglob("*.py"))
        for line, text in sentences(path.read_text("utf-8"))
        if (match := DIALECT.search(text))
    ]
    assert found == []
