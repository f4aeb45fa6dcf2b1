"""From the tree of a rule to predicates that any engine can evaluate exactly.

Operators become predicates, dates relative to `as_of` become fixed dates, and each literal is moved into the domain in
which its column is stored: `bigint > 0.5` becomes `>= 1`, a whole number out of the column's range becomes a constant,
a calendar day of a timestamp becomes a pair of instants. So no engine has to convert, round or know a time zone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tag_platform.rules import values
from tag_platform.rules.model import Field, Group, Leaf, Node
from tag_platform.rules.operators import positive
from tag_platform.rules.predicates import (
    All,
    AnyElement,
    Compare,
    Comparison,
    Days,
    FieldCompare,
    Known,
    MonthDays,
    Not,
    OneOf,
    Predicate,
    Some,
    Term,
    Truth,
)
from tag_platform.rules.schema import ColumnType


def lower(node: Node, as_of: date, zone: ZoneInfo) -> Predicate:
    """The predicate that says what the node says, with every value in the form that its column's type compares with.

    int and decimal columns get `int` and `Decimal` in their own scale, floating-point columns `float`, dates `date`,
    timestamps microseconds since 1970 (`int`), timestamps without zone naive `datetime`. Of columns kept as text
    numbers get `Decimal`, dates and datetimes ISO text.
    """
    if isinstance(node, Group):
        members = tuple(lower(member, as_of, zone) for member in node.members)
        if node.logic == "OR":
            return Some(members)
        return Not(All(members)) if node.logic == "NOT" else All(members)
    if isinstance(node, Leaf):
        return _physical(_leaf(node, as_of), zone)
    truth = Truth(lower(node.rule.root, as_of, zone))
    return Not(truth) if node.negated else truth


def _term(field: Field, kind: str) -> Term:
    kind = "string" if kind == "enum" else kind
    return Term(field.table, field.column, field.stored, kind, element_type=field.element)


def _leaf(leaf: Leaf, as_of: date) -> Predicate:
    operator, negated = positive(leaf.operator, leaf.type)
    term = _term(leaf.field, leaf.type)
    if leaf.other is not None:
        assert operator.compares is not None
        predicate: Predicate = FieldCompare(term, operator.compares, _term(leaf.other, leaf.type))
    else:
        assert operator.lower is not None
        predicate = operator.lower(term, leaf.value, as_of)
    return Not(predicate) if negated else predicate


def _physical(predicate: Predicate, zone: ZoneInfo) -> Predicate:
    match predicate:
        case Compare(term, op, value):
            return in_domain(term, op, value, zone)
        case OneOf(term, members):
            return _one_of(term, members, zone)
        case Days(term, low, high):
            return _days(term, low, high, zone)
        case MonthDays(term, days) if len(days) == 366:
            return Known(term, True)
        case AnyElement(_, _, test) if test is not None:
            return replace(predicate, test=_physical(test, zone))
        case Not(member):
            return Not(_physical(member, zone))
        case All(parts):
            return All(tuple(_physical(part, zone) for part in parts))
    return predicate


def in_domain(term: Term, op: Comparison, value: Any, zone: ZoneInfo) -> Predicate:
    """`term op value` with the value in the column's own domain, or a constant where that decides it."""
    stored = term.stored
    if term.read_as == "number" and stored.base != "string":
        if stored.base == "float":
            return _beside_float(term, op, value)
        return _on_grid(term, op, value)
    if term.read_as == "datetime":
        return Compare(term, op, _moment(stored, value, zone))
    if term.read_as == "date" and stored.base == "string":
        return Compare(term, op, value.isoformat())
    return Compare(term, op, value)


def _moment(stored: ColumnType, value: datetime, zone: ZoneInfo) -> Any:
    if stored.base == "timestamp":
        return values.instant(value, zone)
    return value if stored.base == "timestamp_ntz" else value.isoformat(sep=" ", timespec="microseconds")


def _on_grid(term: Term, op: Comparison, value: Decimal) -> Predicate:
    """Whole numbers, and decimals as whole numbers of their last digit."""
    stored = term.stored
    whole = stored.base == "int"
    low, high = (
        (-(2 ** (stored.bits - 1)), 2 ** (stored.bits - 1) - 1)
        if whole
        else (-(10**stored.precision) + 1, 10**stored.precision - 1)
    )
    if value.adjusted() + stored.scale > 40:
        steps, exact = (high + 1 if value > 0 else low - 1), True
    elif value and value.adjusted() + stored.scale < -2:
        steps, exact = (0 if value > 0 else -1), False
    else:
        steps, exact = _floor(value, stored.scale)
    if not exact:  # steps < value < steps + 1
        if op == "=":
            return Known(term, False)
        op, steps = ("<=", steps) if op in ("<", "<=") else (">=", steps + 1)
    if steps > high:
        return Known(term, op in ("<", "<="))
    if steps < low:
        return Known(term, op in (">", ">="))
    return Compare(term, op, steps if whole else Decimal(steps).scaleb(-stored.scale, values.EXACT))


def _floor(value: Decimal, scale: int) -> tuple[int, bool]:
    """The greatest whole number of steps of 10^-scale that is not above the value, and whether it is the value."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    number, power = int("".join(map(str, digits[:5000]))), exponent + scale + max(len(digits) - 5000, 0)
    if power >= 0:
        return (-number if sign else number) * 10**power, True
    steps, rest = divmod(-number if sign else number, 10**-power)
    return steps, rest == 0 and not any(digits[5000:])


def _beside_float(term: Term, op: Comparison, value: Decimal) -> Predicate:
    bits = term.stored.bits
    meant = values.as_stored(term.stored, value)
    near = values.nearest_float(bits, value)
    if not math.isinf(near) and meant == Decimal(near):
        return Compare(term, op, near)
    if op == "=":
        return Known(term, False)
    largest = values.largest_float(bits)
    if math.isinf(near):
        below = largest if near > 0 else -math.inf
    else:
        below = near if Decimal(near) < meant else values.float_before(bits, near)
    if below == -math.inf:
        return Compare(term, ">=" if op in (">", ">=") else "<", -largest)
    return Compare(term, "<=" if op in ("<", "<=") else ">", below)


def _one_of(term: Term, members: Iterable[Any], zone: ZoneInfo) -> Predicate:
    kept: dict[Any, None] = {}
    for member in members:
        equal = in_domain(term, "=", member, zone)
        if isinstance(equal, Compare):
            kept[equal.value] = None
    return OneOf(term, tuple(kept)) if kept else Known(term, False)


def _days(term: Term, low: date | None, high: date | None, zone: ZoneInfo) -> Predicate:
    bounds: list[Predicate] = []
    if term.read_as == "date":
        if low is not None:
            bounds.append(in_domain(term, ">=", low, zone))
        if high is not None:
            bounds.append(in_domain(term, "<=", high, zone))
    else:
        if low is not None:
            bounds.append(in_domain(term, ">=", datetime(low.year, low.month, low.day), zone))
        if high is not None:
            after = high + timedelta(days=1)
            bounds.append(in_domain(term, "<", datetime(after.year, after.month, after.day), zone))
    if not bounds:
        return Known(term, True)
    return bounds[0] if len(bounds) == 1 else All(tuple(bounds))
