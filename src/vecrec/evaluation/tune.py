"""The search for an encoder's settings, by Optuna: on the validation part, resumable, with pruning."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vecrec._internal.dependencies import requires
from vecrec._internal.tables import html_table, text_table
from vecrec._internal.validation import integer, number
from vecrec.data import Dataset, Split, splits
from vecrec.errors import InvalidDataError
from vecrec.evaluation.runner import check_depths, evaluate
from vecrec.learning.settings import check_names
from vecrec.progress import Progress, ProgressLike, Step, showing
from vecrec.records import JSON

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vecrec.encoders.base import Encoder

__all__ = ["Space", "Trial", "Tuning", "tune"]

Space: TypeAlias = Mapping[str, Any]
"""Values to try by setting: a list of values, ``(low, high)``, or ``(low, high, "log")``; bounds are included, and two
integers mean integers."""

_log = logging.getLogger("vecrec")


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of settings that was tried."""

    number: int
    """From 0, in the order in which they began."""
    params: Mapping[str, JSON]
    """The settings."""
    value: float | None
    """The metric on the validation part; ``None`` where the trial did not end."""
    state: str
    """``"complete"``, ``"pruned"`` (given up early, since it was behind others) or ``"failed"``."""
    seconds: float
    """How long it took."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search has found."""

    metric: str
    """What was measured on the validation part; more is better."""
    encoder: Encoder
    """An encoder with the best settings, not fitted."""
    trials: Sequence[Trial]
    """All trials, those of earlier runs included."""
    best: Trial = field(init=False)
    """The best trial."""

    def __post_init__(self) -> None:
        complete = [trial for trial in self.trials if trial.value is not None and trial.state == "complete"]
        if not complete:
            raise InvalidDataError("none of the trials was completed", "look at the log; widen the space")
        object.__setattr__(self, "best", max(complete, key=lambda trial: trial.value or 0.0))

    def rows(self) -> list[dict[str, Any]]:
        """A row for each trial, the best one first, for a data frame or a file."""
        ordered = sorted(self.trials, key=lambda t: (t.state != "complete", -(t.value or 0.0), t.number))
        return [
            {"trial": t.number, self.metric: t.value, "state": t.state, "seconds": round(t.seconds, 1), **t.params}
            for t in ordered
        ]

    def __str__(self) -> str:
        heads, cells = self._cells()
        return "\n".join(text_table(cells, heads))

    def _repr_html_(self) -> str:
        heads, cells = self._cells()
        return html_table(cells, heads)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = self.rows()
        heads = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[_cell(row.get(name)) for name in heads] for row in rows]
        return heads, cells

    def plot(self, path: str | Path | None = None) -> Figure:
        """The metric of each trial and the best one so far, and the metric over each setting.

        Args:
            path: Where to save the picture, if anywhere; the suffix chooses the format.

        Raises:
            MissingDependencyError: without matplotlib.
        """
        with requires("matplotlib", extra="plot", purpose="a picture of a search"):
            from matplotlib.figure import Figure
        done = [trial for trial in self.trials if trial.value is not None and trial.state == "complete"]
        names = list(dict.fromkeys(name for trial in done for name in trial.params))
        figure = Figure(figsize=(3.2 * (1 + len(names)), 3.2), layout="constrained")
        first, *others = figure.subplots(1, 1 + len(names), sharey=True, squeeze=False)[0]
        values = [trial.value or 0.0 for trial in done]
        first.plot([trial.number for trial in done], values, "o", label="trial")
        first.step(
            [trial.number for trial in done], [max(values[: at + 1]) for at in range(len(values))], "-", where="post",
            label="best so far",
        )  # fmt: skip
        first.set(xlabel="trial", ylabel=self.metric)
        first.legend()
        for axes, name in zip(others, names):
            tried = [(trial.params[name], trial.value) for trial in done if name in trial.params]
            is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value, _ in tried)
            axes.plot([value if is_number else str(value) for value, _ in tried], [each for _, each in tried], "o")
            axes.set(xlabel=name)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def to_json(self) -> dict[str, Any]:
        """The best settings and all trials as a JSON object."""
        return {
            "metric": self.metric,
            "best": {"params": dict(self.best.params), "value": self.best.value},
            "trials": self.rows(),
        }


