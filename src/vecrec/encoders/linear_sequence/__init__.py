"""The linear sequence encoder, which is solved and not trained."""

from vecrec.encoders.linear_sequence.encoder import LinearSequenceEncoder
from vecrec.encoders.linear_sequence.settings import LinearSequenceSettings

__all__ = ["LinearSequenceEncoder", "LinearSequenceSettings"]
