"""The service under attack: slow and large requests, wrong keys, scopes, forwarded addresses, what it gives away."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.serving.conftest import published
from tests.serving.web import get, listening, problem
from vecrec import Recommender
from vecrec.errors import InvalidDataError, StoreUnavailableError, VecrecError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.serving import Settings, create_app
from vecrec.serving.errors import kind_of
from vecrec.serving.metrics import Metrics
from vecrec.serving.middleware import Keys
from vecrec.serving.run import bounded_protocol, serve
from vecrec.serving.service import Health

ADDRESS = "redis://user:hunter2@10.0.0.7:6379"


@contextlib.contextmanager
def _service(
    recommender: Recommender, options: dict[str, Any] | None = None, **settings: Any
) -> Iterator[httpx.Client]:
    with listening(create_app(recommender, settings=Settings(**settings)), **(options or {})) as client:
        yield client


@contextlib.contextmanager
def _socket(client: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=60) as made:
        yield made


def _answer(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


_HEAD = b"POST /v1/recommendations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


def test_slow_bodies_do_not_keep_others_out(recommender: Recommender) -> None:
    """A request counts as in flight once its body is in; a body that never comes ends with 408."""
    with _service(recommender, max_in_flight=1, body_seconds=2.0) as client, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(_socket(client)) for _ in range(5)]
        for connection in slow:
            connection.sendall(_HEAD + b"{")
        get(client.get("/v1/users/3/recommendations"))
        for connection in slow:
            answer = _answer(connection)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"urn:vecrec:problem:timeout" in answer


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(
    recommender: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    """The service goes on, and logs no traceback."""
    with _service(recommender) as client:
        with _socket(client) as connection:
            connection.sendall(_HEAD + b"{")
        get(client.get("/v1/users/3/recommendations"))
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1234567890\r\n" * 300 + b"\r\n",
        b"GET /health/live?" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"a" * 5000,
    ],
    ids=["one large header", "many headers", "a long path", "a header without an end"],
)
def test_headers_are_bounded(recommender: Recommender, head: bytes) -> None:
    """By `bounded_protocol`, which overrides and calls methods of uvicorn's `HttpToolsProtocol`: this is their test."""
    with _service(recommender, {"http": bounded_protocol(4096)}) as client:
        with _socket(client) as connection:
            connection.sendall(head)
            assert _answer(connection).startswith(b"HTTP/1.1 400 ")
        get(client.get("/health/live", headers={"x-small": "a" * 1000}))
        # A body does not count as a header, nor do two requests on one connection.
        profile = {"features": {"taste": "war"}, "exclude": list(range(1000, 2000))}
        for _ in range(3):
            get(client.post("/v1/recommendations", json=profile))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_other_content_types_are_refused(client: httpx.Client, kind: str) -> None:
    """415, so that a form of another page cannot post."""
    answer = client.post("/v1/recommendations", content=b'{"k": 3}', headers={"content-type": kind} if kind else {})
    problem(answer, 415)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/vnd.a+json"])
def test_json_by_any_name_is_read(client: httpx.Client, kind: str) -> None:
    """With parameters and suffixes."""
    assert (
        len(get(client.post("/v1/recommendations", content=b'{"k": 3}', headers={"content-type": kind}))["items"]) == 3
    )


