"""Several encoders side by side in one vector."""

from vecrec.encoders.combined.encoder import CombinedEncoder
from vecrec.encoders.combined.presets import ensemble

__all__ = ["CombinedEncoder", "ensemble"]
