"""Sets of values of one field, as unions of intervals, with or without NULL: what `lint` reasons with."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from functools import cmp_to_key
from typing import Any

from tag_platform.rules.model import Leaf
from tag_platform.rules.operators import positive
from tag_platform.rules.regex import LAST
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.values import EXACT, as_stored

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


def points_of(values: ValueSet) -> list[Any] | None:
    """The values, where there are only some single ones."""
    if values.null or any(
        low.value != high.value or not (low.bounded and high.bounded) for low, high in values.intervals
    ):
        return None
    return [low.value for low, _ in values.intervals]


def _before(value: Any) -> End:
    return End(-1, value, True)


def _after(value: Any) -> End:
    return End(1, value, True)


TRUE = ValueSet(((_after(False), HIGHEST),))
FALSE = ValueSet(((LOWEST, _after(False)),))


def _points(values: Any) -> ValueSet:
    result = ValueSet(())
    for value in values:
        result = result.union(ValueSet(((_before(value), _after(value)),)))
    return result


def subject_of(leaf: Leaf) -> Subject:
    """Whose values the condition is about. Subjects of their own beside a field's value: the days before `as_of`, how
    it compares with another field, whether it holds an element, whether it is empty."""
    kind = "string" if leaf.type == "enum" else leaf.type
    name, _ = positive(leaf.operator, leaf.type)
    if leaf.other is not None:
        kind = f"{kind} beside {leaf.other.key} {leaf.other.stored.name}"
    elif leaf.operator.group == "relative date":
        kind += " lag"
    elif leaf.type == "list" and name.name in ("contains", "is_empty"):
        kind = f"list {name.name} {leaf.value!r}"
    return (leaf.field.key, kind, leaf.field.stored.name)


def value_subject(leaf: Leaf) -> Subject:
    """The field's value itself, whatever the condition asks of it."""
    return (leaf.field.key, "string" if leaf.type == "enum" else leaf.type, leaf.field.stored.name)


def leaf_set(leaf: Leaf) -> ValueSet | None:
    """The values for which the condition is TRUE; None where intervals of one subject's values do not say it."""
    operator, negated = positive(leaf.operator, leaf.type)
    found: ValueSet | None
    if operator.name == "is_null":
        return universe(False) if negated else ValueSet((), True)
    if leaf.other is not None:  # below, at or above the other field: -1, 0, 1
        found = _interval(operator.name, 0)
    elif leaf.type == "list":
        found = TRUE if operator.name in ("contains", "is_empty") else None
    elif leaf.type == "boolean":
        found = TRUE if {"is_true": True, "is_false": False}.get(operator.name, leaf.value) else FALSE
    elif leaf.field.stored.base == "timestamp" and leaf.operator.group != "relative date":
        return None  # two wall-clock times may be one instant, so intervals of them prove nothing
    else:
        found = _interval(operator.name, _comparable(leaf))
        if found is not None and leaf.type == "number":
            found = _stored(found, leaf.field.stored)
    return found.opposite() if found is not None and negated else found


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
        case "starts_with":
            return ValueSet(((_before(value), _behind_prefix(value)),))
    return _lags(name, value)


def _behind_prefix(prefix: str) -> End:
    """Just above every text that starts so."""
    kept = prefix.rstrip(chr(LAST))
    return _before(kept[:-1] + chr(ord(kept[-1]) + 1)) if kept else HIGHEST


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


def _stored(found: ValueSet, stored: ColumnType) -> ValueSet:
    """Of what a column of that type can hold: nothing lies between 5 and 6, nor beyond its largest number."""
    if stored.base == "int":
        most = 2 ** (stored.bits - 1)
        return _within(_whole(found), Decimal(-most), Decimal(most - 1))
    if stored.base == "decimal":
        most = 10**stored.precision - 1
        return _within(found, *(Decimal(n).scaleb(-stored.scale, EXACT) for n in (-most, most)))
    return found


def _within(found: ValueSet, least: Decimal, most: Decimal) -> ValueSet:
    kept = []
    for low, high in found.intervals:
        if _order(high, _before(least)) > 0 and _order(low, _after(most)) < 0:
            low = LOWEST if _order(low, _before(least)) <= 0 else low
            kept.append((low, HIGHEST if _order(high, _after(most)) >= 0 else high))
    return ValueSet(tuple(kept), found.null)


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
