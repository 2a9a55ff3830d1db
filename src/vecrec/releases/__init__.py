"""Releases: one trained generation each, whole or not at all, and the pointer to the live one."""

from vecrec.releases.archive import Archive, Identity
from vecrec.releases.artifacts import Golden, Popularity, SeenValues, ValueCollector
from vecrec.releases.manifest import Release

__all__ = ["Archive", "Golden", "Identity", "Popularity", "Release", "SeenValues", "ValueCollector"]
