"""Progress goes to whoever wants it, and bars are closed."""

from __future__ import annotations

import pytest

from vecrec.progress import Step, showing, silent


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


def test_bars_are_drawn_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """A bar a stage with its detail, brackets included; stdout stays free for results."""
    with showing(True) as show:
        show(Step("load", 1, None))
        show(Step("train", 1, 4, "recall[10] .5"))
        show(Step("train", 4, 4, "recall[10] .75"))
    out, err = capfd.readouterr()
    assert out == ""
    assert "load" in err
    assert "4/4" in err
    assert "recall[10] .75" in err


def test_bars_are_closed_on_an_error() -> None:
    """The error of the work goes through, and the next bars can be drawn."""
    with pytest.raises(ZeroDivisionError), showing(True):
        raise ZeroDivisionError
    with showing(True) as show:
        show(Step("again", 1, 1))
