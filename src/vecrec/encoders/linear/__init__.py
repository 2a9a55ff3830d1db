"""The linear sequence encoder, which is solved and not trained."""

from vecrec.encoders.linear.encoder import LinearSequenceEncoder
from vecrec.encoders.linear.settings import LinearSequenceSettings

__all__ = ["LinearSequenceEncoder", "LinearSequenceSettings"]
