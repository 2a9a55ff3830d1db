"""A sketch of the pairs of user and item that were learnt from, to notice a test on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec.ids import Id, encode_id

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["PairSketch"]

_BITS_PER_PAIR = 8
_MIN_BITS, _MAX_BITS = 1 << 10, 1 << 24
_PIECE = 1 << 20
_LEAST_SHARE = 0.05
_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class PairSketch:
    """Bits that the hashes of pairs of user and item have set: a Bloom filter with one hash.

    It tells how much of many pairs it was made from, and not whether it was made from a single one: an eighth of all
    other pairs has its bit set too. It holds no ids, and takes 2 MB at most.
    """

    bits: NDArray[np.bool_]
    """Shape (n,), n a power of two."""

    @classmethod
    def of(cls, data: Dataset) -> Self:
        """The sketch of the events of a data set."""
        size = 1 << max(data.n_events * _BITS_PER_PAIR - 1, 1).bit_length()
        bits = np.zeros(min(max(size, _MIN_BITS), _MAX_BITS), np.bool_)
        users, items = _hashes(data.user_ids), _hashes(data.item_ids)
        for piece in _pieces(data.n_events):
            bits[_places(users[data.user_codes[piece]], items[data.item_codes[piece]], len(bits))] = True
        return cls(bits)

    def share_of(self, user_ids: Sequence[Id], item_ids: Sequence[Id]) -> float:
        """The share of some pairs that it was made from, as far as chance does not explain it.

        Args:
            user_ids: The user of each pair.
            item_ids: Its item.

        Returns:
            An estimate from 0 to 1; 0 where it may be chance, or is less than a twentieth.
        """
        if not user_ids:
            return 0.0
        set_bits = self.bits[_places(_hashes(user_ids), _hashes(item_ids), len(self.bits))]
        found, by_chance = float(set_bits.mean()), float(self.bits.mean())
        spread = math.sqrt(by_chance * (1 - by_chance) / len(set_bits))
        share = (found - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0
        clear = found > by_chance + _SIGMAS * spread and share >= _LEAST_SHARE and set_bits.sum() >= _SIGMAS
        return min(share, 1.0) if clear else 0.0

    def to_bytes(self) -> NDArray[np.uint8]:
        """The bits, eight a byte."""
        return np.packbits(self.bits)

    @classmethod
    def from_bytes(cls, packed: NDArray[np.uint8]) -> Self:
        """The sketch that `to_bytes` gave."""
        return cls(np.unpackbits(packed).astype(np.bool_))


def _pieces(count: int) -> Iterator[slice]:
    return (slice(start, start + _PIECE) for start in range(0, count, _PIECE))


def _hashes(ids: Sequence[Id]) -> NDArray[np.uint64]:
    digests = b"".join(blake2b(encode_id(value).encode(), digest_size=8).digest() for value in ids)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _places(users: NDArray[np.uint64], items: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    mixed = (users ^ (items * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed ^ (mixed >> np.uint64(31))) & np.uint64(size - 1)).astype(np.int64)
