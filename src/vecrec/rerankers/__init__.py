"""The optional second stage, which reorders the best candidates. ``base`` is the interface."""

from typing import TYPE_CHECKING, Any

from vecrec.rerankers.base import Candidates, Reranker, Reranks

if TYPE_CHECKING:
    from vecrec.rerankers.chain import ChainReranker
    from vecrec.rerankers.mmr import MMRReranker
    from vecrec.rerankers.rating import RatingReranker, RatingSettings

__all__ = [
    "Candidates",
    "ChainReranker",
    "MMRReranker",
    "RatingReranker",
    "RatingSettings",
    "Reranker",
    "Reranks",
]

# `import vecrec` can do without them.
_LATER = {"ChainReranker": "chain", "MMRReranker": "mmr", "RatingReranker": "rating", "RatingSettings": "rating"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"vecrec.rerankers.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
