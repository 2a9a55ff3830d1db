"""What turns users and items into vectors.

``base`` is the contract; then one module or folder an encoder. What several of them share is in `vecrec.learning`.
"""

from typing import TYPE_CHECKING, Any

from vecrec.encoders.base import Encoder
from vecrec.learning.events import LearningReport

if TYPE_CHECKING:
    from vecrec.encoders.combined.encoder import CombinedEncoder, ensemble
    from vecrec.encoders.content import ContentEncoder
    from vecrec.encoders.ease import EASEEncoder, EASESettings
    from vecrec.encoders.linear_sequence import LinearSequenceEncoder, LinearSequenceSettings
    from vecrec.encoders.popularity import PopularityEncoder
    from vecrec.encoders.successors import Successors
    from vecrec.encoders.two_tower import TwoTowerEncoder, TwoTowerSettings

__all__ = [
    "CombinedEncoder",
    "ContentEncoder",
    "EASEEncoder",
    "EASESettings",
    "Encoder",
    "LearningReport",
    "LinearSequenceEncoder",
    "LinearSequenceSettings",
    "PopularityEncoder",
    "Successors",
    "TwoTowerEncoder",
    "TwoTowerSettings",
    "ensemble",
]

# `import vecrec` can do without them, and without the modules of data sets that some of them read.
_LATER = {
    "CombinedEncoder": "combined",
    "ContentEncoder": "content",
    "EASEEncoder": "ease",
    "EASESettings": "ease",
    "LinearSequenceEncoder": "linear_sequence",
    "LinearSequenceSettings": "linear_sequence",
    "PopularityEncoder": "popularity",
    "Successors": "successors",
    "TwoTowerEncoder": "two_tower",
    "TwoTowerSettings": "two_tower",
    "ensemble": "combined",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"vecrec.encoders.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
