"""The error tree: drawn once, true, and each error also the builtin that it resembles."""

from __future__ import annotations

import builtins
import inspect
import pickle
import re

import pytest

from vecrec import errors
from vecrec._internal.dependencies import missing, requires

_CLASSES = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.VecrecError)
}


def _drawn() -> dict[str, tuple[str | None, str | None]]:
    """Each error of the drawing with its parent and the builtin named beside it."""
    found: dict[str, tuple[str | None, str | None]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"(?P<lead>[ │├└─]*)(?P<name>[A-Z]\w+Error)(?: \((?P<builtin>\w+)\))?(?:\s{2,}.*)?$", line)
        if match and line.startswith("    "):
            depth = len(match["lead"])
            above = [(at, name) for at, name in above if at < depth]
            found[match["name"]] = above[-1][1] if above else None, match["builtin"]
            above.append((depth, match["name"]))
    return found


def test_the_drawing_shows_every_error() -> None:
    """Nothing is missing from the docstring's tree, and nothing in it is made up."""
    assert set(_drawn()) == set(_CLASSES) == {*errors.__all__} - {"shown"}
    assert len(_CLASSES) > 10


@pytest.mark.parametrize("name", sorted(_CLASSES))
def test_the_drawing_is_true(name: str) -> None:
    """An error hangs below the one that it is drawn below, and is the builtin beside it."""
    parent, builtin = _drawn()[name]
    kind = _CLASSES[name]
    others = [base.__name__ for base in kind.__bases__ if issubclass(base, errors.VecrecError)]
    assert others == ([parent] if parent else [])
    if builtin:
        assert issubclass(kind, getattr(builtins, builtin))


@pytest.mark.parametrize("kind", _CLASSES.values(), ids=_CLASSES)
def test_the_message_is_shown_as_it_is(kind: type[errors.VecrecError]) -> None:
    """Also where the builtin would show something else: a `KeyError` its message in quotes, an `OSError` an errno."""
    error = kind("no item 'é': there are 3")
    assert str(error) == "no item 'é': there are 3"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert inspect.getdoc(kind)


def test_a_missing_package_comes_with_its_cure() -> None:
    """The message names the package, what it is for, and the command that installs it."""
    failed = ModuleNotFoundError("No module named 'pymilvus'", name="pymilvus")
    error = missing(failed, "pymilvus", extra="milvus", purpose="MilvusVectorStore")
    assert error.problem == "MilvusVectorStore needs the package 'pymilvus', which is not installed"
    assert error.cure == "pip install 'vecrec-recommender[milvus]'"


def test_a_package_that_lacks_another_is_not_called_missing() -> None:
    """It is there, and one that it imports is not: the message says which."""
    failed = ModuleNotFoundError("No module named 'nonesuch'", name="nonesuch.inner")
    error = missing(failed, "numpy", extra="paddle", purpose="training")
    assert error.problem.endswith("which is installed but does not load (No module named 'nonesuch')")
    itself = ModuleNotFoundError("No module named 'numpy.inner'", name="numpy.inner")
    assert missing(itself, "numpy", extra="paddle", purpose="x").problem.endswith("which is not installed")


def test_a_package_that_does_not_load_is_not_called_missing() -> None:
    """PaddlePaddle without libgomp is installed; the message says what the loader said."""
    with (
        pytest.raises(errors.MissingDependencyError, match=r"does not load \(libgomp\.so\.1") as caught,
        requires("paddlepaddle", extra="paddle", purpose="training"),
    ):
        raise ImportError("libgomp.so.1: cannot open shared object file")
    assert "libgomp1" in caught.value.cure
