"""What turns users and items into vectors. ``base`` is the contract; then one module or folder an encoder."""

from vecrec.encoders.base import Encoder
from vecrec.encoders.content import ContentEncoder
from vecrec.encoders.popularity import PopularityEncoder

__all__ = ["ContentEncoder", "Encoder", "PopularityEncoder"]
