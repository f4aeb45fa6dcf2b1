"""The operators of the rule language: one entry each, which is the only place that knows an operator.

From this table come the parser (names, aliases, types, shapes of values), the evaluation of one user (`test`), every
engine (`lower`), the JSON Schema, the reference page, explanations (`words`) and the tests. What a negative operator
does is said by `negates` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

from tag_platform.rules import calendar
from tag_platform.rules.predicates import (
    All,
    AnyElement,
    Compare,
    Comparison,
    Days,
    IsNull,
    MonthDays,
    Not,
    OneOf,
    Predicate,
    Term,
    TextTest,
)

TYPES = ("number", "string", "enum", "boolean", "date", "datetime", "list")
TYPE_ALIASES = {"array": "list"}
_ORDERED = ("number", "string", "date", "datetime")
_DATES = ("date", "datetime")


class Shape(Enum):
    """What an operator takes as `value`; the text is for the reference page."""

    ONE = "one value, or `value_field` with the name of another field"
    LIST = "a non-empty list of values"
    RANGE = "`[low, high]`, both ends included, low ≤ high"
    TEXT = "a non-empty string, taken literally"
    REGEX = "a regular expression of the common subset"
    NOTHING = 'nothing (`""`, `null` and `[]` are ignored)'
    TRUE = "nothing, or `true`"
    FALSE = "nothing, or `false`"
    ELEMENT = "one element, or a list of exactly one"
    ELEMENTS = "a non-empty list of elements"
    DAYS = "a whole number of days, N ≥ 0"
    DAYS_RANGE = "`[a, b]`, whole numbers of days, 0 ≤ a ≤ b"


Test = Callable[[Any, Any, date], bool]
Lower = Callable[[Term, Any, date], Predicate]


@dataclass(frozen=True)
class Operator:
    """One operator. `words` stand between field and value, or hold the value's places. `test(x, value, as_of)` decides
    for a value that is not NULL, `lower(term, value, as_of)` says the same to engines; both are those of the operator
    it `negates`, where there is one."""

    name: str
    aliases: tuple[str, ...]
    group: str
    types: tuple[str, ...]
    shape: Shape
    words: str
    summary: str
    test: Test | None = None
    lower: Lower | None = None
    negates: str | None = None
    compares: Comparison | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


def _comparison(name: Comparison, aliases: tuple[str, ...], words: str, types: tuple[str, ...], test: Test) -> Operator:
    def lower(term: Term, value: Any, as_of: date) -> Predicate:
        return Compare(term, name, value)

    return Operator(
        name, aliases, "comparison", types, Shape.ONE, words, f"the field {words} the value", test, lower, None, name
    )


def _text(kind: Literal["contains", "starts_with", "ends_with", "matches"]) -> Lower:
    return lambda term, value, as_of: TextTest(term, kind, value)


def _between(term: Term, value: Any, as_of: date) -> Predicate:
    return All((Compare(term, ">=", value[0]), Compare(term, "<=", value[1])))


def _one_of(term: Term, value: Any, as_of: date) -> Predicate:
    return OneOf(term, value)


def _element_of(term: Term) -> Term:
    assert term.stored.element is not None
    return Term(term.table, term.column, term.stored.element, term.element_type, element=True)


def _has_any(term: Term, value: Any, as_of: date) -> Predicate:
    element = _element_of(term)
    return AnyElement(term, element, OneOf(element, value))


def _has_one(term: Term, value: Any, as_of: date) -> Predicate:
    return _has_any(term, (value,), as_of)


def _has_all(term: Term, value: Any, as_of: date) -> Predicate:
    return All(tuple(_has_any(term, (element,), as_of) for element in value))


def _is_empty(term: Term, value: Any, as_of: date) -> Predicate:
    return Not(AnyElement(term, _element_of(term), None))


def _day(value: Any) -> date:
    """The calendar date of a date or of a `Moment`."""
    day: date = value if isinstance(value, date) else value.wall.date()
    return day


def _relative(
    name: str, shape: Shape, words: str, summary: str, window: Callable[[Any, date], tuple[date, date]]
) -> Operator:
    def test(x: Any, value: Any, as_of: date) -> bool:
        low, high = window(value, as_of)
        return low <= _day(x) <= high

    def lower(term: Term, value: Any, as_of: date) -> Predicate:
        low, high = window(value, as_of)
        return Days(term, None if low == date.min else low, None if high == date.max else high)

    return Operator(name, (), "relative date", _DATES, shape, words, summary, test, lower)


def _negative(
    name: str, aliases: tuple[str, ...], of: str, types: tuple[str, ...], shape: Shape, group: str, words: str
) -> Operator:
    return Operator(name, aliases, group, types, shape, words, f"the opposite of `{of}`", negates=of)


_EQUAL_TYPES = ("number", "string", "enum", "boolean", "date", "datetime")
_MEMBER_TYPES = ("number", "string", "enum", "date", "datetime")
_LIST = ("list",)
_STRING = ("string",)

OPERATORS: tuple[Operator, ...] = (
    _comparison("=", ("==", "eq", "equals"), "is", _EQUAL_TYPES, lambda x, v, t: bool(x == v)),
    _negative("!=", ("<>", "neq", "not_equals"), "=", _EQUAL_TYPES, Shape.ONE, "comparison", "is not"),
    _comparison(">", ("gt",), "is above", _ORDERED, lambda x, v, t: bool(x > v)),
    _comparison(">=", ("gte",), "is at least", _ORDERED, lambda x, v, t: bool(x >= v)),
    _comparison("<", ("lt",), "is below", _ORDERED, lambda x, v, t: bool(x < v)),
    _comparison("<=", ("lte",), "is at most", _ORDERED, lambda x, v, t: bool(x <= v)),
    Operator(
        "in", ("belongs_to",), "membership", _MEMBER_TYPES, Shape.LIST, "is one of", "the field is one of the values",
        lambda x, v, t: any(x == member for member in v), _one_of,
    ),
    _negative("not_in", ("not_belongs_to",), "in", _MEMBER_TYPES, Shape.LIST, "membership", "is none of"),
    Operator(
        "in_range", ("between", "date_in_range", "date_between"), "range", _ORDERED, Shape.RANGE, "is between",
        "low ≤ field ≤ high", lambda x, v, t: bool(v[0] <= x <= v[1]), _between,
    ),
    _negative(
        "not_in_range", ("not_between", "date_not_in_range"), "in_range", _ORDERED, Shape.RANGE, "range",
        "is not between",
    ),
    Operator(
        "contains", (), "text", _STRING, Shape.TEXT, "contains", "the text is part of the field",
        lambda x, v, t: v in x, _text("contains"),
    ),
    _negative("not_contains", (), "contains", _STRING, Shape.TEXT, "text", "does not contain"),
    Operator(
        "starts_with", (), "text", _STRING, Shape.TEXT, "starts with", "the field starts with the text",
        lambda x, v, t: bool(x.startswith(v)), _text("starts_with"),
    ),
    Operator(
        "ends_with", (), "text", _STRING, Shape.TEXT, "ends with", "the field ends with the text",
        lambda x, v, t: bool(x.endswith(v)), _text("ends_with"),
    ),
    Operator(
        "matches", ("regex",), "text", _STRING, Shape.REGEX, "matches", "the pattern is found somewhere in the field",
        lambda x, v, t: bool(v.search(x)), _text("matches"),
    ),
    _negative("not_matches", (), "matches", _STRING, Shape.REGEX, "text", "does not match"),
    Operator(
        "is_null", ("null",), "null", TYPES, Shape.NOTHING, "is NULL", "the field is NULL",
        None, lambda term, v, t: IsNull(term),
    ),
    _negative("is_not_null", ("not_null",), "is_null", TYPES, Shape.NOTHING, "null", "is not NULL"),
    Operator(
        "is_true", (), "boolean", ("boolean",), Shape.TRUE, "is true", "the field is true",
        lambda x, v, t: x is True, lambda term, v, t: Compare(term, "=", True),
    ),
    Operator(
        "is_false", (), "boolean", ("boolean",), Shape.FALSE, "is false", "the field is false",
        lambda x, v, t: x is False, lambda term, v, t: Compare(term, "=", False),
    ),
    Operator(
        "contains", (), "list", _LIST, Shape.ELEMENT, "contains", "the element is in the list",
        lambda x, v, t: v in x, _has_one,
    ),
    _negative("not_contains", (), "contains", _LIST, Shape.ELEMENT, "list", "does not contain"),
    Operator(
        "contains_any", ("intersects",), "list", _LIST, Shape.ELEMENTS, "contains any of",
        "at least one of the elements is in the list", lambda x, v, t: any(e in x for e in v), _has_any,
    ),
    Operator(
        "contains_all", (), "list", _LIST, Shape.ELEMENTS, "contains all of",
        "every one of the elements is in the list", lambda x, v, t: all(e in x for e in v), _has_all,
    ),
    _negative(
        "contains_none", ("no_intersection", "disjoint"), "contains_any", _LIST, Shape.ELEMENTS, "list",
        "contains none of",
    ),
    Operator(
        "is_empty", (), "list", _LIST, Shape.NOTHING, "is empty", "the list has no element that is not NULL",
        lambda x, v, t: not x, _is_empty,
    ),
    _negative("is_not_empty", (), "is_empty", _LIST, Shape.NOTHING, "list", "is not empty"),
    _relative(
        "recent_days", Shape.DAYS, "is in the last {} days", "as_of − N ≤ d ≤ as_of",
        lambda n, as_of: (calendar.shifted(as_of, -n), as_of),
    ),
    _relative(
        "days_ago", Shape.DAYS, "is at least {} days ago", "d ≤ as_of − N",
        lambda n, as_of: (date.min, calendar.shifted(as_of, -n)),
    ),
    _relative(
        "days_ago_between", Shape.DAYS_RANGE, "is {} to {} days ago", "as_of − b ≤ d ≤ as_of − a",
        lambda n, as_of: (calendar.shifted(as_of, -n[1]), calendar.shifted(as_of, -n[0])),
    ),
    _relative(
        "within_next_days", Shape.DAYS, "is in the next {} days", "as_of ≤ d ≤ as_of + N",
        lambda n, as_of: (as_of, calendar.shifted(as_of, n)),
    ),
    Operator(
        "anniversary_within_days", (), "relative date", _DATES, Shape.DAYS, "has its anniversary in the next {} days",
        "the next month-and-day anniversary of d falls in as_of … as_of + N (29 February counts as 28 February in "
        "other years)",
        lambda x, v, t: (_day(x).month, _day(x).day) in calendar.month_days(t, v),
        lambda term, v, t: MonthDays(term, tuple(sorted(calendar.month_days(t, v)))),
    ),
)  # fmt: skip

_BY_NAME: dict[str, dict[str, Operator]] = {}
for _operator in OPERATORS:
    for _name in _operator.names:
        _BY_NAME.setdefault(_name, {}).update(dict.fromkeys(_operator.types, _operator))

TAG_OPERATORS = {"has_tag": False, "not_has_tag": True}


def operators_named(name: str) -> dict[str, Operator]:
    """The operators of that name or alias by the type they take: `contains` is one for texts and one for lists."""
    return _BY_NAME.get(name, {})


def positive(operator: Operator, kind: str) -> tuple[Operator, bool]:
    """The operator that holds `test` and `lower`, and whether its answer is to be negated."""
    if operator.negates is None:
        return operator, False
    return _BY_NAME[operator.negates][kind], True
