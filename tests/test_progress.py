"""Progress goes to whoever wants it, and bars are closed."""

from __future__ import annotations

import pytest

from vecrec.progress import Step, _bars, _lines, showing, silent


def test_a_callable_gets_every_step() -> None:
    """The callable itself is what the work calls."""
    steps: list[Step] = []
    with showing(steps.append) as show:
        show(Step("train", 1, 2))
        show(Step("train", 2, 2, "loss 1.5"))
    assert steps == [Step("train", 1, 2), Step("train", 2, 2, "loss 1.5")]


@pytest.mark.parametrize("quiet", [None, False])
def test_silence_shows_nothing(quiet: bool | None, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither stdout nor stderr is touched."""
    with showing(quiet) as show:
        assert show is silent
        show(Step("train", 1, None))
    assert capfd.readouterr() == ("", "")


def test_a_log_file_gets_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """The beginning and the end of each stage, and between them a line at most every ten seconds."""
    now = [0.0]
    show = _lines(lambda: now[0])
    for done in range(101):
        now[0] += 0.3
        show(Step("train", done, 100, "loss 1.5"))
    show(Step("load", 5, None))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "train 0/100 loss 1.5", "train 34/100 loss 1.5", "train 68/100 loss 1.5", "train 100/100 loss 1.5", "load 5"
    ]  # fmt: skip


def test_a_file_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """No bar is drawn where stderr is not a terminal."""
    with showing(True) as show:
        show(Step("train", 4, 4, "recall[10] .75"))
    assert capfd.readouterr() == ("", "train 4/4 recall[10] .75\n")


def test_bars_are_drawn_on_stderr_within_80_columns(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar a stage with its detail, brackets included, on one line; stdout stays free for results."""
    monkeypatch.setenv("COLUMNS", "80")
    with _bars() as show:
        show(Step("load", 1, None))
        show(Step("train", 1, 4, "recall[10] .5"))
        show(Step("train", 4, 4, "recall[10] .75"))
    out, err = capfd.readouterr()
    assert out == ""
    assert "load" in err
    [line] = [line for line in err.splitlines() if "4/4" in line]
    assert line.rstrip().endswith("recall[10] .75")
    assert len(line) <= 80


def test_bars_are_closed_on_an_error() -> None:
    """The error of the work goes through, and the next bars can be drawn."""
    with pytest.raises(ZeroDivisionError), showing(True):
        raise ZeroDivisionError
    with showing(True) as show:
        show(Step("again", 1, 1))
