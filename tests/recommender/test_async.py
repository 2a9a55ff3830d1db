"""The recommender for asyncio: the same answers, in an application of FastAPI, with budgets and cancellation."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typing_extensions import override

from tests.recommender.tastes import TasteEncoder, world
from vecrec import AsyncRecommender, Event, Recommender
from vecrec._internal.budget import BudgetSpentError
from vecrec.errors import InvalidDataError, ItemNotFoundError, StoreTimeoutError
from vecrec.metadata_stores import MetadataStore, SQLMetadataStore
from vecrec.vector_stores import MemoryVectorStore


def test_it_has_every_method_of_the_recommender() -> None:
    """With the same arguments, to be awaited; but for what makes one, and a block of code that needs no waiting."""
    ours = {name for name, _ in inspect.getmembers(AsyncRecommender, inspect.isfunction) if not name.startswith("_")}
    theirs = {name for name, _ in inspect.getmembers(Recommender, inspect.isfunction) if not name.startswith("_")}
    assert theirs - ours == {"live"}
    assert ours <= theirs
    for name in ours - {"user_ids"}:
        assert inspect.iscoroutinefunction(getattr(AsyncRecommender, name))
        assert inspect.signature(getattr(AsyncRecommender, name)) == inspect.signature(getattr(Recommender, name))


def test_it_answers_as_the_recommender_does(rec: Recommender) -> None:
    alone = [rec.recommend(user, 4).item_ids for user in range(20)]

    async def ask() -> None:
        async with AsyncRecommender(rec, threads=8) as awaited:
            found = await asyncio.gather(*(awaited.recommend(user, 4) for user in range(20)))
            assert [each.item_ids for each in found] == alone
            assert sorted([user async for user in awaited.user_ids()]) == list(range(40))
            await awaited.record(Event(3, item_id=7, kind="view"))
            assert (await awaited.history(3, 1))[0].item_id == 7
            with pytest.raises(InvalidDataError, match="k is"):
                await awaited.recommend(3, 0)
            with pytest.raises(ItemNotFoundError):
                await awaited.similar_items(9999)

    asyncio.run(ask())


class SlowStore(MemoryVectorStore):
    """Searches wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.searching, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    @override
    def _search(self, *arguments: Any) -> Any:
        self.searching.set()
        assert self.go_on.wait(120)
        return super()._search(*arguments)


class Noting(Recommender):
    """Notes how its recommendations end."""

    ends: list[type]

    @override
    def recommend(self, *arguments: Any, **options: Any) -> Any:
        try:
            found = super().recommend(*arguments, **options)
        except BaseException as error:
            self.ends.append(type(error))
            raise
        self.ends.append(type(found))
        return found


def noting(metadata: MetadataStore, folder: Path) -> Noting:
    rec = Noting(TasteEncoder(), SlowStore(), metadata, name="movies", artifacts=folder)
    rec.fit(world())
    rec.ends = []
    return rec


@pytest.fixture
def slow(tmp_path: Path) -> Noting:
    """A recommender whose searches can be held, with its records in SQLite."""
    return noting(SQLMetadataStore(f"sqlite:///{tmp_path}/records.db"), tmp_path)


def test_a_call_that_nobody_awaits_any_more_asks_no_store_further(slow: Noting) -> None:
    """The task goes on at once; when the search comes back, the records are not read."""
    store: Any = slow.vector_store

    async def ask() -> None:
        async with AsyncRecommender(slow) as awaited:
            store.go_on.clear()
            store.searching.clear()
            task = asyncio.create_task(awaited.recommend(3, 4))
            assert await asyncio.to_thread(store.searching.wait, 120)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert slow.ends == []
            store.go_on.set()
            while not slow.ends:
                await asyncio.sleep(0.001)
            assert slow.ends == [BudgetSpentError]
            assert (await awaited.recommend(3, 4)).items

    asyncio.run(ask())


def test_who_shares_a_search_is_not_cancelled_with_another(slow: Noting) -> None:
    """The thread that leads a group goes on for the others, although its own caller has gone."""
    store: Any = slow.vector_store
    shared = slow._pipeline._shared
    assert shared is not None
    shared._turns = 1

    async def ask() -> None:
        async with AsyncRecommender(slow) as awaited:
            store.go_on.clear()
            first = [asyncio.create_task(awaited.recommend(n, 4)) for n in range(2)]
            while shared._waiting or not shared._busy:
                await asyncio.sleep(0.001)
            group = [asyncio.create_task(awaited.recommend(n, 4)) for n in range(2, 6)]
            while len(shared._waiting) < len(group):
                await asyncio.sleep(0.001)
            group.pop(0).cancel()
            store.go_on.set()
            found = await asyncio.gather(*first, *group)
            assert all(len(each) == 4 for each in found)

    asyncio.run(ask())


def application(rec: Recommender) -> Any:
    """A FastAPI application as its users write it, and its lifespan."""
    from fastapi import FastAPI, HTTPException

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncRecommender(rec) as opened:
            app.state.recommender = opened
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/home/{user_id}")
    async def home(user_id: int, seconds: float = 600) -> list[Any]:
        try:
            found = await app.state.recommender.recommend(user_id, k=5, timeout=seconds)
        except StoreTimeoutError as error:
            raise HTTPException(503, str(error)) from error
        return list(found.item_ids)

    @app.get("/alive")
    async def alive() -> str:
        return "yes"

    return app


def test_a_fastapi_application_serves_from_it(slow: Noting) -> None:
    """Many requests at a time; one with a budget that is spent answers an error, and the loop is free meanwhile."""
    store: Any = slow.vector_store
    shared = slow._pipeline._shared
    assert shared is not None
    shared._turns, app = 1, application(slow)
    alone = [list(slow.recommend(user, 5).item_ids) for user in range(30)]

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            answers = await asyncio.gather(*(client.get(f"/home/{user}") for user in range(30)))
            assert [answer.json() for answer in answers] == alone
            store.go_on.clear()
            held: list[asyncio.Task[httpx.Response]] = []
            while not (shared._busy and shared.alone.locked()):  # until whoever asks now waits for the others
                held.append(asyncio.create_task(client.get(f"/home/{len(held) % 30}")))
                await asyncio.sleep(0.01)
            assert (await client.get("/alive")).json() == "yes"
            late = await client.get("/home/7", params={"seconds": 0.05})
            assert late.status_code == 503
            store.go_on.set()
            assert [(await answer).json() for answer in held] == [alone[n % 30] for n in range(len(held))]

    asyncio.run(ask())
