"""Every store keeps every promise of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
import redis
from typing_extensions import override

from tests.metadata_stores.engines import cluster_url, fresh
from tests.servers.pgbouncer import PgBouncerServer
from vecrec.ids import Id, encode_id
from vecrec.metadata_stores import MetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.records import Record
from vecrec.testing import MetadataStoreTests


class CountingConnection(redis.Connection):
    """A connection to Redis that counts what is sent."""

    sent: ClassVar[int] = 0

    @override
    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        CountingConnection.sent += 1
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]


class CountingCursor(psycopg.Cursor):  # type: ignore[misc]
    """A cursor of PostgreSQL that counts what is sent."""

    sent: ClassVar[int] = 0

    @override
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        CountingCursor.sent += 1
        return super().execute(*args, **kwargs)


class RedisTests(MetadataStoreTests):
    """What is the same for a server and a cluster."""

    url: ClassVar[str]
    prefix: ClassVar[str]
    kept_events = 500

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        return RedisMetadataStore(self.url, prefix=self.prefix, max_events_per_user=520)


class TestRedis(RedisTests):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, redis_url: str) -> Iterator[MetadataStore]:
        cls.url, cls.prefix = redis_url, fresh()
        options = {"connection_class": CountingConnection}
        with RedisMetadataStore(cls.url, prefix=cls.prefix, max_events_per_user=520, options=options) as store:
            yield store

    @override
    def unreachable(self) -> MetadataStore:
        return RedisMetadataStore("redis://127.0.0.1:1", timeout=1)

    @override
    def round_trips(self, store: MetadataStore) -> int | None:
        return CountingConnection.sent

    @override
    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        with redis.Redis.from_url(self.url) as client:
            text = client.hget(f"{self.prefix}/records/{kind}", encode_id(key))
        return json.loads(text) if isinstance(text, bytes) else None


class TestRedisCluster(RedisTests):
    atomic = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, redis_cluster_url: str) -> Iterator[MetadataStore]:
        cls.url, cls.prefix = cluster_url(redis_cluster_url), fresh()
        with RedisMetadataStore(cls.url, prefix=cls.prefix, max_events_per_user=520) as store:
            yield store

    @override
    def unreachable(self) -> MetadataStore:
        return RedisMetadataStore("redis+cluster://127.0.0.1:1", timeout=1)


class SQLTests(MetadataStoreTests):
    """What is the same for all databases."""

    url: ClassVar[str]
    prefix: ClassVar[str]

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        return SQLMetadataStore(self.url, prefix=self.prefix, max_events_per_user=520)

    @override
    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        import sqlalchemy as sa

        table = sa.table(f"{self.prefix}records", sa.column("kind"), sa.column("id"), sa.column("record"))
        query = sa.select(table.c.record).where(table.c.kind == kind, table.c.id == encode_id(key).encode())
        engine = sa.create_engine(self.url)
        with engine.connect() as connection:
            text = connection.execute(query).scalar()
        engine.dispose()
        return None if text is None else json.loads(text)


class TestSQLite(SQLTests):
    remote = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataStore]:
        path: Path = tmp_path_factory.mktemp("sqlite") / "store.db"
        cls.url, cls.prefix = f"sqlite:///{path}", fresh()
        with SQLMetadataStore(cls.url, prefix=cls.prefix, max_events_per_user=520) as store:
            yield store


class TestSQLiteInMemory(SQLTests):
    persistent = False
    remote = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls) -> Iterator[MetadataStore]:
        with SQLMetadataStore("sqlite://", max_events_per_user=520) as store:
            yield store

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        return SQLMetadataStore("sqlite://")

    @override
    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        assert isinstance(store, SQLMetadataStore)
        query = "SELECT record FROM vecrec_records WHERE kind = ? AND id = ?"
        rows = store._database.read(query, (kind, encode_id(key).encode()))
        return json.loads(rows[0][0]) if rows else None


class TestMariaDB(SQLTests):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, mariadb_url: str) -> Iterator[MetadataStore]:
        cls.url, cls.prefix = mariadb_url, fresh()
        with SQLMetadataStore(cls.url, prefix=cls.prefix, max_events_per_user=520) as store:
            yield store

    @override
    def unreachable(self) -> MetadataStore:
        return SQLMetadataStore("mysql+pymysql://nobody:secret@127.0.0.1:1/none", timeout=1)

    @override
    def round_trips(self, store: MetadataStore) -> int | None:
        assert isinstance(store, SQLMetadataStore)
        return int(store._database.read("SHOW SESSION STATUS LIKE 'Questions'", ())[0][1])


class TestPostgreSQL(SQLTests):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, postgres_url: str) -> Iterator[MetadataStore]:
        cls.url, cls.prefix = postgres_url, fresh()
        counted = {"connect_args": {"cursor_factory": CountingCursor}}
        with SQLMetadataStore(cls.url, prefix=cls.prefix, max_events_per_user=520, engine_options=counted) as store:
            yield store

    @override
    def round_trips(self, store: MetadataStore) -> int | None:
        return CountingCursor.sent

    @override
    def unreachable(self) -> MetadataStore:
        return SQLMetadataStore("postgresql+psycopg://nobody:secret@127.0.0.1:1/none", timeout=1)


class TestPostgreSQLBehindPgBouncer(TestPostgreSQL):
    """In transaction mode, where two transactions of a client may meet two server processes."""

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, postgres_url: str) -> Iterator[MetadataStore]:
        counted = {"connect_args": {"cursor_factory": CountingCursor}}
        with PgBouncerServer(postgres_url, connections=3) as server:
            cls.url, cls.prefix = server.url, fresh()
            with SQLMetadataStore(cls.url, prefix=cls.prefix, max_events_per_user=520, engine_options=counted) as store:
                yield store
