"""A client that is generated from the OpenAPI document works."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving.web import get, listening, problem
from vecrec import Recommender
from vecrec.serving import Settings, create_app


@pytest.fixture(scope="module")
def made(recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """Give a generated package, and the address of the service that it was made for."""
    folder = tmp_path_factory.mktemp("client")
    app = create_app(recommender, settings=Settings(name="demo", api_keys=("read:r", "admin:top")))
    (folder / "openapi.json").write_text(json.dumps(app.openapi()))
    (folder / "config.yaml").write_text("post_hooks: []\npackage_name_override: demo_client\n")
    files = ["--path", folder / "openapi.json", "--config", folder / "config.yaml"]
    command = [sys.executable, "-m", "openapi_python_client", "generate", *files, "--output-path", folder / "made"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout, done.stdout
    sys.path.insert(0, str(folder / "made"))
    with listening(app) as client:
        yield importlib.import_module("demo_client"), str(client.base_url).rstrip("/")
    sys.path.remove(str(folder / "made"))


def _operation(name: str) -> Any:
    return importlib.import_module(f"demo_client.api.{name}")


def test_the_generated_client_works(made: tuple[Any, str]) -> None:
    """It writes and reads an item, recommends to a posted user, explains, and understands a refusal."""
    package, address = made
    models = importlib.import_module("demo_client.models")
    client = package.AuthenticatedClient(base_url=address, token="top", httpx_args={"trust_env": False})
    with client:
        recommend = _operation("recommendations.recommend")
        found = recommend.sync(client=client, body=models.RecommendIn(liked=[3, 7], k=4, explain=True))
        assert [item.rank for item in found.items] == [1, 2, 3, 4]
        assert found.items[0].because.sentence.startswith("Because you liked Movie ")
        body = models.ExplainIn(liked=[3], item_id=55)
        assert _operation("recommendations.explain").sync(client=client, body=body).parts
        record = models.PutItemFeatures.from_dict({"title": "Generated", "tastes": ["war"], "year": 2001})
        assert _operation("items.put_item").sync(client=client, item_id="generated", body=record).written == 1
        assert _operation("items.get_item").sync(client=client, item_id="generated").features["title"] == "Generated"
        assert _operation("items.delete_item").sync_detailed(client=client, item_id="generated").status_code == 204
        refused = _operation("items.get_item").sync(client=client, item_id="generated")
        assert (refused.status, refused.title) == (404, "There is no such item")
        assert _operation("admin.overview").sync(client=client).name == "demo"


def test_lists_for_many_users(client: httpx.Client) -> None:
    """Each user's list is the one that they get alone; what is left out is left out of all."""
    body = {"user_ids": [3, 1, "stranger"], "k": 3, "exclude": [59]}
    lists = get(client.post("/v1/recommendations/batch", json=body))["lists"]
    assert [each["user_id"] for each in lists] == [3, 1, "stranger"]
    for each in lists:
        alone = get(client.post("/v1/recommendations", json={"user_id": each["user_id"], "k": 3, "exclude": [59]}))
        assert each["items"] == alone["items"]
    problem(client.post("/v1/recommendations/batch", json={"user_ids": []}), 422)


def test_trending_and_similar_without_some(client: httpx.Client, recommender: Recommender) -> None:
    """What was chosen lately comes first; excluded items do not come."""
    from vecrec import Event

    recommender.record([Event(f"trend {user}", 58) for user in range(20)])
    assert get(client.get("/v1/trending", params={"days": 1}))["items"][0]["item_id"] == 58
    near = [item["item_id"] for item in get(client.get("/v1/items/3/similar", params={"k": 3}))["items"]]
    rest = get(client.get("/v1/items/3/similar", params={"k": 3, "exclude": near[:2]}))["items"]
    assert not {item["item_id"] for item in rest} & {*near[:2]}
    for user in range(20):
        recommender.forget_user(f"trend {user}")


def test_an_item_that_did_not_change_is_not_sent_again(client: httpx.Client, recommender: Recommender) -> None:
    """Its ETag is answered 304, until the record changes; HEAD has it too."""
    first = client.get("/v1/items/3")
    tag = first.headers["etag"]
    assert client.head("/v1/items/3").headers["etag"] == tag
    again = client.get("/v1/items/3", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    item = recommender.get_items([3])[3]
    recommender.upsert_items([type(item)(3, {**item.features, "title": "Another"})])
    assert client.get("/v1/items/3", headers={"If-None-Match": tag}).json()["features"]["title"] == "Another"
    recommender.upsert_items([item])
