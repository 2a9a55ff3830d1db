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


def locked() -> dict[str, tuple[str, list[str]]]:
    """The version and the hashes of each package that the image installs."""
    rows = (ROOT / "requirements-image.txt").read_text("utf-8").replace("\\\n", " ").splitlines()
    found: dict[str, tuple[str, list[str]]] = {}
    for row in rows:
        if row and not row.startswith("#"):
            name, _, rest = row.partition("==")
            version, *hashes = rest.split()
            found[canonicalize_name(name.partition("[")[0])] = version, hashes
    return found


def test_the_image_is_locked_by_hashes_and_has_the_development_versions() -> None:
    """Each package has a hash, no address of an index is named, and what the project needs is among them."""
    held, development = locked(), constraints("constraints-dev.txt")
    assert len(held) > 40
    assert {name: hashes for name, (_, hashes) in held.items() if not hashes} == {}
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for _, hashes in held.values() for each in hashes)
    assert {name: version for name, (version, _) in held.items() if development.get(name, version) != version} == {}
    extras = ("paddle", "milvus", "redis", "mysql", "serve")
    wanted = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    names = {canonicalize_name(Requirement(text).name) for text in wanted} - {"vecrec-recommender"}
    assert names <= held.keys()
    assert "--require-hashes -r /src/requirements-image.txt" in (ROOT / "examples/quick_deploy/Dockerfile").read_text()


INSIDES = {
    "PyMySQL": ("vecrec/metadata_stores/sql/dialects.py", "_read_timeout"),
    "milvus-lite": ("vecrec/vector_stores/milvus/lite.py", "server_manager_instance"),
    "pymilvus": ("vecrec/vector_stores/milvus/client.py", "_on_rpc_error"),
    "redis": ("vecrec/metadata_stores/redis/client.py", "send_packed_command"),
    "uvicorn": ("vecrec/serving/run.py", "HttpToolsProtocol"),
}
"""Packages whose inside is used, with a name of it: another major version may change it without a word."""


@pytest.mark.parametrize("package", INSIDES)
def test_a_package_whose_inside_is_used_has_an_upper_bound(package: str) -> None:
    path, name = INSIDES[package]
    assert name in (ROOT / "src" / path).read_text("utf-8"), "it is not used any more: leave it out of the table"
    bounds = [spec for each in allowed() if each.name == package for spec in each.specifier if spec.operator == "<"]
    assert len(bounds) == 1


def test_the_citation_has_the_version() -> None:
    assert f"version: {vecrec.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