KEYS = ("read:r", "write:w", "admin:a", "all:of:it")


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "/v1/schema", None, "rwa"),
        ("GET", "/metrics", None, "rwa"),
        ("HEAD", "/v1/items/1", None, "rwa"),
        ("POST", "/v1/recommendations", {"k": 1}, "rwa"),
        ("POST", "/v1/retrieval", {"item_id": 1}, "rwa"),
        ("POST", "/v1/ranking", {"item_ids": [1]}, "rwa"),
        ("POST", "/v1/items/lookup", {"ids": [1]}, "rwa"),
        ("POST", "/v1/users/vectors", {"users": [{"liked": [1]}]}, "rwa"),
        ("POST", "/v1/items/vectors", {"items": [{"id": 1}]}, "rwa"),
        ("POST", "/v1/events", {"events": [{"user_id": "scope", "item_id": 1}]}, "wa"),
        ("POST", "/v1/users/scope/likes", {"item_id": 1}, "wa"),
        ("PUT", "/v1/users/scope", {"taste": "war"}, "wa"),
        ("DELETE", "/v1/users/scope", None, "wa"),
        ("POST", "/v1/items/delete", {"ids": ["none"]}, "wa"),
    ],
)
def test_keys_have_scopes(recommender: Recommender, method: str, path: str, body: Any, allowed: str) -> None:
    """What a key may not do is 403; a key without a scope may do everything."""
    with _service(recommender, api_keys=KEYS) as client:
        for key in ("r", "w", "a", "all:of:it"):
            answer = client.request(method, path, json=body, headers={"x-api-key": key})
            if key in allowed or key == "all:of:it":
                assert answer.status_code in (200, 204), (key, answer.text)
            else:
                assert problem(answer, 403)["type"].endswith("scope")


def test_a_key_with_several_scopes_has_the_widest() -> None:
    """However they are ordered."""
    for keys in (("read:k", "admin:k"), ("admin:k", "read:k")):
        assert Keys(keys).scope("k") == "admin"
    assert Keys(("read:k",)).scope("read:k") == ""


@pytest.mark.parametrize("keys", [("read:",), ("",), ("a", "admin:")])
def test_a_scope_without_a_key_is_refused(keys: tuple[str, ...]) -> None:
    """An empty key would open the service."""
    with pytest.raises(InvalidDataError, match="api_keys"):
        Settings(api_keys=keys)


def test_wrong_keys_are_limited(recommender: Recommender) -> None:
    """After some wrong keys an address is refused for a while, right keys too, so that no guess can succeed."""
    with _service(recommender, api_keys=("right",), wrong_keys_per_minute=18) as client:
        for _ in range(5):
            problem(client.get("/v1/schema"), 401)  # no key is no guess
        guesses = [client.get("/v1/schema", headers={"x-api-key": f"guess {n}"}).status_code for n in range(4)]
        assert guesses == [401] * 3 + [429]
        locked = client.get("/v1/schema", headers={"x-api-key": "right"})
        assert problem(locked, 429)["type"].endswith("key")
        assert int(locked.headers["retry-after"]) >= 1
        get(client.get("/health/live"))


def test_guesses_at_health_count_too(recommender: Recommender) -> None:
    """Health is open, and tells no more to a guess than to no key."""
    with _service(recommender, api_keys=("right",), wrong_keys_per_minute=6) as client:
        assert client.get("/health/ready", headers={"x-api-key": "guess"}).status_code == 200
        problem(client.get("/v1/schema", headers={"x-api-key": "right"}), 429)


def test_forwarded_addresses_count_from_trusted_proxies_only(recommender: Recommender) -> None:
    """`serve` hands uvicorn the proxies of the settings; from others the header is not read."""
    settings = {"rate_per_minute": 6}
    for trusted, expected in ((False, [200, 429]), (True, [200, 200])):
        options = {"proxy_headers": trusted, "forwarded_allow_ips": ["127.0.0.1"] if trusted else []}
        with _service(recommender, options, **settings) as client:
            asked = [client.get("/v1/schema", headers={"x-forwarded-for": f"1.2.3.{n}"}).status_code for n in range(2)]
            assert asked == expected


class _Stopped(MemoryMetadataStore):
    """Stops answering, and names its address."""

    asked = 0
    down = False

    def ping(self) -> None:
        """Count, and answer or not."""
        type(self).asked += 1
        if self.down:
            raise StoreUnavailableError(f"Redis at {ADDRESS} does not answer", "start it")

    def _get(self, *args: Any) -> Any:
        if self.down:
            raise StoreUnavailableError(f"Redis at {ADDRESS} does not answer", "start it")
        return super()._get(*args)


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recommender]:
    """Give a recommender whose metadata store has stopped answering."""
    with monkeypatch.context() as patch:
        patch.setattr("tests.serving.conftest.MemoryMetadataStore", _Stopped)
        made = published(tmp_path)
    monkeypatch.setattr(_Stopped, "down", True)
    with made:
        yield made


