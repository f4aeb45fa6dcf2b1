"""Sets of values of one field, as unions of intervals, with or without NULL: what `lint` reasons with."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR
from functools import cmp_to_key
from typing import Any

from tag_platform.rules.model import Leaf
from tag_platform.rules.operators import positive
from tag_platform.rules.values import as_stored

MAX_MEMBERS = 200  # members of a list that are looked at
MAX_LAG = 300_000  # days that lie within the calendar for every as_of that is in use
Subject = tuple[tuple[str, str], str, str]


@dataclass(frozen=True)
class End:
    """One end of an interval: below or above everything (`side` -1, 1 and no value), or just before (-1) or just
    after (1) a value."""

    side: int
    value: Any = None
    bounded: bool = False


LOWEST, HIGHEST = End(-1), End(1)


def _order(a: End, b: End) -> int:
    if not a.bounded or not b.bounded:
        left = a.side * 2 if not a.bounded else 0
        right = b.side * 2 if not b.bounded else 0
        return (left > right) - (left < right)
    if a.value != b.value:
        return 1 if a.value > b.value else -1
    return (a.side > b.side) - (a.side < b.side)


_KEY = cmp_to_key(_order)
Interval = tuple[End, End]


@dataclass(frozen=True)
class ValueSet:
    """Disjoint intervals in ascending order, and whether NULL is in the set."""

    intervals: tuple[Interval, ...]
    null: bool = False

    @property
    def empty(self) -> bool:
        return not self.intervals and not self.null

    @property
    def values_full(self) -> bool:
        return self.intervals == ((LOWEST, HIGHEST),)

    @property
    def full(self) -> bool:
        return self.null and self.values_full

    def union(self, other: ValueSet) -> ValueSet:
        merged: list[Interval] = []
        for low, high in sorted([*self.intervals, *other.intervals], key=lambda i: _KEY(i[0])):
            if merged and _order(low, merged[-1][1]) <= 0:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high, key=_KEY))
            else:
                merged.append((low, high))
        return ValueSet(tuple(merged), self.null or other.null)

    def intersection(self, other: ValueSet) -> ValueSet:
        both = []
        for a_low, a_high in self.intervals:
            for b_low, b_high in other.intervals:
                low, high = max(a_low, b_low, key=_KEY), min(a_high, b_high, key=_KEY)
                if _order(low, high) < 0:
                    both.append((low, high))
        return ValueSet(tuple(sorted(both, key=lambda i: _KEY(i[0]))), self.null and other.null)

    def opposite(self, unknown_on_null: bool = True) -> ValueSet:
        """All other values; NULL is in neither set where the condition is UNKNOWN on it."""
        rest, at = [], LOWEST
        for low, high in self.intervals:
            if _order(at, low) < 0:
                rest.append((at, low))
            at = high
        if _order(at, HIGHEST) < 0:
            rest.append((at, HIGHEST))
        return ValueSet(tuple(rest), not unknown_on_null and not self.null)

    def within(self, other: ValueSet) -> bool:
        return self.intersection(other) == self


def universe(null: bool) -> ValueSet:
    """Every value, with or without NULL."""
    return ValueSet(((LOWEST, HIGHEST),), null)


def _before(value: Any) -> End:
    return End(-1, value, True)


def _after(value: Any) -> End:
    return End(1, value, True)


def _points(values: Any) -> ValueSet:
    result = ValueSet(())
    for value in values:
        result = result.union(ValueSet(((_before(value), _after(value)),)))
    return result


def subject_of(leaf: Leaf) -> Subject:
    """Whose values the condition is about. Days before `as_of` are a subject of their own beside the date itself."""
    kind = "string" if leaf.type == "enum" else leaf.type
    lag = "lag" if leaf.operator.group == "relative date" else ""
    return (leaf.field.key, kind + lag, leaf.field.stored.name)


def leaf_set(leaf: Leaf) -> ValueSet | None:
    """The values for which the condition is TRUE; None where intervals of one field's values do not say it."""
    operator, negated = positive(leaf.operator, leaf.type)
    if operator.name == "is_null":
        return universe(False) if negated else ValueSet((), True)
    # Two wall-clock times may be one instant, so intervals of them prove nothing about a timestamp.
    if leaf.other is not None or leaf.type == "list" or leaf.field.stored.base == "timestamp":
        return None
    if leaf.type == "boolean":
        wanted = {"is_true": True, "is_false": False}.get(operator.name, leaf.value)
        return ValueSet((((_after(False), HIGHEST) if wanted is not negated else (LOWEST, _after(False))),))
    found = _interval(operator.name, _comparable(leaf))
    if found is None:
        return None
    if leaf.field.stored.base == "int" and leaf.type == "number":
        found = _whole(found)
    return found.opposite() if negated else found


def _comparable(leaf: Leaf) -> Any:
    """The literal in the form in which it is compared: beside a floating-point column fractions are rounded."""
    if leaf.type != "number" or leaf.field.stored.base == "string":
        return leaf.value
    if isinstance(leaf.value, tuple):
        return tuple(as_stored(leaf.field.stored, value) for value in leaf.value)
    return as_stored(leaf.field.stored, leaf.value)


def _interval(name: str, value: Any) -> ValueSet | None:
    match name:
        case "=":
            return _points([value])
        case "in":
            return _points(value) if len(value) <= MAX_MEMBERS else None
        case ">":
            return ValueSet(((_after(value), HIGHEST),))
        case ">=":
            return ValueSet(((_before(value), HIGHEST),))
        case "<":
            return ValueSet(((LOWEST, _before(value)),))
        case "<=":
            return ValueSet(((LOWEST, _after(value)),))
        case "in_range":
            return ValueSet(((_before(value[0]), _after(value[1])),))
    return _lags(name, value)


def _lags(name: str, value: Any) -> ValueSet | None:
    """Days before `as_of`, as long as the calendar's ends are far away."""
    if isinstance(value, int) and value <= MAX_LAG:
        match name:
            case "recent_days":
                return ValueSet(((_before(0), _before(value + 1)),))
            case "days_ago":
                return ValueSet(((_before(value), HIGHEST),))
            case "within_next_days":
                return ValueSet(((_before(-value), _before(1)),))
    if name == "days_ago_between" and value[1] <= MAX_LAG:
        return ValueSet(((_before(value[0]), _before(value[1] + 1)),))
    return None


def _whole(found: ValueSet) -> ValueSet:
    """Of whole numbers alone: `> 5` is `>= 6`, so that nothing lies between 5 and 6."""
    result = ValueSet(())
    for low, high in found.intervals:
        ends = (_whole_end(low), _whole_end(high))
        if _order(*ends) < 0:
            result = result.union(ValueSet((ends,)))
    return result


def _whole_end(end: End) -> End:
    if not end.bounded or end.value.adjusted() > 30 or end.value.adjusted() < -30:
        return end
    floor = end.value.to_integral_value(ROUND_FLOOR)
    return _before(floor + 1 if floor != end.value or end.side > 0 else floor)
