"""A service over time: before anything is published, through a switch of releases, over many requests, to its end."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.recommender.tastes import TasteEncoder, world
from tests.servers.ports import free_port
from tests.serving.conftest import published
from tests.serving.web import get, listening, problem
from vecrec import Recommender
from vecrec.config.compose import compose
from vecrec.config.settings import Settings
from vecrec.data import Dataset
from vecrec.encoders import ContentEncoder
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.serving import create_app
from vecrec.vector_stores import MemoryVectorStore


def test_before_anything_is_published(tmp_path: Path) -> None:
    """The service runs, is not ready, says why, and serves as soon as there is a release."""
    stores = (MemoryVectorStore(), MemoryMetadataStore())
    recommender = Recommender(TasteEncoder(), *stores, name="demo", artifacts=tmp_path, refresh_seconds=0)
    with recommender, listening(create_app(recommender)) as client:
        get(client.get("/health/live"))
        assert problem(client.get("/health/ready"), 503)["parts"]["release"].endswith("first")
        assert problem(client.get("/v1/users/3/recommendations"), 503)["type"].endswith("no-release")
        problem(client.get("/v1/schema"), 503)
        recommender.fit(world())
        get(client.get("/health/ready"))
        assert get(client.get("/v1/users/3/recommendations"))["served_by"] == "vectors"


def test_it_follows_a_switch_of_releases(tmp_path: Path) -> None:
    """A release that somebody else makes live serves without a restart, and so does the one gone back to."""
    with published(tmp_path) as trainer:
        serving = Recommender.open(
            "demo", trainer.vector_store, trainer.metadata_store, tmp_path, encoder=TasteEncoder, refresh_seconds=0
        )
        with listening(create_app(serving)) as client:
            first = get(client.get("/v1/users/3/recommendations"))["release"]
            assert get(client.get("/v1/schema"))["release"] == first
            second = trainer.fit(world(n_items=80)).id
            assert get(client.get("/v1/users/3/recommendations"))["release"] == second != first
            assert get(client.get("/v1/schema"))["facets"]["year"]["high"] == 2059
            trainer.rollback()
            assert get(client.get("/v1/users/3/recommendations"))["release"] == first


@pytest.mark.serial
def test_memory_does_not_grow(tmp_path: Path) -> None:
    """After a warm-up, thousands of requests of every kind, new ids each time, leave the memory where it was."""
    with published(tmp_path) as recommender, listening(create_app(recommender)) as client:
        for n in range(100):
            _ask_all_kinds(client, n)
        gc.collect()
        before = _resident()
        for n in range(100, 450):
            _ask_all_kinds(client, n)
        gc.collect()
        grown = _resident() - before
    assert grown < 4e6, f"{grown / 1e6:.1f} MB more after 2,100 requests"


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _ask_all_kinds(client: httpx.Client, n: int) -> None:
    get(client.get(f"/v1/users/{n}/recommendations?explain=true"))
    get(client.post("/v1/recommendations", json={"liked": [n % 60], "disliked": [(n + 1) % 60], "explain": True}))
    get(client.get(f"/v1/items/{n % 60}/similar", headers={"x-request-id": f"request-{n}"}))
    problem(client.get(f"/v1/items/no-such-{n}"), 404)
    problem(client.post("/v1/recommendations", json={"k": -n}), 422)
    problem(client.get(f"/no/such/path/{n}"), 404)


def _embedded(folder: Path) -> Settings:
    """A world on Milvus Lite and SQLite, published by the registered reference encoder."""
    settings = Settings(name="demo", artifacts=str(folder), port=free_port())
    items = {"item_id": list(range(20)), "title": [f"Film {n}" for n in range(20)], "genre": ["a", "b"] * 10}
    events = {
        "user_id": [u for u in range(10) for _ in range(3)],
        "item_id": [(2 * n + u) % 20 for u in range(10) for n in range(3)],
    }
    with compose(settings, ContentEncoder(dim=16)) as recommender:
        recommender.fit(Dataset(events, items=items))
    return settings


def test_a_process_of_its_own_ends_in_order(tmp_path: Path) -> None:
    """`vecrec serve` answers on the settings of the environment, without PaddlePaddle, and SIGTERM ends it with 0."""
    settings = _embedded(tmp_path)
    environment = {
        **os.environ, "VECREC_NAME": "demo", "VECREC_ARTIFACTS": str(tmp_path), "VECREC_PORT": str(settings.port),
        "VECREC_API_KEYS": "k1,k2",
    }  # fmt: skip
    script = (
        "import sys; sys.modules['paddle'] = None\n"
        "from vecrec.serving.run import serve; from vecrec.config.settings import Settings; serve(Settings.load())"
    )
    service = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)
    base = f"http://127.0.0.1:{settings.port}"
    try:
        _wait_until_ready(base, service)
        answer = httpx.get(f"{base}/v1/users/3/recommendations?k=3", headers={"x-api-key": "k2"}, trust_env=False)
        assert len(get(answer)["items"]) == 3
        problem(httpx.get(f"{base}/v1/schema", trust_env=False), 401)
    finally:
        service.send_signal(signal.SIGTERM)
        _, log = service.communicate(timeout=120)
    assert service.returncode == 0, log
    assert "serves" in log
    with compose(settings) as again:  # the directory of Milvus Lite was released
        assert again.recommend(3)


def _wait_until_ready(base: str, service: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while True:
        assert service.poll() is None
        assert time.monotonic() < end
        try:
            if httpx.get(f"{base}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
