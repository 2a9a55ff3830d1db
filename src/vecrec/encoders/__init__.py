"""What turns users and items into vectors. ``base`` is the contract; then one module or folder an encoder."""

from typing import TYPE_CHECKING, Any

from vecrec.encoders.base import Encoder
from vecrec.encoders.content import ContentEncoder
from vecrec.encoders.popularity import PopularityEncoder

if TYPE_CHECKING:
    from vecrec.encoders.combined import CombinedEncoder
    from vecrec.encoders.linear import LinearSequenceEncoder, LinearSequenceSettings
    from vecrec.encoders.two_tower import TwoTowerEncoder, TwoTowerSettings

__all__ = [
    "CombinedEncoder",
    "ContentEncoder",
    "Encoder",
    "LinearSequenceEncoder",
    "LinearSequenceSettings",
    "PopularityEncoder",
    "TwoTowerEncoder",
    "TwoTowerSettings",
]

# These read data sets, whose modules `import vecrec` can do without.
_LATER = {
    "CombinedEncoder": "combined",
    "LinearSequenceEncoder": "linear",
    "LinearSequenceSettings": "linear",
    "TwoTowerEncoder": "two_tower",
    "TwoTowerSettings": "two_tower",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"vecrec.encoders.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
