"""What a module exports is there, documented, and nothing more is needed from outside."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import vecrec

_MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(vecrec.__path__, "vecrec.")
    if not module.name.rpartition(".")[2].startswith("_")
)


def test_every_module_is_seen() -> None:
    """The walk finds the packages that there are."""
    assert {"vecrec.types", "vecrec.testing.base", "vecrec.vector_stores.base", "vecrec.encoders.content"} <= {
        *_MODULES
    }


@pytest.mark.parametrize("name", ["vecrec", *_MODULES])
def test_exported_members_are_there(name: str) -> None:
    """Each package says what it exports; what a module says it exports exists, and is named once."""
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", () if not hasattr(module, "__path__") else None)
    assert exported is not None, "say what the package exports"
    assert len(set(exported)) == len(exported)
    assert [member for member in exported if not hasattr(module, member)] == []


@pytest.mark.parametrize("name", ["vecrec", *_MODULES])
def test_modules_and_members_are_documented(name: str) -> None:
    """Each module, and each class and function that it exports, has a docstring of its own."""
    module = importlib.import_module(name)
    assert module.__doc__
    for member in getattr(module, "__all__", ()):
        value = getattr(module, member)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, member


def test_the_public_names_are_the_ones_of_the_design() -> None:
    """What users write comes from ``vecrec`` itself."""
    wanted = {
        "Event",
        "Filter",
        "Hit",
        "Item",
        "Recommendation",
        "Recommendations",
        "Recommender",
        "User",
        "VecrecError",
        "field",
    }
    assert wanted <= set(vecrec.__all__)
    assert vecrec.__version__
