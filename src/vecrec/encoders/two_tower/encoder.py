"""The two-tower encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal import validation
from vecrec._internal.dependencies import require_training
from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec._internal.validation import dimension, integer
from vecrec.data import Vocabulary
from vecrec.encoders.base import Encoder
from vecrec.encoders.parts import Part, UserParts, collected
from vecrec.encoders.two_tower import learning_curve as curve
from vecrec.encoders.two_tower.inference import Towers
from vecrec.encoders.two_tower.settings import BY_DATA, ResolvedSettings, TwoTowerSettings
from vecrec.encoders.two_tower.time_gaps import STEPS, History, history_of, set_of
from vecrec.encoders.two_tower.training_data import prepare
from vecrec.encoders.two_tower.workers import train_apart
from vecrec.errors import InvalidDataError, NotFittedError, shown
from vecrec.ids import Id
from vecrec.learning.preprocessor import Preprocessor
from vecrec.records import JSON
from vecrec.types import Item, User, column

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["TwoTowerEncoder"]


class TwoTowerEncoder(Encoder):
    """Users by profile and ordered history, items by id and features, in one space; trained by PaddlePaddle.

    Both towers are trained together to predict each event from those before it, among sampled items (a softmax with
    shared negatives, corrected for how they were drawn: Yi et al., 2019). A user's history enters as sums that decay
    at several rates, which keeps its order and costs little, or through gated recurrent layers, which also read the
    time between the events and cost more. Before the first event a beginning is read, and the first events after it are
    counted, which separates what users begin with from what they continue with: a new user gets the former. With
    ``user_ids``, a known user without a given history gets neither. Where the order of the events is unknown, they are
    trained in another order each epoch, each counts in the sums as it does on average over all orders, and histories
    are read as sets.
    What can be missing was missing in part of the training, so features alone, or a history alone, give a sensible
    vector. See `TwoTowerSettings` for what can be chosen.

    `fit` needs the extra ``paddle``; everything else runs on NumPy. Equal data, settings, seed, ``threads``,
    ``workers`` and machine give equal vectors, bit for bit on a CPU. Where the events have times, the pause between a
    user's last event and the request is read too (``User.at``), in steps that double; in half of the training it is
    unknown, as it may be in a request.

    Args:
        dim: The length of a vector, at least 2.
        seed: Where all chance comes from, from 0.
        settings: How it is built and trained; a dictionary changes some of the defaults.
        threads: Threads for matrix products while fitting; ``None`` for as many as NumPy takes by itself, or
            for one where the data are so few that more would only wait for each other.
        checkpoint: A directory for what an interrupted `fit` can go on from: called again with the same data, settings
            and seed it ends with the same vectors. ``None`` keeps nothing.
        workers: How many processes of this machine share each step while fitting, each with a copy of the data. On
            several machines start the program with ``python -m paddle.distributed.launch`` instead, which needs the
            same data, and for a checkpoint the same directory, everywhere.
        device: Where `fit` computes: ``"auto"`` for a GPU where PaddlePaddle is built for one and finds one, else the
            CPU; ``"cpu"``, ``"gpu"`` (one for each of the workers, in turn), ``"gpu:1"``. All chance is drawn on the
            host, so that the steps are the same on any device, and the vectors equal up to rounding. What is fitted on
            one serves anywhere.

    Raises:
        InvalidDataError: for an argument that cannot be used.
    """

    name: ClassVar[str] = "two_tower"

    def __init__(
        self,
        dim: int = 256,
        *,
        seed: int = 0,
        settings: TwoTowerSettings | Mapping[str, Any] | None = None,
        threads: int | None = None,
        checkpoint: str | Path | None = None,
        workers: int = 1,
        device: str = "auto",
    ) -> None:
        self._dim = dimension(dim, low=2)
        self.seed = integer(seed, "seed", low=0)
        """Where all chance comes from."""
        self.settings = TwoTowerSettings.of(settings)
        """How it is built and trained."""
        self.threads = None if threads is None else integer(threads, "threads", low=1)
        """Threads for matrix products while fitting."""
        self.checkpoint = None if checkpoint is None else validation.path_of(checkpoint, "checkpoint")
        """Where an interrupted `fit` can go on from."""
        self.workers = integer(workers, "workers", low=1, high=1024)
        """How many processes share each step while fitting."""
        self.device = _device(device)
        """Where `fit` computes."""
        self._preprocessor: Preprocessor | None = None
        self._towers: Towers | None = None
        self._curve: tuple[curve.Epoch, ...] = ()
        self._print = ""

    @property
    @override
    def dim(self) -> int:
        return self._dim

    @property
    @override
    def reads_weights(self) -> bool:
        return self.settings.loss == "softmax"

    @property
    @override
    def is_fitted(self) -> bool:
        return self._towers is not None

    @property
    def learning_curve(self) -> tuple[curve.Epoch, ...]:
        """What was measured after each epoch.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        return self._curve

    def plot_learning_curve(self, path: str | Path) -> None:
        """Draw loss and validation metric over the epochs into a picture file such as ``curve.png``.

        Raises:
            MissingDependencyError: without the extra ``plot``.
            NotFittedError: before ``fit`` or ``load``.
        """
        curve.plot(self.learning_curve, path)

    @override
    def _learnable(self, data: Dataset) -> Dataset:
        return data if self.settings.loss == "rating" else super()._learnable(data)

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        training = _training()
        device = training.available_device(self.device)
        settings = ResolvedSettings.of_data(self.settings, data.popularity())
        training_data = prepare(data, settings, self.seed)
        key = array_digest([data.digest, settings.to_json(), self.dim, self.seed, self.threads, self.workers, device])
        threads = 1 if self.workers > 1 and self.threads is None else self.threads
        plan = training.Plan(self.dim, self.seed, threads, self.checkpoint, key, device)
        if self.workers == 1:
            towers, epochs = training.train(training_data, settings, plan, progress)
        else:
            towers, epochs = train_apart(training_data, settings, plan, self.workers, progress)
        self._take(training_data.preprocessor, towers, tuple(epochs))

    @override
    def _chosen(self) -> dict[str, JSON]:
        resolved = self._parts()[1].settings
        best = max(self.learning_curve, key=lambda epoch: epoch.recall or 0, default=None)
        found: dict[str, JSON] = {
            name: getattr(resolved, name) for name in BY_DATA if getattr(self.settings, name) is None
        }
        return found if best is None or best.recall is None else found | {"best epoch": best.number}

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        preprocessor, towers = self._parts()
        ids = preprocessor.items.indexes(item.id for item in items).astype(np.int64)
        return towers.items(ids, preprocessor.item_space.rows(item.features for item in items))

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        preprocessor, towers = self._parts()
        ids = preprocessor.users.indexes(user.id for user in users).astype(np.int64)
        profiles = preprocessor.user_space.rows(user.features for user in users)
        histories = [self._history(preprocessor, user, ordered=towers.ordered) for user in users]
        return towers.users(ids, profiles, histories)

    @override
    def _explain_user(self, user: User) -> UserParts:
        preprocessor, towers = self._parts()
        if self.settings.layers or not towers.ordered:
            return super()._explain_user(user)
        names, profile = preprocessor.user_space.by_feature(user.features)
        history = self._history(preprocessor, user, ordered=True)
        known = int(preprocessor.users.indexes([user.id])[0])
        start = max(0, len(user.history) - 2 * max(1, self.settings.history))
        rows = preprocessor.items.indexes(event.item_id for event in user.history[start:])
        places = np.flatnonzero(rows > Vocabulary.UNKNOWN) + start
        base, own, features, events = towers.parts(profile, history, known=known)
        found = {Part("base"): base + features[0], Part("user"): own}
        found |= {Part("feature", feature=name): vector for name, vector in zip(names, features[1:])}
        found |= {Part("event", place=int(place)): vector for place, vector in zip(places, events)}
        return collected(found, self.dim, "exact" if towers.is_linear else "linearised")

    @override
    def knows(self, item_id: Id) -> bool:
        return item_id in self._parts()[0].items

    def _history(self, preprocessor: Preprocessor, user: User, *, ordered: bool) -> History:
        if not ordered:
            return set_of(preprocessor.items.indexes(column(user.history, "item_id")).astype(np.int64))
        # Twice as many as are read, in case some are unknown: a history of years costs no more than one of a week.
        latest = user.history[-2 * max(1, self.settings.history) :]
        times = None
        if self.settings.layers or user.at is not None:  # nothing else reads them
            times = np.array(column(latest, "time"), np.float64)  # NaN for None
        rows = preprocessor.items.indexes(column(latest, "item_id")).astype(np.int64)
        return history_of(rows, times, user.at, gaps=self.settings.layers > 0)

    @override
    def _save(self, directory: Path) -> None:
        preprocessor, towers = self._parts()
        values = {
            "dim": self.dim,
            "seed": self.seed,
            "settings": self.settings.to_json(),
            "scale": towers.scale,
            "ordered": towers.ordered,
            "pauses": towers.pauses.tolist(),
            "curve": [epoch.to_json() for epoch in self._curve],
            **preprocessor.to_json(),
        }
        save_parts(directory, self.name, values, towers.weights)

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        values, weights = load_parts(directory, cls.name)
        loaded = cls(values["dim"], seed=values["seed"], settings=TwoTowerSettings.from_json(values["settings"]))
        ordered, pauses = values.get("ordered", True), values.get("pauses")
        steps = None if pauses is None else np.array(pauses, np.int64)
        towers = Towers(weights, loaded.settings, values["scale"], ordered=ordered, pauses=steps)
        epochs = tuple(curve.Epoch.from_json(value) for value in values["curve"])
        loaded._take(Preprocessor.from_json(values), towers, epochs)
        return loaded

    @override
    def _fingerprint(self) -> str:
        return self._print

    @override
    def _schema(self) -> Schema:
        return self._parts()[0].schema

    def _take(self, preprocessor: Preprocessor, towers: Towers, epochs: tuple[curve.Epoch, ...]) -> None:
        _check_shapes(preprocessor, towers, self.dim)
        self._preprocessor, self._towers, self._curve = preprocessor, towers, epochs
        read = (
            self.settings.decays,
            self.settings.layers,
            self.settings.history,
            *(() if towers.ordered else ("sets",)),
        )
        names = sorted(towers.weights)
        arrays = [towers.weights[name] for name in names]
        whole = [self.name, read, towers.scale, names, preprocessor.to_json()]
        whole += [towers.pauses.tolist()] if towers.pauses.any() else []
        self._print = array_digest(whole, *arrays)

    def _parts(self) -> tuple[Preprocessor, Towers]:
        if self._preprocessor is None or self._towers is None:
            raise NotFittedError("this TwoTowerEncoder is not fitted", "call fit(data), or load(directory)")
        return self._preprocessor, self._towers


