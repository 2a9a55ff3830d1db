"""The recommender for `asyncio`: the same methods, to be awaited, over the same pipeline.

Each call runs in a thread of a pool. That costs some tens of microseconds, and threads that ask for recommendations at
the same time share their reads and searches (`vecrec.recommender.coalesce`), so that a pipeline of coroutines would do
the same work and need every store twice.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Any, Concatenate, TypeVar

from typing_extensions import ParamSpec, Self

from vecrec._internal.budget import ended_by
from vecrec._internal.validation import instance, integer
from vecrec.ids import Id
from vecrec.recommender.recommender import Recommender

__all__ = ["AsyncRecommender"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_AT_A_TIME = 1_000


def _awaited(
    method: Callable[Concatenate[Recommender, _P], _T],
) -> Callable[Concatenate[AsyncRecommender, _P], Coroutine[Any, Any, _T]]:
    """A method of the recommender, to be awaited."""

    @functools.wraps(method)
    async def call(self: AsyncRecommender, /, *arguments: _P.args, **options: _P.kwargs) -> _T:
        bound: Callable[_P, _T] = getattr(self.recommender, method.__name__)
        return await self._run(functools.partial(bound, *arguments, **options))

    return call


class AsyncRecommender:
    """A `Recommender` whose methods are awaited; what they take, return and raise is the same.

    ::

        async with AsyncRecommender(Recommender.open("movies", vectors, metadata)) as recommender:
            found = await recommender.recommend(42, k=10, timeout=0.5)

    Calls that wait for an engine do not hold up the event loop, nor each other up to the number of threads. The budget
    of a call is its ``timeout``, as ever. Where the task that awaits a call is cancelled, such as by
    `asyncio.timeout`, it goes on at once, and the call makes no further request to a store; what it shares with other
    callers is still brought to its end.

    Args:
        recommender: What answers. Leaving the block, or `close`, closes it.
        threads: How many calls run at a time; more wait for a thread.

    Raises:
        InvalidDataError: for an argument that is not valid.
    """

    def __init__(self, recommender: Recommender, *, threads: int = 64) -> None:
        self.recommender = instance(recommender, "recommender", Recommender)
        """For what needs no waiting, such as ``name``, and for the block of `Recommender.live`."""
        self._pool = ThreadPoolExecutor(integer(threads, "threads", low=1, high=10_000), "vecrec-async")

    async def _run(self, call: Callable[[], _T]) -> _T:
        import asyncio  # as slow to import as the rest of vecrec, and loaded already where this is awaited

        context, ending = contextvars.copy_context(), threading.Event()

        def work() -> _T:
            with ended_by(ending):
                return call()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, work)
        except asyncio.CancelledError:
            ending.set()
            raise

    fit = _awaited(Recommender.fit)
    publish = _awaited(Recommender.publish)
    refresh = _awaited(Recommender.refresh)
    releases = _awaited(Recommender.releases)
    rollback = _awaited(Recommender.rollback)
    recommend = _awaited(Recommender.recommend)
    recommend_many = _awaited(Recommender.recommend_many)
    recommend_for = _awaited(Recommender.recommend_for)
    similar_items = _awaited(Recommender.similar_items)
    search = _awaited(Recommender.search)
    matching = _awaited(Recommender.matching)
    popular = _awaited(Recommender.popular)
    rank = _awaited(Recommender.rank)
    explain = _awaited(Recommender.explain)
    explain_many = _awaited(Recommender.explain_many)
    get_items = _awaited(Recommender.get_items)
    get_users = _awaited(Recommender.get_users)
    history = _awaited(Recommender.history)
    dataset = _awaited(Recommender.dataset)
    taste = _awaited(Recommender.taste)
    written_id = _awaited(Recommender.written_id)
    evaluate = _awaited(Recommender.evaluate)
    upsert_items = _awaited(Recommender.upsert_items)
    update_items = _awaited(Recommender.update_items)
    delete_items = _awaited(Recommender.delete_items)
    upsert_users = _awaited(Recommender.upsert_users)
    update_users = _awaited(Recommender.update_users)
    record = _awaited(Recommender.record)
    delete_events = _awaited(Recommender.delete_events)
    forget_user = _awaited(Recommender.forget_user)
    verify = _awaited(Recommender.verify)
    unfinished_builds = _awaited(Recommender.unfinished_builds)
    measure_recall = _awaited(Recommender.measure_recall)
    repair = _awaited(Recommender.repair)
    migrate = _awaited(Recommender.migrate)

    async def user_ids(self) -> AsyncIterator[Id]:
        """Each user about whom a profile or an event is stored, once, in any order, read in batches."""
        ids = self.recommender.user_ids()
        while batch := await self._run(lambda: list(islice(ids, _AT_A_TIME))):
            for key in batch:
                yield key

    async def close(self) -> None:
        """Close both stores."""
        await self._run(self.recommender.close)
        self._pool.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
