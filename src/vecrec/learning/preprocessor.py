"""How the ids and features of a data set are numbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from vecrec.data import Schema, Vocabulary
from vecrec.learning.feature_map import FeatureSpace

__all__ = ["Language"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How ids and features are numbered: saved with the model."""

    schema: Schema
    """What the records were checked against."""
    items: Vocabulary
    """Ids of the items that have an event to learn from."""
    users: Vocabulary
    """Likewise of the users; empty for a model without user ids."""
    item_space: FeatureSpace
    """The items' features."""
    user_space: FeatureSpace
    """The users' features."""

    def to_json(self) -> dict[str, Any]:
        """The language as a JSON object, which `from_json` reads."""
        names = ("schema", "items", "users", "item_space", "user_space")
        return {name: getattr(self, name).to_json() for name in names}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The language that `to_json` has written."""
        schema = Schema.from_json(value["schema"])
        return cls(
            schema=schema,
            items=Vocabulary.from_json(value["items"]),
            users=Vocabulary.from_json(value["users"]),
            item_space=FeatureSpace.from_json(value["item_space"], schema.items),
            user_space=FeatureSpace.from_json(value["user_space"], schema.users),
        )