def _device(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|gpu(:[0-9]{1,3})?", value):
        raise InvalidDataError(
            f"device is {shown(value)}", 'give "auto", "cpu", "gpu", or one of several GPUs: "gpu:1"'
        )
    return value


def _training() -> Any:
    """The module that needs the extra; imported here, since nothing else does."""
    require_training("training a TwoTowerEncoder")
    from vecrec.encoders.two_tower import training

    return training


def _check_shapes(preprocessor: Preprocessor, towers: Towers, dim: int) -> None:
    rows = {
        "item_ids": preprocessor.items.size,
        "history": preprocessor.items.size,
        "events": preprocessor.items.size,
        "pauses": STEPS,
        "request_pauses": STEPS,
        "request_gates": STEPS,
        "user_ids": preprocessor.users.size,
        "positions": towers.settings.positions,
        "gates": towers.settings.positions,
        "item_features": preprocessor.item_space.size,
        "user_features": preprocessor.user_space.size,
    }
    for name, array in towers.weights.items():
        if len(array) != rows.get(name, len(array)) or not np.isfinite(array).all():
            raise InvalidDataError(f"the weights {name!r} of shape {array.shape} do not fit", "the files were changed")
    if towers.pauses.shape != (STEPS,) or not 0 <= towers.pauses.min() <= towers.pauses.max() < STEPS:
        raise InvalidDataError("the steps of the pauses do not fit", "the files were changed")
    if towers.dim != dim:
        raise InvalidDataError(f"the weights make vectors of {towers.dim} numbers, not {dim}", "the files were changed")
