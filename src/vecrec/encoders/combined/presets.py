"""The combination of encoders that measured best."""

from __future__ import annotations

from vecrec.encoders.combined.encoder import CombinedEncoder
from vecrec.encoders.ease import EASEEncoder
from vecrec.encoders.linear_sequence import LinearSequenceEncoder
from vecrec.encoders.two_tower import TwoTowerEncoder, TwoTowerSettings

__all__ = ["ensemble"]


def ensemble(dim: int = 256, seed: int = 0, *, refit: bool = True) -> CombinedEncoder:
    """The strongest encoder here, in vectors of the usual length, for several times the training of one.

    Towers that read the history as decaying sums, towers that read it by recurrent layers, the linear encoder of
    sequences, and EASE, which knows tastes rather than sequences: what one gets wrong, the others mostly do not. What
    each of their scores counts is learnt on the last events, for which they are fitted once more before.

    Args:
        dim: The length of every vector, at least 2.
        seed: Where all chance comes from, from 0.
        refit: Whether they are fitted once more with the last events, which takes twice as long; see `CombinedEncoder`.

    Raises:
        InvalidDataError: for an argument that cannot be used.
    """
    members = [
        TwoTowerEncoder(dim, seed=seed, settings=TwoTowerSettings(epochs=5)),
        TwoTowerEncoder(dim, seed=seed, settings=TwoTowerSettings.recurrent()),
        LinearSequenceEncoder(dim, seed=seed),
        EASEEncoder(dim, seed=seed, ridge=1.0),
    ]
    return CombinedEncoder(members, dim=dim, refit=refit)
