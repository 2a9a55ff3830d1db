"""The lowest versions that are tested are the lowest that are allowed; the development versions are allowed ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vecrec

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def constraints(name: str) -> dict[str, str]:
    """The version of each package in a file of constraints."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(each.name): next(iter(each.specifier)).version for each in pinned}


def allowed() -> list[Requirement]:
    """The requirements with a version, of the base and of every extra but the kit's."""
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *(text for name in extras if name != "testing" for text in extras[name])]
    return [each for each in map(Requirement, texts) if each.specifier]


def test_the_lowest_versions_are_those_that_the_project_allows() -> None:
    lower = {
        canonicalize_name(each.name): spec.version
        for each in allowed()
        for spec in each.specifier
        if spec.operator == ">="
    }
    assert len(lower) >= 15
    assert constraints("constraints-lowest.txt") == lower


@pytest.mark.parametrize("requirement", allowed(), ids=lambda each: each.name)
def test_the_development_version_is_allowed(requirement: Requirement) -> None:
    assert requirement.specifier.contains(constraints("constraints-dev.txt")[canonicalize_name(requirement.name)])


def test_no_constraint_names_a_host_or_a_path() -> None:
    for name in ("constraints-dev.txt", "constraints-lowest.txt"):
        rows = [line for line in (ROOT / name).read_text("utf-8").splitlines() if not line.startswith("#")]
        assert [row for row in rows if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+(; .+)?", row)] == []


def test_the_citation_has_the_version() -> None:
    assert f"version: {vecrec.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
