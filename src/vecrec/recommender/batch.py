"""Recommendations for whole user bases, written to Parquet files by many processes; an interrupted run continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vecrec._internal.batching import batched
from vecrec._internal.folders import Folder, locate
from vecrec._internal.times import moment
from vecrec._internal.validation import choice, flag, instance, integer
from vecrec.errors import InvalidDataError, shown
from vecrec.filters import Filter
from vecrec.ids import Id, check_ids, encode_id, id_order
from vecrec.progress import ProgressLike, Step, showing
from vecrec.recommender.batch_engines import ENGINES
from vecrec.recommender.batch_job import Job, Part
from vecrec.recommender.catalogue import ITEM
from vecrec.recommender.recommender import Recommender

if TYPE_CHECKING:
    from pyarrow import fs

__all__ = ["BatchResult", "recommend_to_parquet"]

_PLAN = "_plan.json"  # readers of Parquet directories pass over what begins with an underscore


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What is in the directory now."""

    release: str
    """The release that answered."""
    users: int
    """How many users were served."""
    rows: int
    """How many recommendations there are."""
    files: int
    """How many files there are."""
    skipped: int
    """How many of these files were there already."""

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        return asdict(self)


def recommend_to_parquet(
    recommender: Recommender | Callable[[], Recommender],
    directory: str | Path,
    user_ids: Sequence[Id] | None = None,
    k: int = 10,
    *,
    where: Filter | None = None,
    exclude_seen: bool = True,
    at: Any = None,
    users_per_file: int | None = None,
    engine: Literal["local", "ray", "spark"] = "local",
    processes: int | None = None,
    filesystem: fs.FileSystem | Any | None = None,
    progress: ProgressLike = None,
) -> BatchResult:
    """Write ``part-00000.parquet`` and so on, with ``user_id``, ``rank``, ``item_id``, ``score`` and ``served_by``.

    ::

        opener = functools.partial(compose, Settings.load("shop.toml"))
        recommend_to_parquet(opener, "s3://bucket/lists/dt=2026-11-30", k=50, engine="ray")

    The users are divided in the same way by each engine, and a file is there whole or not at all. Called again after it
    was broken off, it goes on behind the finished files, also by another engine. Memory does not grow with the number
    of users, but for their ids. All files are of one release.

    Args:
        recommender: The recommender that answers, in this process; or a function that opens one, which each process
            calls once, such as ``functools.partial(compose, settings)`` with `vecrec.config.compose.compose`. One of
            your own must be importable there, and a script that passes it needs ``if __name__ == "__main__":``.
        directory: Where the files go; made if it is not there. A path, or a URI of an object storage such as
            ``s3://bucket/lists``.
        user_ids: Whom to recommend to; all users with a profile or an event by default.
        k: How many for each.
        where: A condition on the items.
        exclude_seen: Leave out the items of their events.
        at: When the users will look at their lists, as any time that `Event` takes; by default the lists do not depend
            on it.
        users_per_file: How many users one file holds; by default a 64th of them, at least 500 and at most 10,000.
        engine: Who runs the processes: this machine, Ray (the extra ``ray``) or Spark (the extra ``spark``). Those of
            another machine need the same stores and artifacts at the same addresses and paths.
        processes: How many work at a time. By default one for each core: of this machine, or of the cluster.
        filesystem: What ``directory`` is a path in: a file system of Arrow or fsspec, with credentials of its own.
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

    Raises:
        InvalidDataError: when the directory holds another batch, and for several processes with a store that serves
            one, such as Milvus Lite.
        ReleaseError: when another release goes live on the way.
        BatchError: when a process ends early. The finished files stay.
        MissingDependencyError: when the engine is not installed.
    """
    folder = Folder(*locate(directory, filesystem, "directory"))
    k, exclude_seen = integer(k, "k", low=1), flag(exclude_seen, "exclude_seen")
    _check_engine(recommender, engine, processes)
    when = None if at is None else moment(at, "at")
    if where is not None:
        instance(where, "where", Filter)
    with _opened(recommender) as planner:
        ids = list(dict.fromkeys(check_ids(user_ids, "user id"))) if user_ids is not None else _all_users(planner)
        alone = _is_alone(recommender, planner, engine, processes)
        condition = None if where is None else str(where)
        settings = {"k": k, "where": condition, "exclude_seen": exclude_seen, "at": when}
        plan = _plan(planner, folder, ids, settings, users_per_file)
        parts = [Part(number, users) for number, users in enumerate(batched(ids, plan["users_per_file"]))]
        opener = recommender if callable(recommender) else lambda: planner
        job = Job(opener, folder, plan, k, where, exclude_seen, when)
        if alone:
            return _run(job, parts, lambda todo: ((each.number, job.write(each, planner)) for each in todo), progress)
    return _run(job, parts, lambda todo: ENGINES[engine](job, todo, processes), progress)


