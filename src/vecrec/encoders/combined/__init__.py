"""Several encoders side by side in one vector."""

from vecrec.encoders.combined.encoder import CombinedEncoder, ensemble

__all__ = ["CombinedEncoder", "ensemble"]
