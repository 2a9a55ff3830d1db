"""Bringing a data set's items, users and events into the metadata store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import Progress, Step
from vecrec.recommender.catalogue import BATCH, EVENT_BATCH, USER, Catalogue, batches
from vecrec.records import Record
from vecrec.releases import Archive
from vecrec.types import Event

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["load_dataset"]


def load_dataset(
    data: Dataset, metadata: MetadataStore, catalogue: Catalogue, archive: Archive, *, live: bool, progress: Progress
) -> None:
    """Write what a data set knows. Records that are equal already stay as they are; those that are not there too.

    Args:
        data: Where it comes from.
        metadata: Where it goes.
        catalogue: Writes the items.
        archive: Its lock is held for each batch of items, so that other changes wait for a moment only.
        live: Whether a release serves meanwhile, so that changed items are marked until their vectors have followed.
        progress: Receives each step.
    """
    done = 0
    for items in batches(data.items(), BATCH):
        records: dict[Id, Record] = {item.id: dict(item.features) for item in items if item.id is not None}
        with archive.catalogue_lock():
            catalogue.put_records(records, marked=live)
        done += len(records)
        progress(Step("items", done, data.n_items))
    done = 0
    for users in batches(data.users(), BATCH):
        metadata.put(USER, {user.id: dict(user.features) for user in users if user.id is not None and user.features})
        done += len(users)
        progress(Step("users", done, data.n_users))
    done = 0
    for events in batches(_stored(data), EVENT_BATCH):
        metadata.append_events(events)
        done += len(events)
        progress(Step("events", done, data.n_events))


def _stored(data: Dataset) -> Iterator[Event]:
    user, place = None, 0
    for event in data.events():
        # Where the data set knows no times, the place in the user's history stands in for them: a data set that has
        # more events of others gives the same event the same time.
        place = place + 1 if event.user_id == user else 0
        user = event.user_id
        yield event if event.time is not None else replace(event, time=float(place))
