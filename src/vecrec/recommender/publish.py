"""Building a release beside the live one: index, check, switch; or leave no trace."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import islice

import numpy as np

from vecrec._internal.dependencies import installed_versions
from vecrec._internal.validation import integer
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError, ReleaseError, VecrecError
from vecrec.ids import Id
from vecrec.progress import Progress, Step
from vecrec.recommender.catalogue import JOURNAL, PENDING, Catalogue
from vecrec.recommender.checks import check_flag
from vecrec.recommender.generation import Generation, Golden, Live, fitting
from vecrec.recommender.probe import TOP, Probe
from vecrec.recommender.release_sample import Evidence, hits
from vecrec.records import Record
from vecrec.releases import Archive, Release
from vecrec.rerankers.base import Reranker
from vecrec.types import Item
from vecrec.vector_stores.base import CollectionSpec

__all__ = ["Builder", "ReleaseChecks"]

_log = logging.getLogger("vecrec")


@dataclass(frozen=True, slots=True)
class ReleaseChecks:
    """What a release must show before it goes live."""

    index_recall: float = 0.9
    """The least share of the exact top 10 that the index must find for the sampled users."""
    beat_popularity: bool = True
    """Refuse a release that finds the sampled users' next items clearly less often than popularity does (by more than
    two standard errors), since then the vectors are worthless or mixed up."""
    sampled_users: int = 256
    """How many users to check with."""

    def __post_init__(self) -> None:
        if isinstance(self.index_recall, bool) or not isinstance(self.index_recall, (int, float)):
            raise InvalidDataError(f"index_recall is {self.index_recall!r}", "give a share from 0 to 1")
        if not 0 <= self.index_recall <= 1:
            raise InvalidDataError(f"index_recall is {self.index_recall!r}", "give a share from 0 to 1")
        check_flag(self.beat_popularity, "beat_popularity")
        integer(self.sampled_users, "sampled_users", low=1)


class Builder:
    """Builds releases of one recommender."""

    def __init__(self, archive: Archive, catalogue: Catalogue, checks: ReleaseChecks) -> None:
        self._archive, self._catalogue, self._checks = archive, catalogue, checks
        self._vectors = catalogue.vectors

    def build(self, encoder: Encoder, reranker: Reranker | None, evidence: Evidence, progress: Progress) -> Live:
        """Build a release, check it and make it the live one. The caller holds the build lock.

        Raises:
            ReleaseError: when the release does not pass its checks; the live one is untouched.
        """
        if reranker is not None and reranker.encoder_fingerprint not in (None, encoder.fingerprint):
            raise ReleaseError(
                f"the {type(reranker).__name__} has learnt from the vectors of another encoder", "fit it with this one"
            )
        with self._archive.catalogue_lock():
            self._sweep()
        release_id = self._archive.new_id()
        generation = self._begin(release_id, encoder)
        try:
            second = self._second(release_id, reranker)
            live = self._build(release_id, generation, second, evidence, progress)
        except BaseException:
            self._abandon(release_id)
            raise
        with self._archive.catalogue_lock():
            self._sweep()
        progress(Step("check", 1, 1, f"release {release_id} is live"))
        return live

    def _begin(self, release_id: str, encoder: Encoder) -> Generation:
        directory = self._archive.directory(release_id)
        encoder.save(directory / "encoder")
        # What serves is what was saved, and not the object that the next fit will change.
        loaded = type(encoder).load(directory / "encoder")
        return Generation(self._archive.collection(release_id), loaded)

    def _second(self, release_id: str, reranker: Reranker | None) -> Reranker | None:
        if reranker is None:
            return None
        directory = self._archive.directory(release_id) / "reranker"
        reranker.save(directory)
        return type(reranker).load(directory)

    def _build(
        self,
        release_id: str,
        generation: Generation,
        reranker: Reranker | None,
        evidence: Evidence,
        progress: Progress,
    ) -> Live:
        with self._archive.catalogue_lock():
            self._catalogue.unmark(self._catalogue.marked(JOURNAL), JOURNAL)
            self._archive.set_building(release_id)
        spec = CollectionSpec(generation.encoder.dim, "ip", generation.fields())
        self._vectors.create(generation.collection, spec)
        schema = generation.schema
        users = [fitting(user, schema.users, schema.check_user) for user in evidence.users]
        evidence, probe = replace(evidence, users=users), Probe(generation.encoder.encode_users(users))
        with self._vectors.bulk(generation.collection):
            golden_records = self._index(generation, probe, progress)
        progress(Step("check", 0, None))
        checks = self._check(generation, evidence, probe)
        directory = self._archive.directory(release_id)
        self._golden(generation, evidence, golden_records).save(directory)
        evidence.popularity.save(directory / "popularity.json")
        with self._archive.catalogue_lock():
            pending = self._catch_up(generation)
            manifest = self._manifest(release_id, generation, evidence, checks)
            if reranker is not None:
                manifest = replace(manifest, reranker=reranker.name, reranker_fingerprint=reranker.fingerprint)
            release = self._archive.seal(manifest)
            self._archive.switch(release_id)
            # Not before: until the switch, these marks are what finds the old generation's unfinished changes.
            self._catalogue.unmark(pending)
        return Live(generation.collection, generation.encoder, release, evidence.popularity, reranker)

    def _index(self, generation: Generation, probe: Probe, progress: Progress) -> dict[Id, Record]:
        """Put every item into the collection; gives some of them, to be golden."""
        total, done = self._catalogue.count(), 0
        golden: dict[Id, Record] = {}
        for records in self._catalogue.records():
            rows = generation.encode(records)
            generation.write(self._vectors, rows)
            probe.see(rows.vectors)
            golden = golden or dict(islice(records.items(), 32))
            done += len(records)
            progress(Step("index", done, max(total, done)))
        self._vectors.flush(generation.collection)
        return golden

    def _check(self, generation: Generation, evidence: Evidence, probe: Probe) -> dict[str, float | int | None]:
        held, indexed = self._catalogue.count(), self._vectors.count(generation.collection)
        if indexed < probe.count:
            raise ReleaseError(
                f"the collection {generation.collection!r} holds {indexed} of {probe.count} items",
                "check the vector store",
            )
        checks: dict[str, float | int | None] = {
            "records": held,
            "vectors": indexed,
            "index_recall": None,
            "hits": None,
            "popularity_hits": None,
        }
        if not evidence.users or not indexed:
            return checks
        recall = probe.recall(self._vectors, generation.collection)
        checks["index_recall"] = round(recall, 4)
        if recall < self._checks.index_recall:
            raise ReleaseError(
                f"the index finds {recall:.3f} of the exact top {TOP}, less than {self._checks.index_recall}",
                "raise the index's search effort, or lower ReleaseChecks.index_recall",
            )
        return {**checks, **self._against_popularity(generation, evidence, probe)}

    def _against_popularity(self, generation: Generation, evidence: Evidence, probe: Probe) -> Mapping[str, int]:
        longest = max(len(user.history) for user in evidence.users)
        found = self._vectors.search(generation.collection, probe.queries, 2 * TOP + longest)
        ranked = [[hit.id for hit in row] for row in found]
        ours = hits(ranked, evidence.users, evidence.nexts, 2 * TOP)
        popular = [evidence.popularity.ids[: 2 * TOP + longest]] * len(evidence.users)
        theirs = hits(popular, evidence.users, evidence.nexts, 2 * TOP)
        if self._checks.beat_popularity and ours + 2 * math.sqrt(theirs) < theirs:
            raise ReleaseError(
                f"the encoder finds the next item of {ours} of {len(evidence.users)} sampled users among its first "
                f"{2 * TOP}, popularity of {theirs}",
                "train longer or on more data, or set ReleaseChecks(beat_popularity=False)",
            )
        return {"hits": ours, "popularity_hits": theirs}

    def _golden(self, generation: Generation, evidence: Evidence, records: Mapping[Id, Record]) -> Golden:
        users, schema = evidence.users[:32], generation.schema
        items = [fitting(Item(key, record), schema.items, schema.check_item) for key, record in records.items()]
        encoder = generation.encoder
        golden = Golden(users, items, encoder.encode_users(users), encoder.encode_items(items))
        held = self._vectors.fetch(generation.collection, list(records))
        for item, vector in zip(items, golden.item_vectors):
            entry = held.get(item.id) if item.id is not None else None
            if (
                entry is not None
                and entry.vector is not None
                and not np.allclose(entry.vector, vector, rtol=1e-3, atol=1e-3)
            ):
                raise ReleaseError(f"the vector store holds another vector of item {item.id!r} than was written")
        return golden

    def _catch_up(self, generation: Generation) -> list[Id]:
        """Bring what was changed during the build into the new generation; gives the marks that this has settled."""
        pending, changed = self._catalogue.marked(PENDING), self._catalogue.marked(JOURNAL)
        self._archive.set_building(None)  # nobody changes anything while the lock is held, so the journal ends here
        self._catalogue.mend(generation, list(dict.fromkeys(changed + pending)))
        self._catalogue.unmark(changed, JOURNAL)
        return pending

    def _manifest(
        self, release_id: str, generation: Generation, evidence: Evidence, checks: Mapping[str, float | int | None]
    ) -> Release:
        encoder = generation.encoder
        return Release(
            id=release_id,
            name=self._archive.name,
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            collection=generation.collection,
            encoder=encoder.name,
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            metric=encoder.metric,
            schema=encoder.schema.to_json(),
            data_digest=evidence.data_digest,
            counts={"items": self._catalogue.count(), "users": evidence.n_users, "events": evidence.n_events},
            checks=dict(checks),
            versions=installed_versions(),
        )

    def _abandon(self, release_id: str) -> None:
        """Take back a build that failed. Errors here must not hide the one that is on its way."""
        try:
            with self._archive.catalogue_lock():
                if self._archive.live()[0] != release_id:
                    self._sweep()
        except (OSError, VecrecError) as error:
            _log.warning("could not take back all of the build %s (the next one will): %s", release_id, error)

    def _sweep(self) -> None:
        """Remove the releases that have had their day, and what builds have left that did not end."""
        self._archive.set_building(None)
        self._catalogue.unmark(self._catalogue.marked(JOURNAL), JOURNAL)
        for release_id in self._archive.strays():
            self._vectors.drop(self._archive.collection(release_id))
            self._archive.remove(release_id)
