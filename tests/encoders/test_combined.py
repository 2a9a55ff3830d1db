"""Several encoders in one vector: the sum of their scores, with weights that are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.walks import walks
from vecrec import Event, Item, User
from vecrec.data import Dataset, splits
from vecrec.encoders import (
    CombinedEncoder,
    ContentEncoder,
    EASEEncoder,
    Encoder,
    LinearSequenceEncoder,
    PopularityEncoder,
    ensemble,
)
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.evaluation import evaluate
from vecrec.progress import Step
from vecrec.registry import find_part
from vecrec.testing import EncoderTests


class TestCombinedEncoder(EncoderTests):
    @classmethod
    def make(cls, seed: int = 0) -> CombinedEncoder:
        return CombinedEncoder([ContentEncoder(dim=8, seed=seed), LinearSequenceEncoder(dim=8)], dim=16)


class TestReducedEncoder(EncoderTests):
    @classmethod
    def make(cls, seed: int = 0) -> CombinedEncoder:
        members = [ContentEncoder(dim=8, seed=seed), LinearSequenceEncoder(dim=8), PopularityEncoder()]
        return CombinedEncoder(members, dim=10)


def test_a_refresh_is_that_of_the_members() -> None:
    """The others, the weights and the maps into fewer dimensions stay."""
    data = walks(200)
    made = CombinedEncoder([ContentEncoder(dim=8), LinearSequenceEncoder(dim=8)], dim=12).fit(data)
    later = walks(200, seed=1)
    fresh = made.refreshed(later)
    content, linear = made.members
    assert fresh.members[0] is content
    assert fresh.members[1].fingerprint == linear.refreshed(later).fingerprint != linear.fingerprint
    assert (fresh.weights, fresh.dim) == (made.weights, 12)
    users = [User(history=[Event(None, 3)])]
    assert np.array_equal(fresh.encode_users(users), made.encode_users(users))
    still = CombinedEncoder([ContentEncoder(dim=8), PopularityEncoder()]).fit(data)
    assert still.refreshed(later) is still


class Cosine(ContentEncoder):
    """Compares by cosine, with vectors that are not of length 1."""

    @property
    def metric(self) -> str:
        return "cosine"

    def encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        return np.asarray(3 * super().encode_items(items), np.float32)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return walks(150)


def scores(encoder: Encoder, data: Dataset) -> NDArray[np.float32]:
    users, items = encoder.encode_users(list(data.users(history=True))), encoder.encode_items(list(data.items()))
    return np.asarray(users @ items.T)


def test_the_score_is_the_weighted_sum_of_the_members_scores(data: Dataset) -> None:
    one, other = ContentEncoder(dim=12).fit(data), LinearSequenceEncoder(dim=20).fit(data)
    combined = CombinedEncoder.of([one, other], weights=[2, 0.5])
    assert combined.dim == 32
    assert combined.weights == (2.0, 0.5)
    np.testing.assert_allclose(scores(combined, data), 2 * scores(one, data) + 0.5 * scores(other, data), atol=1e-5)


def test_a_member_that_compares_by_cosine_counts_by_cosine(data: Dataset) -> None:
    plain, cosine = ContentEncoder(dim=12).fit(data), Cosine(dim=12).fit(data)
    popularity = PopularityEncoder().fit(data)
    expected = CombinedEncoder.of([plain, popularity], weights=[1, 1])
    found = CombinedEncoder.of([cosine, popularity], weights=[1, 1])
    np.testing.assert_allclose(scores(found, data), scores(expected, data), atol=1e-5)


def test_learnt_weights_are_no_worse_than_either_member(data: Dataset) -> None:
    """One member knows the order and the other the features; on what they were not chosen by, the sum holds its own."""
    split = splits.leave_last_out(data)
    members = [ContentEncoder(dim=32).fit(split.train), LinearSequenceEncoder(dim=32).fit(split.train)]
    combined = CombinedEncoder.of(members, split)
    on_validation = [
        evaluate(each, split, k=10, part="validation", baselines=())["recall@10"] for each in (combined, *members)
    ]
    assert on_validation[0] >= max(on_validation[1:])
    on_test = [evaluate(each, split, k=10, baselines=())["recall@10"] for each in (combined, *members)]
    assert on_test[0] > 0.95 * max(on_test[1:]) > 0.3


def test_weights_are_learnt_from_the_training_data_alone(data: Dataset) -> None:
    train = splits.leave_last_out(data).train
    combined = CombinedEncoder([ContentEncoder(dim=8), PopularityEncoder(), LinearSequenceEncoder(dim=8)]).fit(train)
    assert len(combined.weights) == 3
    assert all(weight > 0 for weight in combined.weights)
    # Fitted again on everything: the members know the last events too.
    assert combined.members[2].fingerprint == LinearSequenceEncoder(dim=8).fit(train).fingerprint


def test_without_refit_the_members_are_fitted_once_and_never_see_the_last_events(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[int] = []
    monkeypatch.setattr(LinearSequenceEncoder, "_fit", _counting(LinearSequenceEncoder._fit, fits))
    combined = CombinedEncoder([PopularityEncoder(), LinearSequenceEncoder(dim=8)], refit=False).fit(data)
    assert len(fits) == 1
    split = splits.leave_last_out(data)
    assert combined.members[1].fingerprint == LinearSequenceEncoder(dim=8).fit(split.before_test).fingerprint
    again = CombinedEncoder([PopularityEncoder(), LinearSequenceEncoder(dim=8)]).fit(data)
    assert combined.weights == again.weights
    with pytest.raises(InvalidDataError, match="refit is 1: give True or False"):
        CombinedEncoder([PopularityEncoder(), ContentEncoder(dim=4)], refit=1)  # type: ignore[arg-type]


def test_weights_for_what_is_liked_later_are_learnt_on_the_last_fifth_of_the_time(data: Dataset) -> None:
    """Where the walk goes on counts less then, and the colour of the ring more."""

    def made(objective: Any, refit: bool = True) -> CombinedEncoder:
        members = [LinearSequenceEncoder(dim=16), ContentEncoder(dim=8)]
        return CombinedEncoder(members, objective=objective, refit=refit)

    following, lasting = made("next").fit(data).weights, made("later").fit(data).weights
    assert lasting[1] / lasting[0] > following[1] / following[0]
    alone = LinearSequenceEncoder(16).fit(splits.temporal(data, 0.8).train)
    assert made("later", refit=False).fit(data).members[0].fingerprint == alone.fingerprint
    timeless = Dataset([Event(each.user_id, each.item_id) for each in data.events()])
    with pytest.raises(InvalidDataError, match="times"):
        made("later").fit(timeless)
    with pytest.raises(InvalidDataError, match="objective is 'soon'"):
        made("soon")
    with pytest.raises(InvalidDataError, match="objective is 'soon'"):
        ensemble(objective="soon")  # type: ignore[arg-type]
    assert ensemble(dim=8, objective="later").fit(walks(30)).dim == 8


@pytest.mark.parametrize("refit", [True, False])
def test_members_are_fitted_where_there_is_nothing_to_learn_weights_from(refit: bool) -> None:
    lonely = Dataset({"user_id": [1, 2, 3], "item_id": ["a", "b", "a"]})
    combined = CombinedEncoder([PopularityEncoder(), LinearSequenceEncoder(dim=2)], refit=refit).fit(lonely)
    assert combined.weights == (1.0, 1.0)
    assert scores(combined, lonely).shape == (3, 2)


def test_given_weights_need_no_second_fit(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    monkeypatch.setattr(PopularityEncoder, "_fit", _counting(PopularityEncoder._fit, fits))
    CombinedEncoder([PopularityEncoder(), ContentEncoder(dim=4)], weights=(1, 2)).fit(data)
    assert len(fits) == 1


def test_learnt_weights_are_better_than_equal_ones_and_than_any_member_alone(data: Dataset) -> None:
    """On what they were learnt on, by the measure that they were learnt by; the worst member comes first."""
    split = splits.leave_last_out(data)
    members = [PopularityEncoder(), ContentEncoder(dim=16), LinearSequenceEncoder(dim=16), EASEEncoder(dim=16)]
    for member in members:
        member.fit(split.train)

    def reached(encoder: Encoder) -> float:
        return evaluate(encoder, split, k=10, part="validation", baselines=())["recall@10"]

    learnt = CombinedEncoder.of(members, split)
    equal = CombinedEncoder.of(members, weights=[1.0] * 4)
    assert reached(learnt) > reached(equal)
    assert reached(learnt) > max(map(reached, members))


def test_fewer_dimensions_keep_the_order_of_the_scores(data: Dataset) -> None:
    """Two models of 24 dimensions in 24: what is recommended is what both together would recommend."""
    split = splits.leave_last_out(data)
    members = [LinearSequenceEncoder(dim=24).fit(split.train), ContentEncoder(dim=24).fit(split.train)]
    whole = CombinedEncoder.of(members, split)
    steps: list[Step] = []
    reduced = CombinedEncoder.of(members, split, dim=24, progress=steps.append)
    assert {step.stage for step in steps if step.done == step.total} == {"weights", "fewer dimensions"}
    assert reduced.encode_users([User(1)]).shape == (1, 24)
    heads = [np.argsort(-scores(each, split.train), axis=1)[:, :10].tolist() for each in (reduced, whole)]
    assert np.mean([len({*one} & {*other}) for one, other in zip(*heads)]) > 7
    figures = [evaluate(each, split, k=10, baselines=())["recall@10"] for each in (reduced, whole)]
    assert figures[0] > 0.9 * figures[1] > 0.3


def test_as_many_dimensions_as_the_scores_have_change_nothing(data: Dataset) -> None:
    """Popularity needs one dimension of the two that it has."""
    split = splits.leave_last_out(data)
    members = [LinearSequenceEncoder(dim=12).fit(split.train), PopularityEncoder().fit(split.train)]
    whole = CombinedEncoder.of(members, split, weights=(1, 2))
    reduced = CombinedEncoder.of(members, split, weights=(1, 2), dim=13)
    assert (whole.dim, reduced.dim) == (14, 13)
    np.testing.assert_allclose(scores(reduced, split.train), scores(whole, split.train), atol=2e-3)


def test_damaged_maps_are_refused(data: Dataset, tmp_path: Path) -> None:
    CombinedEncoder([PopularityEncoder(), ContentEncoder(dim=4)], dim=3, weights=(1, 1)).fit(data).save(tmp_path)
    for maps in ({"users": np.ones((6, 4), np.float32)}, {"users": np.full((6, 3), np.nan, np.float32)}):
        np.savez(tmp_path / "arrays.npz", allow_pickle=False, **maps, items=np.ones((6, 3), np.float32))
        with pytest.raises(InvalidDataError, match="save the encoder again"):
            CombinedEncoder.load(tmp_path)


def test_the_ensemble_has_one_vector_of_the_usual_length() -> None:
    """Its members differ, each has that length too, and the command line finds it by name."""
    made = ensemble(dim=8, seed=3).fit(walks(20))
    assert made.dim == 8
    assert {member.dim for member in made.members} == {8}
    assert len({member.fingerprint for member in made.members}) == len(made.members) > 1
    assert find_part("vecrec.encoders", "ensemble") is ensemble
    with pytest.raises(InvalidDataError, match="dim is 1"):
        ensemble(dim=1)


def test_the_members_of_the_ensemble_follow_from_the_data() -> None:
    """A second seed where items have few events, recurrent layers where they have many; features only if there are."""
    kinds = []
    for each in (walks(20), walks(900), _without_features(walks(20))):
        members: Any = ensemble(dim=8)._composed
        kinds.append([(member.name, getattr(member, "seed", 0)) for member in members(each)])
        towers = members(each)[1]
        assert bool(towers.settings.layers) == (each.popularity().mean() >= 50)
    tail = [("linear_sequence", 0), ("ease", 0), ("content", 0)]
    assert kinds[0] == [("two_tower", 0), ("two_tower", 1), *tail]
    assert kinds[1] == [("two_tower", 0), ("two_tower", 0), *tail]
    assert kinds[2] == kinds[0][:-1]


def _without_features(data: Dataset) -> Dataset:
    return Dataset({"user_id": data.user_codes.tolist(), "item_id": data.item_codes.tolist()}, order="rows")


def test_a_member_that_adds_nothing_is_left_out_of_fewer_dimensions(data: Dataset, tmp_path: Path) -> None:
    """And comes back for other data; a longer vector has all of them."""
    nothing_to_read = _without_features(data)
    members = [ContentEncoder(dim=16), LinearSequenceEncoder(dim=16), EASEEncoder(dim=16)]
    made = CombinedEncoder(members, dim=16).fit(nothing_to_read)
    kept = [member.name for member in made.members]
    assert kept == ["linear_sequence", "ease"]
    assert len(made.weights) == 2
    made.save(tmp_path)
    loaded = CombinedEncoder.load(tmp_path)
    assert loaded.fingerprint == made.fingerprint
    assert [member.name for member in loaded.members] == kept
    assert len(CombinedEncoder(made.get_params(deep=False)["members"]).fit(data).members) == 3


def test_the_report_says_what_the_data_have_decided(data: Dataset) -> None:
    """Weights and what the members' settings became; nothing where all was given."""
    made = CombinedEncoder([EASEEncoder(dim=8), LinearSequenceEncoder(dim=8)]).fit(data)
    ease, linear = (f"{weight:.4g}" for weight in made.weights)
    assert made.learning_report is not None
    assert made.learning_report.chosen == {
        "member 1": f"ease times {ease}",
        "member 2": f"linear_sequence times {linear} (decays [0.0, 0.7, 0.95])",
    }
    assert "member 1 ease times" in str(made.learning_report)
    given = LinearSequenceEncoder(dim=8, settings={"decays": (0.5,)}).fit(data)
    assert given.learning_report is not None
    assert (given.learning_report.chosen, given.learning_report.told) == ({}, "")


