"""What each process of a batch does: it answers one part of the users after the other, a file for each."""

from __future__ import annotations

import atexit
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vecrec._internal.batching import batched
from vecrec._internal.folders import Folder
from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.recommendations import Recommendations

if TYPE_CHECKING:
    import pyarrow as pa

    from vecrec.recommender.recommender import Recommender

__all__ = ["Job", "Part"]

_AT_A_TIME = 500
_RELEASE = b"vecrec.release"


@dataclass(frozen=True, slots=True)
class Part:
    """Users whose lists are one file."""

    number: int
    """Its place among the parts."""
    users: Sequence[Id]
    """Their ids."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"part-{self.number:05}.parquet"


@dataclass(frozen=True, slots=True)
class Job:
    """What all processes of a batch know; it travels to each of them."""

    opener: Callable[[], Recommender]
    """Opens a recommender."""
    folder: Folder
    """Where the files go."""
    plan: dict[str, Any]
    """The release, and the types of the ids."""
    k: int
    """How many items each user gets."""
    where: Filter | None
    """A condition on the items."""
    exclude_seen: bool
    """Whether the items of their events are left out."""
    at: float | None
    """When the users are recommended to; ``None`` for lists that do not depend on it."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """By which a process knows whether its recommender is this job's."""

    def recommender(self) -> Recommender:
        """The recommender of this process, opened for its first part and closed at its end."""
        if self.id not in _opened:
            _close()  # a process of Spark stays, and may have worked for another job
            _opened[self.id] = self.opener()
        return _opened[self.id]

    def write(self, part: Part, recommender: Recommender | None = None) -> int:
        """Make the file of a part; the number of its rows.

        Args:
            part: The users.
            recommender: Who answers; by default the one of this process.

        Raises:
            ReleaseError: when another release has gone live.
        """
        import pyarrow.parquet as pq

        recommender = recommender or self.recommender()
        schema, rows = self._schema(), 0
        with self.folder.replace(part.name) as file, pq.ParquetWriter(file, schema) as writer:
            for ids in batched(part.users, _AT_A_TIME):
                found = recommender.recommend_many(
                    ids, self.k, where=self.where, exclude_seen=self.exclude_seen, at=self.at
                )
                table = self._table(found, schema)
                writer.write_table(table)
                rows += len(table)
        return rows

    def rows(self, part: Part) -> int | None:
        """The number of rows of a part's file; ``None`` where it is damaged."""
        import pyarrow.parquet as pq

        try:
            with self.folder.open(part.name) as file:
                found = pq.read_metadata(file)
        except InvalidDataError:
            return None
        return int(found.num_rows)

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
            metadata={_RELEASE: self.plan["release"]},
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


_opened: dict[str, Recommender] = {}
"""The recommender of this process, by the job's id."""


@atexit.register
def _close() -> None:
    while _opened:
        _opened.popitem()[1].close()


def _same(key: Any) -> Any:
    return key
