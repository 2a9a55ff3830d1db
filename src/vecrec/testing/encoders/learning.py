"""The promises about learning: repeatable, told by the fingerprint, and asked for before anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.data import Dataset
from vecrec.encoders.base import Encoder
from vecrec.errors import NotFittedError
from vecrec.feedback import FeedbackPolicy
from vecrec.progress import Step
from vecrec.testing.base import refused
from vecrec.testing.encoders.base import EncoderKit, answers, learn
from vecrec.testing.encoders.tastes import SCHEMA, items_to_ask, tastes, users_to_ask
from vecrec.testing.processes import elsewhere
from vecrec.types import Event, Item, User

__all__ = ["LearningTests"]

_BOUGHT = "item 4"


class LearningTests(EncoderKit):
    """Tests of ``fit`` and ``fingerprint``."""

    def test_an_encoder_that_has_learnt_nothing_says_so(self, tmp_path: Path) -> None:
        """Before ``fit`` every use raises `NotFittedError`, and nothing is saved."""
        encoder = self.make()
        refused(
            {
                "encode_items": lambda: encoder.encode_items(items_to_ask()),
                "encode_users": lambda: encoder.encode_users(users_to_ask()),
                "encode_items of none": lambda: encoder.encode_items([]),
                "fingerprint": lambda: encoder.fingerprint,
                "schema": lambda: encoder.schema,
                "save": lambda: encoder.save(tmp_path / "new"),
            },
            NotFittedError,
        )
        assert not (tmp_path / "new").exists()
        assert not encoder.is_fitted

    def test_fit_gives_the_encoder_itself(self, fitted: Encoder) -> None:
        """``fit`` returns the encoder, which is fitted then and knows the schema of its data."""
        encoder = self.make()
        assert encoder.fit(tastes()) is encoder
        assert encoder.is_fitted
        assert encoder.schema == SCHEMA
        assert fitted.schema == SCHEMA

    def test_learning_from_nothing_is_refused(self) -> None:
        """A data set without an event, or anything else, is refused, and the encoder stays as it was."""
        data, encoder = tastes(), self.make()
        empty = data.select_events(np.zeros(data.n_events, bool))
        other: Any = [1, 2]
        refused({"no events": lambda: encoder.fit(empty), "a list": lambda: encoder.fit(other)})
        assert not encoder.is_fitted

    def test_equal_data_and_seed_give_equal_vectors(self, fitted: Encoder) -> None:
        """Two encoders that learn the same are the same to the last bit, and so are their fingerprints."""
        _assert_equal(answers(self.make().fit(tastes())), answers(fitted))

    def test_another_process_gives_equal_vectors(self, fitted: Encoder) -> None:
        """Learning in a process with another PYTHONHASHSEED gives the same vectors and the same fingerprint."""
        _assert_equal(elsewhere(12345, learn, self.make()), answers(fitted))

    def test_fit_forgets_what_was_learnt_before(self, fitted: Encoder) -> None:
        """Fitted again with other data, an encoder is what it would be had it never seen the first."""
        encoder = self.make().fit(tastes(1))
        encoder.fit(tastes())
        _assert_equal(answers(encoder), answers(fitted))

    def test_a_refresh_leaves_the_encoder_as_it_was(self, fitted: Encoder, tmp_path: Path) -> None:
        """``refreshed`` returns an encoder of the same schema and dimension that knows the same items and is saved."""
        before, data = answers(fitted), tastes(1)
        fresh = fitted.refreshed(data)
        _assert_equal(answers(fitted), before)
        assert (type(fresh), fresh.schema, fresh.dim) == (type(fitted), fitted.schema, fitted.dim)
        assert [fresh.knows(key) for key in data.item_ids] == [fitted.knows(key) for key in data.item_ids]
        fresh.save(tmp_path)
        _assert_equal(answers(type(fresh).load(tmp_path)), answers(fresh))

    def test_the_fingerprint_is_32_hexadecimal_digits(self, fitted: Encoder) -> None:
        """It is a text that names a state, and asking or encoding does not change it."""
        first = fitted.fingerprint
        fitted.encode_users(users_to_ask())
        assert type(first) is str
        assert len(first) == 32
        assert set(first) <= set("0123456789abcdef")
        assert fitted.fingerprint == first

    def test_the_fingerprint_changes_with_the_vectors(self, fitted: Encoder) -> None:
        """Other events, other features: where the vectors differ the fingerprints do, and where not they do not."""
        before = answers(fitted)
        changed = 0
        for data in (tastes(1), _without_last_event(), _with_other_titles(), tastes(name="another name")):
            after = answers(self.make().fit(data))
            equal = np.array_equal(before[1], after[1])
            changed += not equal
            assert (before[0] == after[0]) == equal, f"{data!r}: equal vectors: {equal}"
        assert changed > 0, "none of the other data sets gives other vectors"

    def test_the_name_of_the_data_does_not_matter(self, fitted: Encoder) -> None:
        """What a data set is called changes neither vectors nor fingerprint."""
        _assert_equal(answers(self.make().fit(tastes(name="another name"))), answers(fitted))

    def test_nothing_is_learnt_from_an_unknown_order(self, tmp_path: Path) -> None:
        """Without times the order of the rows changes nothing, and a history in any order gives the same vector.

        So it does after ``load``, and for events with times: an encoder fitted without an order reads sets.
        """
        encoder = self.make().fit(_without_order(1))
        _assert_equal(answers(self.make().fit(_without_order(2))), answers(encoder))
        encoder.save(tmp_path)
        rng, items = np.random.default_rng(0), [str(item.id) for item in tastes().items()]
        for fitted in (encoder, type(encoder).load(tmp_path)):
            for length in (2, 5, len(items)):
                history = [
                    Event(None, key, float(at)) for at, key in enumerate(rng.permutation(items)[:length].tolist())
                ]
                turned = [Event(None, event.item_id, -float(at)) for at, event in enumerate(history)][::-1]
                one, other = fitted.encode_users([User(None, {}, history), User(None, {}, turned)])
                np.testing.assert_allclose(one, other, atol=1e-6, rtol=1e-6)

    def test_it_reports_what_it_learns_from(self) -> None:
        """The first step of ``fit`` says how many events take part, in which order, and whether weights are read."""
        for data, order in ((tastes(), "time"), (_without_order(1), "unknown"), (_weighed(1, 16), "time")):
            encoder, steps = self.make(), list[Step]()
            encoder.fit(data, progress=steps.append)
            report = encoder.learning_report
            assert report is not None
            assert (report.n_events, report.n_given, report.order) == (data.n_events, data.n_events, order)
            weights = "equal" if data.weights is None else "read" if encoder.reads_weights else "not read"
            assert report.weights == weights
            assert steps[0] == Step("fit", data.n_events, data.n_events, report.assumptions)

    def test_another_seed_gives_another_encoder(self, fitted: Encoder) -> None:
        """The seed decides what chance decides, and the fingerprint tells."""
        if not self.seeded:
            pytest.skip("there is no chance in this encoder")
        other = answers(self.make(seed=1).fit(tastes()))
        assert other[0] != fitted.fingerprint
        assert not np.allclose(other[1], answers(fitted)[1], atol=1e-4)

    def test_an_item_whose_events_weigh_more_rises(self) -> None:
        """Events weigh what the feedback policy says; weights that are all multiplied by one number change nothing."""
        if not self.make().reads_weights:
            pytest.skip("this encoder does not promise to read weights")
        light, heavy, scaled = (self.make().fit(_weighed(*weights)) for weights in ((1, 1), (1, 16), (4, 64)))
        assert _standing(heavy) > _standing(light) + 0.05
        np.testing.assert_allclose(answers(scaled)[1], answers(heavy)[1], atol=1e-4, rtol=1e-4)


def _without_order(seed: int) -> Dataset:
    """The tastes without times, their rows in an order of the seed."""
    data = tastes()
    rows = np.random.default_rng(seed).permutation(data.n_events).tolist()
    events = list(data.events())
    plain = [Event(events[row].user_id, events[row].item_id, rating=events[row].rating) for row in rows]
    return Dataset(plain, list(data.items()), list(data.users()), SCHEMA)


def _weighed(view: float, purchase: float) -> Dataset:
    """The tastes as views, but for one item, whose events are purchases."""
    data = tastes()
    events = [
        Event(
            event.user_id, event.item_id, event.time, event.rating, "purchase" if event.item_id == _BOUGHT else "view"
        )
        for event in data.events()
    ]
    policy = FeedbackPolicy(weights={"view": view, "purchase": purchase})
    return Dataset(events, list(data.items()), list(data.users()), SCHEMA, feedback=policy)


def _standing(encoder: Encoder) -> float:
    """How many standard deviations above the mean of all items the bought one is, on average over the users."""
    items = list(tastes().items())
    scores = encoder.encode_users(users_to_ask()) @ encoder.encode_items(items).T
    place = [item.id for item in items].index(_BOUGHT)
    return float(((scores[:, place] - scores.mean(axis=1)) / scores.std(axis=1)).mean())


def _without_last_event() -> Dataset:
    data = tastes()
    return data.select_events(np.arange(data.n_events) < data.n_events - 1)


def _with_other_titles() -> Dataset:
    data = tastes()
    items = [Item(item.id, dict(item.features) | {"title": "Untitled"}) for item in data.items()]
    return Dataset(list(data.events()), items, list(data.users()), SCHEMA)


def _assert_equal(found: tuple[str, NDArray[np.float32]], wanted: tuple[str, NDArray[np.float32]]) -> None:
    np.testing.assert_array_equal(found[1], wanted[1])
    assert found[0] == wanted[0]
