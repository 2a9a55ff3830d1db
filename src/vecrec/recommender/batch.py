"""Recommendations for whole user bases, written to Parquet files; an interrupted run continues where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecrec._internal.batching import batched
from vecrec._internal.files import read_json, write_json
from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.filters import Filter
from vecrec.ids import Id, check_ids, encode_id, id_order
from vecrec.progress import Progress, ProgressLike, Step, showing
from vecrec.recommendations import Recommendations
from vecrec.recommender.catalogue import ITEM, USER

if TYPE_CHECKING:
    import pyarrow as pa

    from vecrec.recommender import Recommender

__all__ = ["BatchResult", "recommend_to_parquet"]

_PLAN = "_plan.json"  # readers of Parquet directories pass over what begins with an underscore
_AT_A_TIME = 500


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
    recommender: Recommender,
    directory: str | Path,
    user_ids: Sequence[Id] | None = None,
    k: int = 10,
    *,
    where: Filter | None = None,
    exclude_seen: bool = True,
    users_per_file: int = 10_000,
    progress: ProgressLike = None,
) -> BatchResult:
    """Write ``part-00000.parquet`` and so on, with ``user_id``, ``rank``, ``item_id``, ``score`` and ``served_by``.

    Called again after it was broken off, it goes on behind the last whole file. Memory does not grow with the number of
    users, but for their ids. All files are of one release.

    Args:
        recommender: The recommender that answers.
        directory: Where the files go; made if it is not there.
        user_ids: Whom to recommend to; all users with a profile or an event by default.
        k: How many for each.
        where: A condition on the items.
        exclude_seen: Leave out the items of their events.
        users_per_file: How many users one file holds.
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

    Raises:
        InvalidDataError: when the directory holds another batch.
        ReleaseError: when another release goes live on the way.
    """
    ids = _all_users(recommender) if user_ids is None else list(dict.fromkeys(check_ids(user_ids, "user id")))
    folder = Path(directory)
    settings = {"k": k, "where": None if where is None else str(where), "exclude_seen": exclude_seen}
    plan = _plan(recommender, folder, ids, {**settings, "users_per_file": users_per_file})
    job = _Job(recommender, folder, plan, k, where, exclude_seen)
    with showing(progress) as show:
        return job.run(list(batched(ids, users_per_file)), show)


@dataclass(frozen=True, slots=True)
class _Job:
    recommender: Recommender
    folder: Path
    plan: dict[str, Any]
    k: int
    where: Filter | None
    exclude_seen: bool

    def run(self, parts: Sequence[Sequence[Id]], progress: Progress) -> BatchResult:
        total, done, rows, skipped = sum(map(len, parts)), 0, 0, 0
        for number, part in enumerate(parts):
            path = self.folder / f"part-{number:05}.parquet"
            if path.exists():
                skipped += 1
            else:
                for served in self._write(path, part):
                    progress(Step("batch", done + served, total))
            done, rows = done + len(part), rows + _rows(path)
            progress(Step("batch", done, total))
        return BatchResult(self.plan["release"], total, rows, len(parts), skipped)

    def _write(self, path: Path, part: Sequence[Id]) -> Iterator[int]:
        import pyarrow.parquet as pq

        schema, unfinished = self._schema(), path.with_suffix(".unfinished")
        done = 0
        with pq.ParquetWriter(unfinished, schema) as writer:
            for ids in batched(part, _AT_A_TIME):
                found = self.recommender.recommend_many(ids, self.k, where=self.where, exclude_seen=self.exclude_seen)
                writer.write_table(self._table(found, schema))
                done += len(ids)
                yield done
        unfinished.replace(path)

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        kinds = {"integer": pa.int64(), "string": pa.string()}
        return pa.schema(
            [
                ("user_id", kinds[self.plan["user_ids"]]),
                ("rank", pa.int32()),
                ("item_id", kinds[self.plan["item_ids"]]),
                ("score", pa.float32()),
                ("served_by", pa.string()),
            ],
            metadata={"vecrec.release": self.plan["release"]},
        )

    def _table(self, lists: Sequence[Recommendations], schema: pa.Schema) -> pa.Table:
        import pyarrow as pa

        for found in lists:
            if found.release != self.plan["release"]:
                raise ReleaseError(
                    f"the release {found.release!r} went live while {self.folder} was being filled by another one, "
                    f"{self.plan['release']!r}",
                    "begin again in another directory",
                )
        rows = [(found, each) for found in lists for each in found]
        user = str if self.plan["user_ids"] == "string" else _same
        item = str if self.plan["item_ids"] == "string" else _same
        columns = [
            [user(found.user_id) for found, _ in rows],
            [each.rank for _, each in rows],
            [item(each.item_id) for _, each in rows],
            [each.score for _, each in rows],
            [found.served_by for found, _ in rows],
        ]
        return pa.table(columns, schema=schema)


def _plan(recommender: Recommender, folder: Path, ids: Sequence[Id], settings: dict[str, Any]) -> dict[str, Any]:
    """What is to be written, which has to be what was begun if something was."""
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
    }
    held = read_json(folder / _PLAN)
    if held is not None and {**plan, "item_ids": held.get("item_ids")} != held:
        changed = sorted(name for name in plan if plan[name] != held.get(name))
        raise InvalidDataError(
            f"{folder} holds a batch with other {', '.join(changed)}", "take another directory, or empty this one"
        )
    if held is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _PLAN, plan)
    return held or plan


def _all_users(recommender: Recommender) -> list[Id]:
    store = recommender.metadata_store
    found = {key for key, _ in store.scan(USER)}
    found.update(key for key, _ in store.scan_events())
    return sorted(found, key=id_order)


def _kind(ids: Any) -> str:
    """Ids become text where integers and texts are mixed, since a column has one type."""
    return "string" if any(isinstance(key, str) for key in ids) else "integer"


def _same(key: Any) -> Any:
    return key


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
