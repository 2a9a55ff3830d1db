"""What turns users and items into vectors. ``base`` is the contract; then one module or folder an encoder."""

from vecrec.encoders.base import Encoder

__all__ = ["Encoder"]