def test_nothing_of_the_inside_is_given_away(stopped: Recommender, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by health nor by a 503; the log has it, and health tells it to an admin's key."""
    with _service(stopped, api_keys=("read:r", "admin:a")) as client:
        for key, told in (("r", False), ("a", True)):
            ready = problem(client.get("/health/ready", headers={"x-api-key": key}), 503)
            assert ("10.0.0.7" in str(ready)) == told
            refused = problem(client.get("/v1/items/1", headers={"x-api-key": key}), 503)
            assert "10.0.0.7" not in str(refused)
            assert refused["type"].endswith("store-unavailable")
        assert "10.0.0.7" not in client.get("/health/ready").text
        assert "10.0.0.7" in caplog.text
    with _service(stopped) as client:  # without keys nobody is known
        assert problem(client.get("/health/ready"), 503)["parts"]["metadata_store"] == "A store does not answer"


@pytest.mark.parametrize("step", ["search", "fetch"])
def test_notes_name_no_address(
    client: httpx.Client, recommender: Recommender, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A list without vectors says so, and not where they would have been."""

    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError(f"Milvus at {ADDRESS} does not answer", "start it")

    monkeypatch.setattr(recommender.vector_store, step, away)
    answer = client.post("/v1/recommendations", json={"user_id": 3, "disliked": [4], "explain": True})
    assert get(answer)["items"]
    assert "10.0.0.7" not in answer.text


def test_readiness_is_asked_for_at_most_once_a_second(stopped: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who ask at a time cost the stores one ping."""
    monkeypatch.setattr(_Stopped, "asked", 0)
    now = [100.0]
    monkeypatch.setattr("vecrec.serving.service.time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))
    with _service(stopped) as client:
        for _ in range(10):
            problem(client.get("/health/ready"), 503)
        assert _Stopped.asked == 1
        now[0] += 1.5
        problem(client.get("/health/ready"), 503)
        assert _Stopped.asked == 2


def test_a_store_that_hangs_holds_one_question_for_readiness(stopped: Recommender) -> None:
    """The others are answered with what was known before."""
    release, arrived = threading.Event(), threading.Event()

    def hang() -> None:
        arrived.set()
        release.wait(60)

    health = Health(stopped, Metrics())
    known = health.parts()
    health._until = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopped.vector_store, "ping", hang)
        waiting = threading.Thread(target=health.parts)
        waiting.start()
        assert arrived.wait(60)
        assert health.parts() is known
        release.set()
        waiting.join()
    assert health.parts() is not known


def test_hosts_and_redirects(recommender: Recommender) -> None:
    """Only named hosts are answered, and no redirect follows what a request calls its host."""
    with _service(recommender, allowed_hosts=("shop.example", "*.shop.example")) as client:
        for host, status in (("shop.example", 200), ("a.shop.example", 200), ("evil.example", 400)):
            assert client.get("/v1/schema", headers={"host": host}).status_code == status
    with _service(recommender) as client:
        for path in ("/v1/schema/", "/page", "/v1/items/"):
            assert "location" not in client.get(path, headers={"host": "evil.example"}).headers


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    """The same status and length, also for errors."""
    for path in ("/v1/schema", "/v1/items/1", "/v1/items/none", "/", "/health/live"):
        with_body, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (with_body.status_code, b"")
        assert head.headers["content-type"] == with_body.headers["content-type"]
        assert head.headers.get("content-length") == with_body.headers.get("content-length")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/users", "GET, HEAD, POST"),
        ("/v1/items", "GET, HEAD, PATCH, POST"),
        ("/v1/items/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/v1/users/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/v1/users/1/likes", "POST"),
        ("/health/live", "GET, HEAD"),
    ],
)
def test_a_wrong_method_hears_all_right_ones(client: httpx.Client, path: str, allowed: str) -> None:
    """405 with the methods of every route that has the path."""
    answer = client.request("PROPFIND", path, json={})
    assert problem(answer, 405)["title"] == "Method Not Allowed"
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/users/3/recommendations?K=3", "K"),
        ("/v1/users/3/recommendations?k=3&filter=x", "filter"),
        ("/v1/items?q=war", "q"),
        ("/v1/items/1?k=3", "k"),
        ("/v1/schema?verbose=1", "verbose"),
    ],
)
def test_unknown_names_in_a_query_are_refused(client: httpx.Client, path: str, name: str) -> None:
    """A misspelt parameter is not passed over."""
    assert f"'{name}'" in problem(client.get(path), 422)["detail"]


