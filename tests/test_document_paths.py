"""The maps for contributors name files that exist, and the documents keep to plain English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAPS = {"CONTRIBUTING.md": ROOT, "docs/architecture.md": ROOT / "src" / "vecrec"}
DIALECT = re.compile(r"\b(somebody|whoever|nobody|anew|of whom)\b|that (is|are) none|\bis no valid\b", re.IGNORECASE)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def _paths(text: str) -> list[str]:
    quoted = re.findall(r"`([\w./-]+)`", text)
    return [each for each in quoted if "/" in each and "NAME" not in each and re.search(r"(\.py|\.md|/)$", each)]


@pytest.mark.parametrize("page", MAPS)
def test_a_map_names_only_files_that_exist(page: str) -> None:
    named = _paths((ROOT / page).read_text(encoding="utf-8"))

    assert len(named) > 10
    assert [path for path in named if not ((MAPS[page] / path).exists() or (ROOT / path).exists())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_written_in_plain_english(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if DIALECT.search(line)] == []
