"""Filters on item fields: ``field("year") >= 1990``, combined with ``&``, ``|`` and ``~``.

`Filter.matches` defines the meaning. Each store compiles a filter into its engine's language, and the conformance kit
compares the answers with this evaluator on random filters and records.

A condition on a field holds only where the record has a value there (not ``None``), of the type that the condition
compares with; this holds for ``!=`` too. Integers and floats compare by value, a ``bool`` compares only with a
``bool``, and text compares by code point. A field that the schema declares as a `Date` compares as a time, with dates,
datetimes, ISO texts and seconds since 1970. ``~`` is plain negation, so ``~(field("year") >= 1990)`` also finds the
items without a year.
"""

from __future__ import annotations

from vecrec.filters.checks import check_filter
from vecrec.filters.fields import Field, field
from vecrec.filters.tree import And, Comparison, Contains, ContainsAny, Filter, IsIn, Leaf, Not, Or
from vecrec.filters.values import FieldType, FilterType, Scalar, check_field_name, value_type

__all__ = [
    "And", "Comparison", "Contains", "ContainsAny", "Field", "FieldType", "Filter", "FilterType", "IsIn", "Leaf", "Not",
    "Or", "Scalar", "check_field_name", "check_filter", "field", "value_type",
]  # fmt: skip