def _run(
    job: Job,
    parts: Sequence[Part],
    engine: Callable[[Sequence[Part]], Iterable[tuple[int, int]]],
    progress: ProgressLike,
) -> BatchResult:
    """Have the parts made that are not there yet."""
    there = job.folder.names()
    rows = {part.number: found for part in parts if part.name in there and (found := job.rows(part)) is not None}
    todo = [part for part in parts if part.number not in rows]
    skipped, total = len(rows), sum(len(part.users) for part in parts)
    done = total - sum(len(part.users) for part in todo)
    with showing(progress) as show:
        show(Step("batch", done, total))
        if todo:
            for number, found in engine(todo):
                rows[number] = found
                done += len(parts[number].users)
                show(Step("batch", done, total))
    job.folder.sweep("part-")
    return BatchResult(job.plan["release"], total, sum(rows.values()), len(parts), skipped)


def _opened(recommender: Recommender | Callable[[], Recommender]) -> AbstractContextManager[Recommender]:
    """The recommender that plans, closed at the end if it is opened here."""
    if isinstance(recommender, Recommender):
        return nullcontext(recommender)
    return instance(recommender(), "what the function opens", Recommender)


def _check_engine(recommender: Any, engine: str, processes: int | None) -> None:
    choice(engine, "engine", ENGINES)
    if processes is not None:
        integer(processes, "processes", low=1)
    if isinstance(recommender, Recommender):
        if engine != "local" or processes not in {None, 1}:
            problem = f"a Recommender answers in its own process; engine={engine!r}, processes={processes} need more"
            raise InvalidDataError(problem, "give what opens one, such as functools.partial(compose, settings)")
    elif not callable(recommender):
        problem = f"recommender is {shown(recommender)} of type {type(recommender).__name__}"
        raise InvalidDataError(problem, "give a Recommender, or a function that opens one")


def _is_alone(recommender: Any, planner: Recommender, engine: str, processes: int | None) -> bool:
    """Whether the process that plans also answers."""
    if isinstance(recommender, Recommender) or (engine, processes) == ("local", 1):
        return True
    held = [store for store in (planner.vector_store, planner.metadata_store) if store.one_process]
    if held and (engine != "local" or processes is not None):
        problem = f"{held[0]} serves one process at a time, and engine={engine!r}, processes={processes} need more"
        raise InvalidDataError(problem, "leave both out, or move to other stores with `vecrec migrate`")
    return bool(held)


def _plan(
    recommender: Recommender, folder: Folder, ids: Sequence[Id], settings: dict[str, Any], users_per_file: int | None
) -> dict[str, Any]:
    """What is to be written, which has to be what was begun if something was."""
    held = _begun(folder)
    if users_per_file is None:
        usual = min(10_000, max(500, -(-len(ids) // 64)))
        users_per_file = held.get("users_per_file", usual) if held else usual
    digest = hashlib.blake2b(digest_size=16)
    for key in ids:
        digest.update(f"{encode_id(key)}\n".encode())
    catalogue = (key for key, _ in recommender.metadata_store.scan(ITEM))
    with recommender.live() as live:
        release = live.release.id
    plan = {
        "release": release,
        "users": digest.hexdigest(),
        "user_ids": _kind(ids),
        "item_ids": _kind(catalogue),
        **settings,
        "users_per_file": integer(users_per_file, "users_per_file", low=1),
    }
    if held is not None and {**plan, "item_ids": held.get("item_ids")} != held:
        changed = sorted(name for name in plan if plan[name] != held.get(name))
        raise InvalidDataError(
            f"{folder} holds a batch with other {', '.join(changed)}", "take another directory, or empty this one"
        )
    if held is None:
        folder.make()
        with folder.replace(_PLAN) as file:
            file.write(json.dumps(plan, ensure_ascii=False, indent=1).encode())
    return held or plan


def _begun(folder: Folder) -> dict[str, Any] | None:
    """The plan of the batch in a directory, if there is one."""
    if _PLAN not in folder.names():
        return None
    with folder.open(_PLAN) as file:
        return dict(json.loads(file.read()))


def _all_users(recommender: Recommender) -> list[Id]:
    return sorted(recommender.user_ids(), key=id_order)


def _kind(ids: Iterable[Id]) -> str:
    """Ids become text where integers and texts are mixed, since a column has one type."""
    return "string" if any(isinstance(key, str) for key in ids) else "integer"