def test_members_from_the_data_need_a_dimension(data: Dataset) -> None:
    """They are refused like others, once they are there."""
    with pytest.raises(InvalidDataError, match="members follow from the data: give dim"):
        CombinedEncoder(lambda given: [ContentEncoder(4), PopularityEncoder()])
    with pytest.raises(InvalidDataError, match="members follow from the data"):
        CombinedEncoder(lambda given: [ContentEncoder(4), PopularityEncoder()], 4, [1, 1])
    with pytest.raises(InvalidDataError, match="there are 1 members"):
        CombinedEncoder(lambda given: [ContentEncoder(4)], 4).fit(data)
    with pytest.raises(InvalidDataError, match="dim is 9, but the members have 4"):
        CombinedEncoder(lambda given: [ContentEncoder(4), PopularityEncoder()], 9).fit(data)


def test_it_nests(data: Dataset, tmp_path: Path) -> None:
    inner = CombinedEncoder([ContentEncoder(dim=4), PopularityEncoder()], weights=(1, 1))
    combined = CombinedEncoder([inner, LinearSequenceEncoder(dim=4)], dim=10, weights=(1, 1)).fit(data)
    combined.save(tmp_path)
    loaded = CombinedEncoder.load(tmp_path)
    assert loaded.fingerprint == combined.fingerprint
    np.testing.assert_array_equal(scores(loaded, data), scores(combined, data))


