"""A metadata store of one's own: the class has under 60 lines of code. `tests/examples` proves it with the kit."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from operator import itemgetter
from pathlib import Path
from typing import Any

from typing_extensions import override

from vecrec import Event
from vecrec.errors import StoreError
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores import EventFilter, MetadataStore
from vecrec.records import Record

EVENTS = "events of"  # no kind of records has a space in its name


class FileStore(MetadataStore):
    """Keeps a small catalogue in one JSON file, which each write replaces whole: all of a batch is written, or none."""

    def __init__(self, path: str | Path) -> None:
        self.path, self._closed = Path(path), False

    @contextmanager
    def _held(self, kind: str, write: bool = False) -> Iterator[dict[str, Any]]:
        if self._closed:
            raise StoreError(f"{self.path} was closed: open it again")
        try:
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # against other threads and other processes
                data = json.loads(self.path.read_text()) if self.path.exists() else {}
                yield data.setdefault(kind, {})
                if write:
                    (new := self.path.with_suffix(".new")).write_text(json.dumps(data))
                    new.replace(self.path)
        except OSError as error:  # whatever the engine raises, callers see one family of errors
            raise StoreError(f"{self.path}: {error}") from error

    @override
    def ping(self) -> None:
        self._count("item")

    @override
    def close(self) -> None:
        self._closed = True

    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        with self._held(kind, write=True) as held:
            held.update({encode_id(key): record for key, record in records.items()})

    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        with self._held(kind) as held:
            return {key: held[encode_id(key)] for key in ids if encode_id(key) in held}

    def _delete(self, kind: str, ids: list[Id]) -> None:
        with self._held(kind, write=True) as held:
            for key in ids:
                held.pop(encode_id(key), None)

    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Any]]:
        with self._held(kind) as held:
            return iter([(decode_id(key), value) for key, value in held.items()])

    def _count(self, kind: str) -> int:
        return len(list(self._scan(kind, 1)))

    def _append_events(self, events: list[Event]) -> None:
        with self._held(EVENTS, write=True) as held:
            for user, item, *values in map(astuple, events):
                held.setdefault(encode_id(user), {})[f"{values[0]} {values[2]} {encode_id(item)}"] = [item, *values]

    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        return {user: events[-(limit or 0) :] for user, events in self._scan_events(1) if user in set(user_ids)}

    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        with self._held(EVENTS, write=True) as held:
            for user in user_ids:
                history = held.pop(encode_id(user), {})
                kept = {name: row for name, row in history.items() if only and not only.matches(Event(user, *row))}
                if kept:
                    held[encode_id(user)] = kept

    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        for user, history in self._scan(EVENTS, batch_size):
            yield user, [Event(user, *values) for values in sorted(history.values(), key=itemgetter(1))]