def test_unknown_features_of_a_profile_are_warned_of(client: httpx.Client) -> None:
    """They are not in the schema, so nothing reads them."""
    answer = get(client.post("/v1/recommendations", json={"features": {"taste": "war", "tast": "love"}}))
    assert answer["warnings"] == ["the feature 'tast' is not in the schema and is not read"]
    assert get(client.post("/v1/recommendations", json={"features": {"taste": "war"}}))["warnings"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/recommendations", {"k": True}),
        ("/v1/recommendations", {"explain": 1}),
        ("/v1/recommendations", {"exclude_seen": "no"}),
        ("/v1/events", {"events": [{"user_id": 1, "item_id": 1, "rating": True}]}),
        ("/v1/events", {"events": [{"user_id": 1, "item_id": 1, "time": False}]}),
        ("/v1/events", {"events": [{"user_id": 1, "item_id": 1, "kind": ""}]}),
        ("/v1/events", {"events": [{"user_id": 1, "item_id": 1, "kind": 1}]}),
        ("/v1/retrieval", {"vector": [True] * 5}),
        ("/v1/items", {"items": [{"id": ""}]}),
        ("/v1/users", {"users": [{"id": ""}]}),
        ("/v1/events", {"events": [{"user_id": "", "item_id": 1}]}),
        ("/v1/users/x/likes", {"item_id": ""}),
    ],
)
def test_booleans_are_no_numbers_and_an_empty_text_is_no_id(client: httpx.Client, path: str, body: Any) -> None:
    """What no path reaches is not stored either."""
    problem(client.post(path, json=body), 422)


def test_large_answers_are_compressed(client: httpx.Client) -> None:
    """Where the client takes gzip; a HEAD has the same headers."""
    with client.stream("GET", "/v1/items?limit=60", headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(gzip.decompress(raw)) > 2 * len(raw)


def test_an_open_service_on_all_addresses_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a key, or on the loopback, there is nothing to say."""
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    monkeypatch.setattr("gc.freeze", lambda: None)
    for host, keys, said in (("0.0.0.0", (), True), ("::", (), True), ("0.0.0.0", ("k",), False), ("::1", (), False)):
        caplog.clear()
        stores: dict[str, Any] = {
            "vector_store": "memory://",
            "metadata_store": "memory://",
            "artifacts": str(tmp_path),
        }
        serve(Settings(host=host, port=0, api_keys=keys, **stores))
        assert ("open to everyone" in caplog.text) == said, host


def test_no_error_of_the_service_shows_its_insides(client: httpx.Client) -> None:
    """Messages are in the words of HTTP and name no method of the library."""
    for path in ("/v1/items/none", "/v1/items/none/similar", "/v1/users/none"):
        body = problem(client.get(path), 404)
        assert "upsert" not in body["detail"]
    assert problem(client.get("/v1/users/none"), 404)["title"] == "There is no such user"


def test_errors_are_kept_apart_by_kind() -> None:
    """A new error of the library gets a status of its own kind, never a 200."""

    def all_of(kind: type[VecrecError]) -> Iterator[type[VecrecError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from all_of(each)

    statuses = {each.__name__: kind_of(each("problem", "cure")).status for each in all_of(VecrecError)}
    assert {name for name, status in statuses.items() if status == 404} == {"ItemNotFoundError", "UserNotFoundError"}
    assert statuses["StoreTimeoutError"] == statuses["NotFittedError"] == 503
    assert {name for name, status in statuses.items() if status == 409} == {"KeyInUseError"}
    assert set(statuses.values()) <= {404, 409, 422, 500, 503}