def test_the_fingerprint_changes_with_a_weight(data: Dataset) -> None:
    members = [ContentEncoder(dim=4).fit(data), PopularityEncoder().fit(data)]
    prints = {CombinedEncoder.of(members, weights=weights).fingerprint for weights in ((1, 1), (1, 2), (2, 1))}
    assert len(prints) == 3


def test_what_cannot_be_combined_is_refused(data: Dataset) -> None:
    one, other = PopularityEncoder(), ContentEncoder(dim=4)
    for members in ([one], [], [one, one], one, "ab", [one, "b"]):
        with pytest.raises(InvalidDataError, match="members"):
            CombinedEncoder(members)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match=r"2 \+ 4 = 6"):
        CombinedEncoder([one, other], dim=256)
    for dim in (0, -1, 2.0, True, "4"):
        with pytest.raises(InvalidDataError, match="dim is"):
            CombinedEncoder([one, other], dim=dim)  # type: ignore[arg-type]
    for weights in ((1,), (1, 0), (1, -1), (1, float("nan")), (1, float("inf")), "12", (1, True), 1):
        with pytest.raises(InvalidDataError, match="weights is"):
            CombinedEncoder([one, other], weights=weights)  # type: ignore[arg-type]
    combined = CombinedEncoder([one, other])
    with pytest.raises(NotFittedError):
        combined.encode_items([Item(1)])
    with pytest.raises(NotFittedError):
        combined.encode_users([User(1)])
    with pytest.raises(NotFittedError):
        _ = combined.weights
    with pytest.raises(NotFittedError):
        CombinedEncoder.of([one, other], weights=(1, 1))
    for few in ({}, {"weights": (1, 1), "dim": 4}):
        with pytest.raises(InvalidDataError, match="give a split"):
            CombinedEncoder.of([one.fit(data), other.fit(data)], **few)  # type: ignore[arg-type]


def _counting(fit: object, fits: list[int]) -> object:
    def counted(*args: object) -> None:
        fits.append(1)
        fit(*args)  # type: ignore[operator]

    return counted
