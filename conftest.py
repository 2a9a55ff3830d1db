"""What every test of this repository may use, those in the documents included."""

from importlib.util import find_spec

# The environment that proves life without extras has no Sybil, and runs no documents.
if find_spec("sybil") is not None:
    from tests.documents import pytest_collect_file  # noqa: F401 - a hook: pytest finds it here

pytest_plugins = ["tests.serial", "tests.servers.plugin"]
