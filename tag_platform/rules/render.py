"""Renders predicates for any engine out of the primitives of `Engine`.

What is subtle (numbers, dates and booleans kept as text, numbers read as text, two fields of different types) is
written here once; an engine only adds how it spells a comparison, a regular expression, a test over a list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from tag_platform.rules import date_patterns
from tag_platform.rules.engine import Engine
from tag_platform.rules.lower import in_domain
from tag_platform.rules.predicates import (
    All,
    Always,
    AnyElement,
    Compare,
    FieldCompare,
    IsNull,
    Known,
    MonthDays,
    Not,
    OneOf,
    Predicate,
    Some,
    Term,
    TextTest,
    Truth,
)
from tag_platform.rules.schema import ColumnType, parse_type
from tag_platform.rules.text_numbers import NUMBER, SIMPLE, SIMPLE_TYPE, TextNumbers
from tag_platform.rules.values import FALSE_WORDS, TRUE_WORDS, largest_float

E = TypeVar("E")
CONDITION = "condition "  # begins the names of shared conditions, which may use other shared expressions


class Renderer(Generic[E]):
    """Renders lowered predicates (see `lower`) with one engine. Inside a list, `element` is the current element."""

    def __init__(self, engine: Engine[E], zone: ZoneInfo, element: E | None = None) -> None:
        self.engine = engine
        self.zone = zone
        self.element = element
        self.numbers: TextNumbers[E] = TextNumbers(engine)
        self._columns: dict[tuple[str, str], E] = {}

    def render(self, predicate: Predicate) -> E:
        """The predicate as one three-valued boolean expression. Costly conditions may be shared with other rules."""
        if self.element is None and _is_costly(predicate):
            name = hashlib.sha256(repr(predicate).encode()).hexdigest()[:32]
            return self.engine.shared(f"{CONDITION}{name}", self._render(predicate))
        return self._render(predicate)

    def _render(self, predicate: Predicate) -> E:
        e = self.engine
        match predicate:
            case All(members):
                return e.both([self.render(member) for member in members])
            case Some(members):
                return e.either([self.render(member) for member in members])
            case Not(member):
                return e.negate(self.render(member))
            case Truth(member):
                return e.or_false(self.render(member))
            case Always(truth):
                return e.boolean(truth)
            case Known(term, truth):
                return e.when(self.present(term), e.boolean(truth))
            case IsNull(term):
                return e.negate(self.present(term))
            case Compare():
                return self._compare(predicate)
            case OneOf(term, values):
                return self._one_of(term, values)
            case TextTest(term, kind, value):
                test = {"contains": e.contains, "starts_with": e.starts_with, "ends_with": e.ends_with}.get(kind)
                text = self.value(term)
                return e.matches(text, value) if test is None else test(text, value)
            case MonthDays(term, days):
                keys = [e.text(f"{month:02d}-{day:02d}") for month, day in days]
                return e.one_of(e.substring(self._day_text(term), 6, 5), keys)
            case AnyElement(term, element, test):
                return e.any_element(self.raw(term), term.stored, lambda item: self._element(item, element, test))
            case FieldCompare():
                return self._two_fields(predicate)
        raise TypeError(f"{type(predicate).__name__} has to be lowered before it is rendered")

    def _element(self, item: E, element: Term, test: Predicate | None) -> E:
        inner = Renderer(self.engine, self.zone, item)
        return inner.present(element) if test is None else self.engine.or_false(inner.render(test))

    def raw(self, term: Term) -> E:
        """The column, or the current element, as it is stored."""
        if term.element:
            assert self.element is not None
            return self.element
        key = (term.table, term.column)
        if key not in self._columns:
            self._columns[key] = self.engine.column(term.table, term.column, term.stored)
        return self._columns[key]

    def present(self, term: Term) -> E:
        """TRUE where the term has a value, otherwise FALSE."""
        e = self.engine
        if term.stored.base == "string" and term.read_as not in ("string", "boolean"):
            return e.or_false(e.found(self._trimmed(term), self._pattern(term)))
        value = self.raw(term) if term.read_as == "list" else self.value(term)
        return e.negate(e.is_null(value))

    def value(self, term: Term) -> E:
        """The value in the domain that lowered literals are in; numbers kept as text stay valid text."""
        e, stored, raw = self.engine, term.stored, self.raw(term)
        if stored.base == "string":
            return self._from_text(term)
        if term.read_as == "string":
            return self._as_text(term)
        return e.float_number(raw) if stored.base == "float" else raw

    def _trimmed(self, term: Term) -> E:
        return self.engine.trimmed(self.raw(term))

    def _pattern(self, term: Term) -> str:
        return NUMBER if term.read_as == "number" else date_patterns.DATE_OR_DATETIME

    def _from_text(self, term: Term) -> E:
        e = self.engine
        if term.read_as == "string":
            return self.raw(term)
        text = self._trimmed(term)
        if term.read_as == "boolean":
            word = e.lowered(text)
            is_false = e.one_of(word, [e.text(w) for w in FALSE_WORDS])
            is_true = e.one_of(word, [e.text(w) for w in TRUE_WORDS])
            return e.when(is_true, e.boolean(True), e.when(is_false, e.boolean(False)))
        valid = e.found(text, self._pattern(term))
        if term.read_as == "number":
            return e.when(valid, text)
        if term.read_as == "date":
            return e.when(valid, e.substring(text, 1, 10))
        micros = e.substring(e.concat([e.substring(text, 21), e.text("000000")]), 1, 6)
        full = e.concat([e.substring(text, 1, 10), e.text(" "), e.substring(text, 12, 8), e.text("."), micros])
        midnight = e.concat([text, e.text(" 00:00:00.000000")])
        return e.when(valid, e.when(e.compare("=", e.length(text), e.integer(10)), midnight, full))

    def _as_text(self, term: Term) -> E:
        """A number, date or boolean as its text; floating-point numbers as Spark writes them."""
        e, stored, raw = self.engine, term.stored, self.raw(term)
        if stored.base == "boolean":
            return e.when(raw, e.text("true"), e.when(e.negate(raw), e.text("false")))
        if stored.base == "date":
            return e.day_text(raw)
        if stored.base == "int":
            return e.integer_text(raw)
        return e.decimal_text(raw, stored) if stored.base == "decimal" else self._float_text(raw, stored)

    def _float_text(self, raw: E, stored: ColumnType) -> E:
        e = self.engine
        number, text = e.float_number(raw), e.float_text(raw, stored)
        parts = self.numbers.parts(text)
        figures = [
            e.when(e.compare("<", parts.sign, e.integer(0)), e.text("-"), e.text("")),
            e.substring(parts.figures, 1, 1),
            e.text("."),
            e.when(e.compare("=", e.length(parts.figures), e.integer(1)), e.text("0"), e.substring(parts.figures, 2)),
            e.text("E"),
            e.integer_text(e.add(parts.power, e.integer(-1))),
        ]
        plain = e.when(e.found(text, "[.]"), text, e.concat([text, e.text(".0")]))
        largest = largest_float(stored.bits)
        size = e.when(e.compare("<", number, e.double(0.0)), e.negative(number), number)
        near = [e.compare(">=", size, e.double(1e-3)), e.compare("<", size, e.double(1e7))]
        is_plain = e.either([e.both(near), e.compare("=", number, e.double(0.0))])
        written = e.when(is_plain, plain, e.concat(figures))
        written = e.when(e.compare("<", number, e.double(-largest)), e.text("-Infinity"), written)
        written = e.when(e.compare(">", number, e.double(largest)), e.text("Infinity"), written)
        return e.when(e.negate(e.is_null(number)), written)

    def _compare(self, predicate: Compare) -> E:
        e, term, op = self.engine, predicate.term, predicate.op
        if _is_text_number(term):
            return self._compare_text_number(predicate)
        return e.compare(op, self.value(term), self._literal(term, predicate.value))

    def _compare_text_number(self, predicate: Compare) -> E:
        e, term, op = self.engine, predicate.term, predicate.op
        text = self._trimmed(term)
        simple = self._shared(term, "simple", e.found(text, SIMPLE))
        # A condition of its own on what is cast: an engine may compute a branch that is not taken.
        as_decimal = self._shared(term, "decimal", e.text_to_decimal(e.when(simple, text), SIMPLE_TYPE))
        in_simple = in_domain(replace(term, stored=SIMPLE_TYPE), op, predicate.value, ZoneInfo("UTC"))
        if isinstance(in_simple, Compare):
            quick = e.compare(in_simple.op, as_decimal, e.decimal(in_simple.value, SIMPLE_TYPE))
        else:
            assert isinstance(in_simple, Known)
            quick = e.boolean(in_simple.truth)
        exact = self.numbers.compare_literal(op, self.numbers.parts(text), predicate.value)
        return e.when(simple, quick, e.when(self._shared(term, "number", e.found(text, NUMBER)), exact))

    def _shared(self, term: Term, what: str, expression: E) -> E:
        """What every rule makes of the same column; an element of a list is nobody else's."""
        return expression if term.element else self.engine.shared(f"{term.table}.{term.column} {what}", expression)

    def _one_of(self, term: Term, values: Sequence[Any]) -> E:
        e = self.engine
        if _is_text_number(term):
            text = self._trimmed(term)
            return e.when(e.found(text, NUMBER), self.numbers.one_of(self.numbers.parts(text), values))
        return e.one_of(self.value(term), [self._literal(term, value) for value in values])

    def _literal(self, term: Term, value: Any) -> E:
        e = self.engine
        if isinstance(value, bool):
            return e.boolean(value)
        if isinstance(value, int):
            return e.instant(value) if term.read_as == "datetime" else e.integer(value)
        if isinstance(value, datetime):
            return e.wall(value)
        if isinstance(value, date):
            return e.day(value)
        if isinstance(value, Decimal):
            return e.decimal(value, term.stored)
        return e.double(value) if isinstance(value, float) else e.text(value)

    def _day_text(self, term: Term) -> E:
        e, stored = self.engine, term.stored
        if stored.base == "date":
            return e.day_text(self.raw(term))
        if stored.base != "timestamp":
            return self.value(term) if stored.base == "string" else e.wall_text(self.raw(term))
        return e.local_text(self.raw(term), self.zone)

    def _two_fields(self, predicate: FieldCompare) -> E:
        e, x, y, op = self.engine, predicate.term, predicate.other, predicate.op
        bases = {x.stored.base, y.stored.base}
        if x.read_as == "number":
            return self._two_numbers(predicate)
        if x.read_as == "date" and bases != {"date"}:
            return e.compare(op, self._day_text(x), self._day_text(y))
        if x.read_as == "datetime" and len(bases) > 1:
            return e.compare(op, self._day_text(x), self._day_text(y))
        return e.compare(op, self.value(x), self.value(y))

    def _two_numbers(self, predicate: FieldCompare) -> E:
        """As doubles, unless both are exact; decimals whose common type would not fit are compared figure by figure."""
        e, x, y, op = self.engine, predicate.term, predicate.other, predicate.op
        stored = [x.stored, y.stored]
        if any(kind.base in ("float", "string") for kind in stored):
            return e.compare(op, self._as_double(x), self._as_double(y))
        if all(kind.base == "int" for kind in stored) or stored[0] == stored[1]:
            return e.compare(op, self.raw(x), self.raw(y))
        whole = max(19 if kind.base == "int" else kind.precision - kind.scale for kind in stored)
        scale = max(kind.scale for kind in stored)
        if whole + scale <= 38:
            common = parse_type(f"decimal({whole + scale},{scale})")
            return e.compare(op, e.to_decimal(self.raw(x), common), e.to_decimal(self.raw(y), common))
        left, right = (self.numbers.parts(self._as_text(term)) for term in (x, y))
        return self.numbers.compare(op, left, right)

    def _as_double(self, term: Term) -> E:
        e = self.engine
        if term.stored.base == "string":
            return e.float_number(e.text_to_double(self.value(term)))
        if term.stored.base == "decimal":  # by its text: Sail divides two doubles, which rounds twice
            return e.text_to_double(self._as_text(term))
        return e.float_number(self.raw(term)) if term.stored.base == "float" else e.to_double(self.raw(term))


def _is_text_number(term: Term) -> bool:
    return term.stored.base == "string" and term.read_as == "number"


def _is_costly(predicate: Predicate) -> bool:
    """Whether a condition takes more than a comparison: patterns, texts that are read as something else, lists."""
    match predicate:
        case TextTest(_, kind, _):
            return kind == "matches"
        case AnyElement() | MonthDays():
            return True
        case Compare(term) | OneOf(term):
            return term.stored.base == "string" and term.read_as != "string"
    return False
