"""The words of the catalogue, which a search by text looks up.

Each process keeps an index of its own in memory, by the full-text engine of SQLite (FTS5, with BM25 as relevance), so
that every pair of stores finds the same. It is read from the records when a search first needs it, and again, beside
the searches, for each release. What this process changes is in it at once, what others change within some seconds.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, islice

from vecrec._internal.batching import batched
from vecrec._internal.budget import remaining
from vecrec.errors import InvalidDataError, MissingDependencyError, StoreError, StoreTimeoutError, shown
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.edits import ITEM_EDIT, edits_of
from vecrec.records import JSON, Record

__all__ = ["Match", "WordIndex", "check_text"]

_BATCH = 2_000

_MOST_LETTERS, _MOST_WORDS = 1_000, 32
"""How long a text may be that is searched for."""

_LONGEST = 20_000
"""Letters of an item, at most, that are read."""

_SECONDS = 5.0
"""How often the edits of other processes are read, at most."""
_REST = 20
"""How many times as long as reading them took nothing is read."""
_PATIENCE = 0.5
"""Seconds, from its beginning, that searches wait for a newer index where there is one to search."""

_NEAR = 0.7
"""How much of two words must agree for one to be a mistyped form of the other."""
_VOCABULARY = 20_000
"""Words, at most, that a mistyped one is compared with: those of most items."""

_ADDRESSES = ("http://", "https://", "data:")

_TABLE = "CREATE VIRTUAL TABLE items USING fts5(words, tokenize='unicode61 remove_diacritics 2', prefix='1 2 3')"
_ALL = "SELECT rowid, -rank FROM items WHERE items MATCH ? ORDER BY rank, rowid LIMIT ?"
_ROWS = "SELECT rowid FROM items WHERE items MATCH ?"
_ANY = f"{_ROWS} LIMIT 1"
_AMONG = (
    "SELECT rowid, -rank FROM items WHERE items MATCH ? AND rowid IN (SELECT value FROM json_each(?)) "
    "ORDER BY rank, rowid LIMIT ?"
)

_log = logging.getLogger("vecrec")


@dataclass(frozen=True, slots=True)
class Match:
    """An item that has words of a text."""

    id: Id
    relevance: float
    """The BM25 of its words, above 0."""
    whole: bool
    """Whether it has all the words."""


def check_text(text: object) -> list[str]:
    """The words of a text to search for.

    Raises:
        InvalidDataError: for what is not a text, has no word, or is too long.
    """
    if not isinstance(text, str):
        raise InvalidDataError(f"text is {shown(text)}", 'give words, such as "space opera"')
    words = [word for word in text.replace("\0", " ").split() if any(map(str.isalnum, word))]
    if not words or len(text) > _MOST_LETTERS or len(words) > _MOST_WORDS:
        raise InvalidDataError(
            f"text has {len(words)} words and {len(text):,} letters",
            f"give 1 to {_MOST_WORDS} words of together {_MOST_LETTERS:,} letters at most",
        )
    return [word.encode("utf-8", "replace").decode() for word in words]


def _plain(text: str) -> str:
    """A text without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _nearest_word(word: str, known: Iterable[str]) -> str:
    """The known word that is nearest to a mistyped one, or the word itself where none is near."""
    return next(iter(get_close_matches(word, known, 1, _NEAR)), word)


class WordIndex:
    """Finds items by words of their records.

    Args:
        metadata: Gives the store that has the records.
        kind: Of the records.
    """

    def __init__(self, metadata: Callable[[], MetadataStore], kind: str) -> None:
        self._metadata, self._kind = metadata, kind
        self._lock = threading.Lock()
        self._held: _Index | None = None
        self._making: tuple[int, float, Future[None]] | None = None  # by the process, since no thread survives a fork
        self._edited: set[Id] = set()  # by this process, and not in the index yet
        self._meanwhile: set[Id] = set()  # those that came into the old index while a newer one was made

    def edited(self, ids: Iterable[Id]) -> None:
        """Take note of items that this process has written or deleted."""
        if self._held is not None or self._making is not None:
            with self._lock:
                self._edited.update(ids)

    def all_of(self, release: str, words: Sequence[str]) -> list[Id]:
        """All items that have all the words, in any order; see `find`."""
        index = self._current(release)
        with self._lock:
            self._take_edits(index)
            return index.all_of(words)

    def find(self, release: str, words: Sequence[str], most: int, among: Iterable[Id] | None = None) -> list[Match]:
        """Items that have all the words, the most relevant first; then, where they are few, those that have some.

        A word also stands for what it is the beginning of, and a word that no item has for the nearest one.

        Args:
            release: The live release; for another one than before the index is made again.
            words: Of `check_text`.
            most: How many.
            among: Only these items.

        Raises:
            StoreUnavailableError: when there is no index yet, and the records cannot be read in time.
        """
        index = self._current(release)
        with self._lock:
            self._take_edits(index)
            return index.find(words, most, among)

    def _current(self, release: str) -> _Index:
        """The index of the release; an earlier one where that takes long; a first one has to be waited for."""
        held = self._held
        if held is not None and held.release == release and time.monotonic() < held.due:
            return held
        try:
            began, making = self._making_one(release)
            patience = max(0.0, began + _PATIENCE - time.monotonic())
            making.result(remaining(threading.TIMEOUT_MAX if held is None else patience))
        except FutureTimeoutError:
            pass
        except StoreError as error:
            if held is None:
                raise
            _log.warning("the words of the catalogue stay as they were: %s", error)
        if self._held is None:
            raise StoreTimeoutError("the words of the catalogue are still being read", "search again in some seconds")
        return self._held

    def _making_one(self, release: str) -> tuple[float, Future[None]]:
        """When the work on a newer index began, and the work, in a thread that the time of no request ends."""
        with self._lock:
            if self._making is None or self._making[0] != os.getpid() or self._making[2].done():
                executor = ThreadPoolExecutor(1, "vecrec-words")
                self._making = os.getpid(), time.monotonic(), executor.submit(self._make, release)
                executor.shutdown(wait=False)
            return self._making[1:]

    def _make(self, release: str) -> None:
        began, held = time.monotonic(), self._held
        # An edit is kept after its record, so that the records that are read next have those that are found here.
        edits = {key: edit.at for key, edit in edits_of(dict(self._metadata().scan(ITEM_EDIT))).items()}
        if held is None or held.release != release:
            held = self._read(release)
        else:
            with self._lock:
                self._edited |= {key for key, at in edits.items() if held.edits.get(key) != at}
        held.edits = edits
        held.due = time.monotonic() + max(_SECONDS, _REST * (time.monotonic() - began))

    def _read(self, release: str) -> _Index:
        with self._lock:
            self._meanwhile = set()
        made = _Index(release)
        for rows in batched(self._metadata().scan(self._kind, _BATCH), _BATCH):
            made.put(dict(rows))
        with self._lock:
            self._held = made
            self._edited |= self._meanwhile
        return made

    def _take_edits(self, index: _Index) -> None:
        while self._edited:
            ids = list(islice(self._edited, _BATCH))
            index.put(dict.fromkeys(ids) | self._metadata().get(self._kind, ids))
            self._edited.difference_update(ids)
            self._meanwhile.update(ids)


