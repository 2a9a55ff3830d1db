"""What every test of this repository may use, those in the documents included."""

import os
from importlib.util import find_spec

# Tests reach no host: MLflow would report its use to its makers.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# The environment that proves life without extras has no Sybil, and runs no documents.
if find_spec("sybil") is not None:
    from tests.documents import pytest_collect_file  # noqa: F401 - a hook: pytest finds it here

pytest_plugins = ["tests.serial", "tests.servers.plugin"]
