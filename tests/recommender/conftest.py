"""What the tests of the recommender and of its releases share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut is nothing that these tests can cause, so they need not wait until the disk is ready for one."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
