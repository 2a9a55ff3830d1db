"""What the tests of an encoder stand on: the hooks that a subclass fills, and an encoder that tests share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.encoders.base import Encoder
from vecrec.testing.base import ConformanceTests
from vecrec.testing.encoders.tastes import items_to_ask, tastes, users_to_ask

__all__ = ["EncoderKit", "answers", "learn", "read_back"]


class EncoderKit(ConformanceTests):
    """The hooks of `EncoderTests`."""

    personal: ClassVar[bool] = True
    """Whether the vectors of users depend on the user. ``False`` for a baseline that treats all users alike."""

    reads_features: ClassVar[bool] = True
    """Whether the vectors depend on features. ``False`` for an encoder of ids and histories only."""

    reads_profiles: ClassVar[bool] = True
    """Whether the vectors of users depend on their features. ``False`` for an encoder of their histories only."""

    reads_order: ClassVar[bool] = True
    """Whether the vectors of users depend on the order of their histories. ``False`` for an encoder of sets."""

    seeded: ClassVar[bool] = True
    """Whether another seed gives other vectors. ``False`` for an encoder without chance."""

    training_modules: ClassVar[tuple[str, ...]] = ("paddle", "torch", "tensorflow", "jax")
    """What loading must not import."""

    @classmethod
    def make(cls, seed: int = 0) -> Encoder:
        """A new encoder that has learnt nothing; small, so that it learns a few hundred events within seconds."""
        raise NotImplementedError(f"{cls.__name__} needs a class method make(cls, seed=0): see EncoderTests")

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls) -> Encoder:
        """An encoder fitted with `tastes`, which tests only ask."""
        return cls.make().fit(tastes())


def answers(encoder: Encoder) -> tuple[str, NDArray[np.float32]]:
    """The fingerprint, and the vectors of everything that the kit asks for."""
    return encoder.fingerprint, np.concatenate(
        [encoder.encode_items(items_to_ask()), encoder.encode_users(users_to_ask())]
    )


def learn(encoder: Encoder) -> tuple[str, NDArray[np.float32]]:
    """What an encoder answers once it is fitted."""
    return answers(encoder.fit(tastes()))


def read_back(
    kind: type[Encoder], directory: Path, unwanted: Sequence[str]
) -> tuple[tuple[str, NDArray[np.float32]], list[str]]:
    """What a saved encoder answers, and which unwanted modules were imported for that."""
    found = answers(kind.load(directory))
    return found, [module for module in unwanted if module in sys.modules]
