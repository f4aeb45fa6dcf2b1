"""SQL expressions with their parameters, and the primitives that all dialects spell alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from tag_platform.rules.predicates import Comparison
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.zones import local_text


@dataclass(frozen=True)
class Sql:
    """A piece of SQL; `params` are in the order of their placeholders. `kind` is `text` for texts."""

    text: str
    params: tuple[object, ...] = ()
    kind: Literal["", "text"] = ""


class SqlEngine:
    """Primitives of `Engine` in SQL. A dialect sets the class attributes and adds what is missing here."""

    placeholder: str
    quote: str
    text_type: str
    integer_type: str
    instant_type: str

    def __init__(self, column: Callable[[str, str], str] | None = None) -> None:
        self._column = column or self._quoted

    def _quoted(self, table: str, column: str) -> str:
        names = [name for name in (table, column) if name]
        return ".".join(self.quote + name.replace(self.quote, self.quote * 2) + self.quote for name in names)

    def sql(self, template: str, *parts: Sql, kind: Literal["", "text"] = "") -> Sql:
        """The template with each `{}` replaced by the next part."""
        params = tuple(param for part in parts for param in part.params)
        return Sql(template.format(*(part.text for part in parts)), params, kind)

    def param(self, value: object, type_name: str, kind: Literal["", "text"] = "") -> Sql:
        return Sql(f"CAST({self.placeholder} AS {type_name})", (value,), kind)

    def shared(self, name: str, expression: Sql) -> Sql:  # noqa: ARG002
        return expression

    # literals
    def text(self, value: str) -> Sql:
        return self.param(value, self.text_type, "text")

    def integer(self, value: int) -> Sql:
        return self.param(value, self.integer_type)

    def double(self, value: float) -> Sql:
        return self.param(value, "DOUBLE")

    def decimal(self, value: Decimal, stored: ColumnType) -> Sql:
        return self.param(format(value, "f"), stored.name.upper())

    def boolean(self, value: bool) -> Sql:
        return Sql("TRUE" if value else "FALSE")

    def day(self, value: date) -> Sql:
        return self.param(value.isoformat(), "DATE")

    def wall(self, value: datetime) -> Sql:
        return self.param(value.isoformat(sep=" "), self.instant_type)

    # logic
    def both(self, members: Sequence[Sql]) -> Sql:
        return self._joined(" AND ", members)

    def either(self, members: Sequence[Sql]) -> Sql:
        return self._joined(" OR ", members)

    def _joined(self, word: str, members: Sequence[Sql]) -> Sql:
        return self.sql("(" + word.join(["{}"] * len(members)) + ")", *members)

    def negate(self, member: Sql) -> Sql:
        return self.sql("(NOT {})", member)

    def is_null(self, member: Sql) -> Sql:
        return self.sql("({} IS NULL)", member)

    def or_false(self, member: Sql) -> Sql:
        return self.sql("COALESCE({}, FALSE)", member)

    def when(self, condition: Sql, then: Sql, otherwise: Sql | None = None) -> Sql:
        if otherwise is None:
            return self.sql("CASE WHEN {} THEN {} END", condition, then, kind=then.kind)
        return self.sql("CASE WHEN {} THEN {} ELSE {} END", condition, then, otherwise, kind=then.kind)

    def compare(self, op: Comparison, left: Sql, right: Sql) -> Sql:
        return self.sql("({} " + op + " {})", self.ordered(left), self.ordered(right))

    def one_of(self, member: Sql, literals: Sequence[Sql]) -> Sql:
        places = ", ".join(["{}"] * len(literals))
        return self.sql("({} IN (" + places + "))", self.ordered(member), *map(self.ordered, literals))

    def ordered(self, member: Sql) -> Sql:
        """The expression so that texts compare by code point."""
        return member

    # texts
    def length(self, text: Sql) -> Sql:
        return self.sql("CHAR_LENGTH({})", text)

    def lowered(self, text: Sql) -> Sql:
        return self.sql("LOWER({})", text, kind="text")

    def substring(self, text: Sql, start: int, length: int | None = None) -> Sql:
        if length is None:
            return self.sql(f"SUBSTRING({{}}, {start})", text, kind="text")
        return self.sql(f"SUBSTRING({{}}, {start}, {length})", text, kind="text")

    # conversions
    def cast(self, value: Sql, type_name: str, kind: Literal["", "text"] = "") -> Sql:
        return self.sql(f"CAST({{}} AS {type_name})", value, kind=kind)

    def clamped_bigint(self, text: Sql, limit: int) -> Sql:
        number = self.text_to_double(text)
        return self.cast(self.sql(f"LEAST(GREATEST({{}}, -{limit}e0), {limit}e0)", number), self.integer_type)

    def text_to_double(self, text: Sql) -> Sql:
        raise NotImplementedError

    def without(self, text: Sql, mark: str) -> Sql:
        return self.sql("REPLACE({}, {}, {})", text, self.text(mark), self.text(""), kind="text")

    def text_to_decimal(self, text: Sql, target: ColumnType) -> Sql:
        return self.cast(text, target.name.upper())

    def to_double(self, number: Sql) -> Sql:
        return self.cast(number, "DOUBLE")

    def to_decimal(self, number: Sql, target: ColumnType) -> Sql:
        return self.cast(number, target.name.upper())

    def integer_text(self, number: Sql) -> Sql:
        return self.cast(number, self.text_type, "text")

    def decimal_text(self, number: Sql, stored: ColumnType) -> Sql:  # noqa: ARG002
        return self.integer_text(number)

    def float_text(self, number: Sql, stored: ColumnType) -> Sql:  # noqa: ARG002
        return self.integer_text(number)

    def day_text(self, day: Sql) -> Sql:
        return self.integer_text(day)

    def add(self, left: Sql, right: Sql) -> Sql:
        return self.sql("({} + {})", left, right)

    def negative(self, number: Sql) -> Sql:
        return self.sql("(- {})", number)

    # timestamps
    def local_text(self, moment: Sql, zone: ZoneInfo) -> Sql:
        return local_text(self, self.micros(moment), zone)

    def micros(self, moment: Sql) -> Sql:
        raise NotImplementedError

    def day_number(self, days: Sql) -> Sql:
        raise NotImplementedError

    def modulo(self, number: Sql, divisor: int) -> Sql:
        raise NotImplementedError

    def quotient(self, number: Sql, divisor: int) -> Sql:
        raise NotImplementedError

    def concat(self, members: Sequence[Sql]) -> Sql:
        raise NotImplementedError
