"""What turns users and items into vectors. ``base`` is the contract; then one module or folder an encoder."""

from typing import TYPE_CHECKING, Any

from vecrec.encoders.base import Encoder
from vecrec.encoders.content import ContentEncoder
from vecrec.encoders.popularity import PopularityEncoder

if TYPE_CHECKING:
    from vecrec.encoders.two_tower import TwoTowerEncoder, TwoTowerSettings

__all__ = ["ContentEncoder", "Encoder", "PopularityEncoder", "TwoTowerEncoder", "TwoTowerSettings"]


def __getattr__(name: str) -> Any:
    # It reads data sets, whose modules `import vecrec` can do without.
    if name in {"TwoTowerEncoder", "TwoTowerSettings"}:
        from vecrec.encoders import two_tower

        return getattr(two_tower, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
