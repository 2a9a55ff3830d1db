"""The fixtures that give a test the address of a real server, shared by the whole run.

A test that asks for one is marked with the server's name (`-m "not milvus"`), and fails, never skips,
where the server can't be started. Tests share the servers, so each keeps to names of its own; a test that
stops, kills or pauses a server starts one for itself from the classes of `tests.servers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.pool import Pool, PoolListener, RemotePool, ServerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_POOL = pytest.StashKey[Pool]()
_LISTENER = pytest.StashKey[PoolListener]()

_FIXTURES: Mapping[str, str] = {
    "redis_url": "redis",
    "redis_cluster_url": "redis-cluster",
    "mariadb_url": "mariadb",
    "postgres_url": "postgres",
    "milvus_uri": "milvus",
}


def pytest_configure(config: pytest.Config) -> None:
    """Make the pool: a worker's asks the controller, every other's starts the servers itself."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        config.stash[_POOL] = ServerPool()
    else:
        config.stash[_POOL] = RemotePool(worker["pool_address"], worker["pool_key"])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker of pytest-xdist where the controller's pool listens."""
    stash = node.config.stash
    if _LISTENER not in stash:
        stash[_LISTENER] = PoolListener(stash[_POOL])
    node.workerinput["pool_address"] = stash[_LISTENER].address
    node.workerinput["pool_key"] = stash[_LISTENER].key


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the run started."""
    owner = config.stash.get(_LISTENER, None) or config.stash.get(_POOL, None)
    if owner is not None:
        owner.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that it asks for."""
    for item in items:
        for fixture in _FIXTURES.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(_FIXTURES[fixture].replace("-", "_"))


@pytest.fixture(scope="session")
def server_url(pytestconfig: pytest.Config) -> Callable[[str], str]:
    """Give the function that gives the address of a server by name, for those who don't know it beforehand."""
    return pytestconfig.stash[_POOL].url


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config) -> str:
    """Give the URL of a Redis server: `redis://...`."""
    return pytestconfig.stash[_POOL].url("redis")


@pytest.fixture(scope="session")
def redis_cluster_url(pytestconfig: pytest.Config) -> str:
    """Give the URL of one node of a Redis cluster of three masters: `redis://...`."""
    return pytestconfig.stash[_POOL].url("redis-cluster")


@pytest.fixture(scope="session")
def mariadb_url(pytestconfig: pytest.Config) -> str:
    """Give the URL of a database whose user may create others: `mysql+pymysql://...`."""
    return pytestconfig.stash[_POOL].url("mariadb")


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """Give the URL of a database whose user may create others: `postgresql+psycopg://...`."""
    return pytestconfig.stash[_POOL].url("postgres")


@pytest.fixture(scope="session")
def milvus_uri(pytestconfig: pytest.Config) -> str:
    """Give the URI of a Milvus standalone server: `http://...`."""
    return pytestconfig.stash[_POOL].url("milvus")
