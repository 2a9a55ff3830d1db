"""Stores by URL: what is imported, what is refused, and what is never shown."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

from vecrec.errors import InvalidDataError, MissingDependencyError, StoreError
from vecrec.metadata_stores import (
    MemoryMetadataStore,
    MetadataStore,
    RedisMetadataStore,
    ReportsRisks,
    SQLMetadataStore,
    from_url,
)

_SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryMetadataStore),
        ("sqlite://", SQLMetadataStore),
        ("sqlite:///file.db", SQLMetadataStore),
        ("redis://localhost", RedisMetadataStore),
        ("rediss://localhost:1/2", RedisMetadataStore),
        ("redis+cluster://localhost:1", RedisMetadataStore),
        ("unix:///tmp/redis.sock?db=1", RedisMetadataStore),
        ("mysql://u:p@localhost/db", SQLMetadataStore),
        ("mysql+pymysql://u:p@localhost/db", SQLMetadataStore),
        ("mariadb+pymysql://u:p@localhost/db", SQLMetadataStore),
        ("postgresql+psycopg://u:p@localhost/db", SQLMetadataStore),
    ],
)
def test_a_url_names_a_store(url: str, kind: type[MetadataStore]) -> None:
    """The scheme decides; nothing is connected or created yet."""
    with from_url(url) as store:
        assert type(store) is kind


def test_options_reach_the_store() -> None:
    """What else is given goes to the constructor."""
    with from_url("memory://", max_events_per_user=3) as store:
        assert isinstance(store, MemoryMetadataStore)
        assert store.max_events_per_user == 3


@pytest.mark.parametrize("url", ["", "redis", "oracle://u:{}@h/d", "://{}", None, 5, "postgresql+psycopg2://u:{}@h/d"])
def test_other_urls_are_refused_without_their_password(url: Any) -> None:
    """The message names the schemes that there are."""
    with pytest.raises(InvalidDataError, match="sqlite") as caught:
        from_url(url.format(_SECRET) if isinstance(url, str) else url)
    assert _SECRET not in f"{caught.value} {caught.value.__cause__}"


def test_third_parties_register_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme of another package is looked up in the group of entry points, in which our own are too."""
    made: list[Any] = []

    def opened(url: str, **options: Any) -> MemoryMetadataStore:
        made.append((url, options))
        return MemoryMetadataStore()

    class Entry:
        def load(self) -> Any:
            return opened

    assert {entry.name for entry in entry_points(group="vecrec.metadata_stores")} >= {"redis", "sql"}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group, name: [Entry()] if name == "mine" else [])
    assert isinstance(from_url("mine+tls://host", x=1), MemoryMetadataStore)
    assert made == [("mine+tls://host", {"x": 1})]


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{_SECRET}@127.0.0.1:1/0?client_name={_SECRET}",
        f"redis+cluster://user:{_SECRET}@127.0.0.1:1",
        f"mysql+pymysql://user:{_SECRET}@127.0.0.1:1/db",
        f"postgresql+psycopg://user:{_SECRET}@127.0.0.1:1/db",
    ],
)
def test_passwords_are_never_shown(url: str) -> None:
    """Neither in the representation nor in an error nor in its causes."""
    with from_url(url, timeout=1) as store:
        with pytest.raises(StoreError) as caught:
            store.ping()
        error: BaseException | None = caught.value
        shown = repr(store)
        while error is not None:
            shown += f"{error} {error!r}"
            error = error.__cause__
        assert "127.0.0.1:1" in shown
        assert _SECRET not in shown


@pytest.mark.parametrize(
    ("package", "url", "cure"),
    [
        ("redis", "redis://localhost", "redis"),
        ("sqlalchemy", "sqlite://", "sql"),
        ("pymysql", "mysql+pymysql://localhost/db", "mysql"),
        ("psycopg", "postgresql+psycopg://localhost/db", "postgres"),
    ],
)
def test_a_missing_package_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, package: str, url: str, cure: str
) -> None:
    """The error comes when the store is made, and says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install 'vecrec-recommender\[{cure}\]'"):
        from_url(url)


def test_importing_the_stores_imports_no_engine() -> None:
    """A program that keeps everything in memory pays for no database client."""
    code = (
        "import sys, vecrec.metadata_stores; print([m for m in ('redis', 'sqlalchemy', 'pymysql') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": True},
        {"timeout": "5"},
        {"max_connections": 0},
        {"max_events_per_user": 0},
        {"max_events_per_user": 1.5},
        {"max_events_per_user": 10**9},
        {"prefix": ""},
        {"prefix": "a b"},
        {"prefix": "a/b"},
        {"prefix": "x" * 65},
        {"prefix": "a;drop"},
        {"prefix": None},
    ],
)
@pytest.mark.parametrize("url", ["redis://localhost", "sqlite://"])
def test_bad_options_are_refused_at_once(url: str, options: dict[str, Any]) -> None:
    """What a store cannot work with is said when it is made, with the value."""
    with pytest.raises(InvalidDataError, match=r"prefix|give"):
        from_url(url, **options)


@pytest.mark.parametrize("prefix", ["*", "ve*", "v?crec", "v[e]crec", "a{b}", "a\\b", "1abc;", "vecrec/events"])
def test_patterns_are_no_prefix(prefix: str) -> None:
    """A prefix never matches the keys of others: what a pattern or a hash tag would mean is refused."""
    with pytest.raises(InvalidDataError, match="prefix"):
        RedisMetadataStore("redis://localhost", prefix=prefix)


def test_only_stores_with_risks_report_them() -> None:
    """The ability is optional."""
    assert not isinstance(MemoryMetadataStore(), ReportsRisks)
    with RedisMetadataStore("redis://localhost") as store:
        assert isinstance(store, ReportsRisks)