class _Index:
    """The words of items, in tables of SQLite in memory. One thread at a time may use it."""

    def __init__(self, release: str) -> None:
        self.release = release
        self.due = 0.0
        """When edits are to be read again."""
        self.edits: dict[Id, float] = {}
        """The edits that were read, by their times."""
        self._ids: list[Id | None] = []  # by row
        self._rows: dict[Id, int] = {}
        self._tables = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        try:
            self._tables.execute(_TABLE)
        except sqlite3.OperationalError as error:
            raise MissingDependencyError(
                "the SQLite of this Python has no full-text search", "use a Python whose SQLite has FTS5"
            ) from error
        self._tables.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab(items, 'row')")

    def put(self, records: Mapping[Id, Record | None]) -> None:
        """Take over items as they are now; ``None`` for one that is gone."""
        old = [(row,) for row in map(self._rows.get, records) if row is not None]
        self._tables.executemany("DELETE FROM items WHERE rowid = ?", old)
        new = []
        for key, record in records.items():
            row = self._rows.pop(key, None)
            if row is not None:
                self._ids[row] = None
            if record is not None:
                self._rows[key] = len(self._ids)
                new.append((len(self._ids), words_of(record)))
                self._ids.append(key)
        self._tables.executemany("INSERT INTO items (rowid, words) VALUES (?, ?)", new)

    def all_of(self, words: Sequence[str]) -> list[Id]:
        """See `WordIndex.all_of`."""
        found = self._tables.execute(_ROWS, [" AND ".join(map(self._term, words))])
        return [key for key in (self._ids[row] for (row,) in found) if key is not None]

    def find(self, words: Sequence[str], most: int, among: Iterable[Id] | None) -> list[Match]:
        """See `WordIndex.find`."""
        terms = [self._term(word) for word in words]
        rows = None if among is None else [row for row in map(self._rows.get, among) if row is not None]
        whole = self._matches(" AND ".join(terms), most, rows)
        found = [Match(key, relevance, True) for key, relevance in whole.items()]
        if len(terms) > 1 and len(found) < most:
            some = self._matches(" OR ".join(terms), most, rows)
            found += [Match(key, relevance, False) for key, relevance in some.items() if key not in whole]
        return found[:most]

    def _matches(self, expression: str, most: int, rows: list[int] | None) -> dict[Id, float]:
        asked, values = (_ALL, [expression, most]) if rows is None else (_AMONG, [expression, json.dumps(rows), most])
        found = ((self._ids[row], relevance) for row, relevance in self._tables.execute(asked, values))
        return {key: relevance for key, relevance in found if key is not None}

    def _term(self, word: str) -> str:
        """A word as SQLite takes it: quoted, so that nothing in it is a command, and as the beginning of words."""
        quoted = '"' + word.replace('"', '""') + '"*'
        if self._tables.execute(_ANY, [quoted]).fetchone():
            return quoted
        near = _nearest_word(_plain(word), self._known(len(word)))
        return '"' + near.replace('"', '""') + '"'

    def _known(self, letters: int) -> Iterator[str]:
        asked = "SELECT term FROM vocabulary WHERE length(term) BETWEEN ? AND ? ORDER BY doc DESC LIMIT ?"
        return (term for (term,) in self._tables.execute(asked, (letters - 2, letters + 2, _VOCABULARY)))


def words_of(record: Record) -> str:
    """What is written in a record: its texts and whole numbers, also those in lists and objects, addresses left out."""
    texts = " ".join(chain.from_iterable(map(_texts, record.values())))
    return texts[:_LONGEST].encode("utf-8", "replace").decode()


def _texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str) and not value.startswith(_ADDRESSES):
        yield value.replace("\0", " ")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, (list, dict)):
        yield from chain.from_iterable(map(_texts, value if isinstance(value, list) else value.values()))