def tune(
    encoder: Encoder,
    data: Dataset | Split,
    space: Space,
    *,
    trials: int = 20,
    metric: str = "ndcg@10",
    storage: str | Path | None = None,
    name: str = "vecrec",
    seed: int = 0,
    prune: bool = True,
    progress: ProgressLike = None,
) -> Tuning:
    """Search an encoder's settings by Optuna's TPE sampler, on the validation part; the test part is never seen.

    ::

        found = tune(
            TwoTowerEncoder(), data, {"dim": [64, 128], "learning_rate": (1e-3, 1e-1, "log"), "epochs": (4, 20)}
        )
        found.encoder.fit(data)

    Args:
        encoder: What to start from; it is not changed. Any encoder with ``get_params`` and ``set_params``.
        data: Split by `vecrec.data.splits.leave_last_out`, unless it is a split already.
        space: What to try for each setting, by the names of ``encoder.get_params()``.
        trials: How many trials there are to be in all, those of earlier runs with the same storage and name included.
        metric: What to maximise: a metric of `evaluate` with one value for each user, such as ``"recall@50"``.
        storage: A file, such as ``"tuning.db"``, or the URL of a database that SQLAlchemy takes: a search that is
            called again goes on, and several processes may share one. By default nothing is kept.
        name: The name of the search in the storage.
        seed: Equal seeds give equal searches, one trial after the other.
        prune: Whether trials are given up early whose epochs' validation is behind the median of the trials before;
            only for encoders that report one, such as the two towers.
        progress: As for ``fit``.

    Raises:
        InvalidDataError: for an unknown setting, a space that is not valid, an unknown metric, or a split without a
            validation part.
        MissingDependencyError: without Optuna.
    """
    with requires("optuna", extra="tune", purpose="a search for settings"):
        import optuna
    wanted = integer(trials, "trials", low=1)
    checked = _checked_space(encoder, space)
    depth = _depth_of(metric)
    split = data if isinstance(data, Split) else splits.leave_last_out(data)
    if not split.validation.n_events:
        raise InvalidDataError("the split has no validation part", "use splits.leave_last_out or splits.temporal")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=_storage(storage), study_name=name, direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=integer(seed, "seed", low=0)),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if prune else optuna.pruners.NopPruner(),
    )  # fmt: skip
    with showing(progress) as show:

        def objective(trial: optuna.Trial) -> float:
            made = _with(encoder, {key: _suggested(trial, key, values) for key, values in checked.items()})
            made.fit(split.train, progress=_pruning(trial, show, optuna.TrialPruned))
            found = evaluate(made, split, depth, part="validation", baselines=())[metric]
            show(Step("tune", trial.number + 1, wanted, f"{metric} {found:.4f}"))
            return found

        finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)
        left = wanted - len(study.get_trials(deepcopy=False, states=finished))
        if left > 0:
            study.optimize(objective, n_trials=left, catch=(InvalidDataError,))
    done = [_trial(each) for each in study.get_trials(deepcopy=False, states=finished)]
    best = Tuning(metric, encoder, done).best
    return Tuning(metric, _with(encoder, _values(checked, best.params)), done)


def _with(encoder: Encoder, params: Mapping[str, Any]) -> Encoder:
    """Another encoder with some settings changed."""
    return type(encoder)(**encoder.get_params(deep=False)).set_params(**params)


def _checked_space(encoder: Encoder, space: Any) -> dict[str, Any]:
    if not isinstance(space, Mapping) or not space:
        raise InvalidDataError(f"space is {space!r}", 'give what to try by setting, such as {"dim": [64, 128]}')
    known = encoder.get_params()
    check_names(space, [*known, *(key.removeprefix("settings__") for key in known)], type(encoder).__name__)
    for key, values in space.items():
        bounds = isinstance(values, tuple)
        if bounds and not (len(values) in (2, 3) and values[2:] in ((), ("log",))):
            raise InvalidDataError(f"the space of {key!r} is {values!r}", 'give (low, high) or (low, high, "log")')
        if bounds and number(values[0], f"low of {key!r}") >= number(values[1], f"high of {key!r}"):
            raise InvalidDataError(f"the space of {key!r} is {values!r}", "give the lower bound first")
        if not bounds and (isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values):
            raise InvalidDataError(f"the space of {key!r} is {values!r}", "give a list of values, or bounds as a tuple")
    return dict(space)


def _suggested(trial: Any, key: str, values: Any) -> Any:
    if not isinstance(values, tuple):
        # By their texts, since a storage keeps numbers and texts only, and values may be lists.
        return _value(values, trial.suggest_categorical(key, [_key(value) for value in values]))
    low, high, log = values[0], values[1], len(values) == 3
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=log)
    return trial.suggest_float(key, float(low), float(high), log=log)


def _values(space: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a trial, as the space has them and not as the storage keeps them."""
    return {
        key: found if isinstance(space.get(key, ()), tuple) else _value(space[key], found)
        for key, found in params.items()
    }


def _value(values: Sequence[Any], key: Any) -> Any:
    return next((value for value in values if _key(value) == key), key)


def _key(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _pruning(trial: Any, show: Progress, pruned: type[Exception]) -> Progress:
    """Pass steps on, and give the trial up where its epochs are behind."""
    seen = 0

    def receive(step: Step) -> None:
        nonlocal seen
        show(step)
        if step.validation is not None:
            seen += 1
            trial.report(step.validation, seen)
            if trial.should_prune():
                raise pruned

    return receive


def _depth_of(metric: str) -> list[int]:
    name, _, depth = str(metric).partition("@")
    if name not in ("hit_rate", "recall", "ndcg", "mrr", "precision", "map") or not depth.isdecimal():
        raise InvalidDataError(f"metric is {metric!r}", "give one such as ndcg@10, recall@50 or mrr@10")
    return check_depths(int(depth), "metric")


def _storage(storage: str | Path | None) -> str | None:
    if storage is None or "://" in str(storage):
        return None if storage is None else str(storage)
    return f"sqlite:///{Path(storage).absolute()}"


def _trial(found: Any) -> Trial:
    state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(found.state.name, "failed")
    seconds = found.duration.total_seconds() if found.duration is not None else 0.0
    return Trial(found.number, dict(found.params), found.value, state, seconds)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
