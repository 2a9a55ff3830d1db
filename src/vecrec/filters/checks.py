"""Whether a filter fits the fields that it is to be applied to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecrec.errors import InvalidDataError
from vecrec.filters.tree import Comparison, Contains, Filter, IsIn, nodes
from vecrec.filters.values import COMPARABLE, FieldType, value_type

__all__ = ["check_filter"]

_MAX_NODES = 500


def check_filter(where: Any, fields: Mapping[str, FieldType]) -> Filter | None:
    """The filter, if each of its conditions can hold for a field of the type that it names.

    Args:
        where: A filter, or ``None`` for no condition.
        fields: The filterable fields with their types.

    Raises:
        InvalidDataError: for something else than a filter, an unknown field, a value of another type than the field's,
            or a filter of more than 500 nodes.
    """
    if where is None:
        return None
    if not isinstance(where, Filter):
        raise InvalidDataError(f'a filter is built from fields, such as field("year") >= 1990; got {where!r}')
    for count, _ in enumerate(nodes(where), 1):
        if count > _MAX_NODES:
            raise InvalidDataError(
                f"a filter of more than {_MAX_NODES} conditions", "use is_in for long lists of values"
            )
    for leaf in where.leaves():
        _check_leaf(leaf, fields)
    return where


def _check_leaf(leaf: Comparison | IsIn | Contains, fields: Mapping[str, FieldType]) -> None:
    if leaf.name not in fields:
        raise InvalidDataError(
            f"no filterable field {leaf.name!r}",
            f"there are {sorted(fields) or 'none'}; mark it filterable in the schema",
        )
    kind = fields[leaf.name]
    plural = kind in ("integers", "strings")
    if isinstance(leaf, Contains) != plural:
        cure = "use .contains" if plural else "use == or .is_in"
        raise InvalidDataError(
            f"field {leaf.name!r} holds {'a list of values' if plural else 'one value'} ({kind}): {cure}"
        )
    for value in leaf.values if isinstance(leaf, IsIn) else (leaf.value,):
        wanted = kind[:-1] if plural else kind
        if value_type(value) not in COMPARABLE[wanted]:  # type: ignore[index]
            raise InvalidDataError(f"field {leaf.name!r} holds {kind}", f"it cannot be compared with {value!r}")
