"""Runs chosen tests in a process of their own and tells how each ended."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def outcomes(tests: Sequence[str], scratch: Path) -> dict[tuple[str, str], set[str]]:
    """How each test of a class ended, by class and name without parameters: passed, failed, error, skipped.

    Args:
        tests: What to run, such as ``"path/of/module.py::TestX::test_y"``.
        scratch: A directory for the report.
    """
    report = scratch / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=no",
        "--assert=plain",
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
    ]
    command += tests
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1_500
    )
    assert report.exists(), done.stdout + done.stderr
    found: dict[tuple[str, str], set[str]] = {}
    for case in ET.parse(report).iter("testcase"):
        key = case.attrib["classname"].rpartition(".")[2], case.attrib["name"].partition("[")[0]
        found.setdefault(key, set()).add(_outcome(case))
    return found


def _outcome(case: ET.Element) -> str:
    for tag, outcome in {"error": "error", "failure": "failed", "skipped": "skipped"}.items():
        if case.find(tag) is not None:
            return outcome
    return "passed"
