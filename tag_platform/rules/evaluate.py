"""Decides a rule for one user in plain Python. This is the oracle: it is to be read beside the specification, and
every engine must agree with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from tag_platform.rules import values
from tag_platform.rules.model import Field, Group, Leaf, Node, Rule, combined, negation
from tag_platform.rules.operators import Shape, positive
from tag_platform.rules.values import Moment

UserValues = Mapping[tuple[str, str], Any]


def evaluate(rule: Rule, user: UserValues, as_of: date, timezone: str = "UTC") -> bool | None:
    """TRUE, FALSE or None (UNKNOWN) for one user. `user` holds stored values by (table, column); a missing key is NULL.

    Timestamps are aware datetimes, or naive ones in `timezone`.
    """
    return truth(rule.root, user, as_of, ZoneInfo(timezone))


def truth(node: Node, user: UserValues, as_of: date, zone: ZoneInfo) -> bool | None:
    """The truth of one node of the tree."""
    if isinstance(node, Group):
        return combined(node.logic, [truth(member, user, as_of, zone) for member in node.members])
    if isinstance(node, Leaf):
        return _leaf(node, user, as_of, zone)
    return (truth(node.rule.root, user, as_of, zone) is True) is not node.negated


def _leaf(leaf: Leaf, user: UserValues, as_of: date, zone: ZoneInfo) -> bool | None:
    operator, negated = positive(leaf.operator, leaf.type)
    x = value_of(leaf.field, leaf.type, user, zone)
    if operator.name == "is_null":
        return (x is None) is not negated
    if x is None:
        return None
    if leaf.other is not None:
        x, value = _two_fields(leaf, x, value_of(leaf.other, leaf.type, user, zone))
    else:
        value = _literal(leaf, zone)
    if value is None and leaf.other is not None:
        return None
    assert operator.test is not None
    answer = operator.test(x, value, as_of)
    return negation(answer) if negated else answer


def value_of(field: Field, kind: str, user: UserValues, zone: ZoneInfo) -> Any:
    """The user's value of a field as the rule reads it; None for NULL, NaN and what does not parse."""
    return values.read(field.stored, kind, user.get(field.key), zone, field.element)


def _literal(leaf: Leaf, zone: ZoneInfo) -> Any:
    """The rule's value in the form in which the field's values are compared."""
    stored, kind = leaf.field.stored, leaf.type
    if leaf.operator.shape in (Shape.DAYS, Shape.DAYS_RANGE):
        return leaf.value
    if kind == "list":
        assert stored.element is not None
        stored, kind = stored.element, leaf.field.element
    if isinstance(leaf.value, tuple):
        return tuple(values.beside(stored, kind, member, zone) for member in leaf.value)
    return None if leaf.value is None else values.beside(stored, kind, leaf.value, zone)


def _two_fields(leaf: Leaf, x: Any, y: Any) -> tuple[Any, Any]:
    assert leaf.other is not None
    bases = {leaf.field.stored.base, leaf.other.stored.base}
    if y is None:
        return x, None
    if leaf.type == "number" and not bases <= {"int", "decimal"}:
        return float(x), float(y)
    if isinstance(x, Moment) and bases != {"timestamp"}:
        return x.wall, y.wall
    return x, y
