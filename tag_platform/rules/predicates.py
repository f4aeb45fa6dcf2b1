"""What a rule asks of an engine, once operators and aliases are out of the way: a dozen predicates over terms.

Operators lower to these, engines render these; neither knows the other. Every predicate is three-valued: UNKNOWN where
its term is NULL, except `IsNull`, `Truth` and `Always`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tag_platform.rules.schema import ColumnType

Comparison = Literal["=", "<", "<=", ">", ">="]
MIRRORED: dict[Comparison, Comparison] = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Term:
    """A column read as a rule type. With `element` it stands for one element of a list column, inside `AnyElement`;
    for a list `element_type` is the rule type of its elements."""

    table: str
    column: str
    stored: ColumnType
    read_as: str
    element: bool = False
    element_type: str = ""


@dataclass(frozen=True)
class Compare:
    term: Term
    op: Comparison
    value: Any


@dataclass(frozen=True)
class OneOf:
    term: Term
    values: tuple[Any, ...]


@dataclass(frozen=True)
class TextTest:
    """`contains`, `starts_with`, `ends_with` with a text, or `matches` with a parsed regular expression."""

    term: Term
    kind: Literal["contains", "starts_with", "ends_with", "matches"]
    value: Any


@dataclass(frozen=True)
class Days:
    """The term's calendar date lies in `low … high`, both included; None leaves that side open."""

    term: Term
    low: Any
    high: Any


@dataclass(frozen=True)
class MonthDays:
    """The term's (month, day) is one of these."""

    term: Term
    days: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class IsNull:
    term: Term


@dataclass(frozen=True)
class AnyElement:
    """Some element of the list is not NULL and fulfils the predicate (None: some element is not NULL)."""

    term: Term
    element: Term
    test: Predicate | None


@dataclass(frozen=True)
class FieldCompare:
    term: Term
    op: Comparison
    other: Term


@dataclass(frozen=True)
class Known:
    """The same truth value for every value of the term but NULL."""

    term: Term
    truth: bool


@dataclass(frozen=True)
class Always:
    truth: bool


@dataclass(frozen=True)
class All:
    members: tuple[Predicate, ...]


@dataclass(frozen=True)
class Some:
    members: tuple[Predicate, ...]


@dataclass(frozen=True)
class Not:
    member: Predicate


@dataclass(frozen=True)
class Truth:
    """TRUE where the member is TRUE, FALSE where it is FALSE or UNKNOWN."""

    member: Predicate


Predicate = (
    Compare
    | OneOf
    | TextTest
    | Days
    | MonthDays
    | IsNull
    | AnyElement
    | FieldCompare
    | Known
    | Always
    | All
    | Some
    | Not
    | Truth
)
