"""Renders rules as Spark columns, with functions that Spark 3.5, Spark 4 and Sail have, ANSI mode on or off.

The session's time zone does not matter: timestamps are compared as instants, and local dates are computed from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from pyspark.sql import Column
from pyspark.sql import functions as F

from tag_platform.rules.lower import lower
from tag_platform.rules.model import Rule
from tag_platform.rules.predicates import Comparison
from tag_platform.rules.regex import Regex, parse_regex
from tag_platform.rules.render import Renderer
from tag_platform.rules.schema import ColumnType

ColumnOf = Callable[[str, str], Column]
Share = Callable[[str, Column], Column]


def compile_rule(
    rule: Rule, as_of: date, column: ColumnOf, timezone: str = "UTC", share: Share | None = None
) -> Column:
    """The rule as one three-valued boolean column; the user has the tag where it is TRUE.

    `column(table, name)` gives the column of a field, with the type that the rule's schema says is stored.
    `share(name, expression)` may give a column that stands for an expression that other rules need as well.
    """
    return Renderer(SparkEngine(column, share), ZoneInfo(timezone)).render(lower(rule.root, as_of, ZoneInfo(timezone)))


class SparkEngine:
    """The primitives of `Engine` as Spark columns."""

    def __init__(self, column: ColumnOf, share: Share | None = None) -> None:
        self._column = column
        self._share = share

    def shared(self, name: str, expression: Column) -> Column:
        return expression if self._share is None else self._share(name, expression)

    def column(self, table: str, column: str, stored: ColumnType) -> Column:  # noqa: ARG002
        return self._column(table, column)

    def text(self, value: str) -> Column:
        return F.lit(value)

    def integer(self, value: int) -> Column:
        return F.lit(value).cast("bigint")

    def double(self, value: float) -> Column:
        return F.lit(value)

    def decimal(self, value: Decimal, stored: ColumnType) -> Column:
        return F.lit(format(value, "f")).cast(stored.name)

    def boolean(self, value: bool) -> Column:
        return F.lit(value)

    def day(self, value: date) -> Column:
        return F.lit(value.isoformat()).cast("date")  # a date literal fails before the year 1000 on classic Spark

    def instant(self, microseconds: int) -> Column:
        return F.timestamp_micros(F.lit(microseconds))

    def wall(self, value: datetime) -> Column:
        return F.lit(value.isoformat(sep=" ")).cast("timestamp_ntz")

    def both(self, members: Sequence[Column]) -> Column:
        return _balanced(members, lambda a, b: a & b)

    def either(self, members: Sequence[Column]) -> Column:
        return _balanced(members, lambda a, b: a | b)

    def negate(self, member: Column) -> Column:
        return ~member

    def is_null(self, member: Column) -> Column:
        return member.isNull()

    def or_false(self, member: Column) -> Column:
        return F.coalesce(member, F.lit(False))

    def when(self, condition: Column, then: Column, otherwise: Column | None = None) -> Column:
        chosen = F.when(condition, then)
        return chosen if otherwise is None else chosen.otherwise(otherwise)

    def compare(self, op: Comparison, left: Column, right: Column) -> Column:
        if op == "=":
            return left == right
        if op in ("<", "<="):
            return left < right if op == "<" else left <= right
        return left > right if op == ">" else left >= right

    def one_of(self, member: Column, literals: Sequence[Column]) -> Column:
        return member.isin(*literals)

    def found(self, text: Column, pattern: str) -> Column:
        return text.rlike(parse_regex(pattern).written("java"))

    def matches(self, text: Column, regex: Regex) -> Column:
        java, rust = regex.written("java"), regex.written("rust")
        if java == rust:
            return text.rlike(java)
        # Only Java can express an ASCII \b in look-around, only Sail's Rust in a flag. Which of the two this is, a
        # constant tells: Java's (?i) is for ASCII alone. Both engines fold it away.
        is_rust = F.lit("É").rlike("(?i)é")
        return F.rlike(text, F.when(is_rust, F.lit(rust)).otherwise(F.lit(java)))

    def zeros_left(self, text: Column) -> Column:
        return F.regexp_replace(text, "^0+", "")

    def zeros_right(self, text: Column) -> Column:
        return F.regexp_replace(text, "0+$", "")

    def before(self, text: Column, mark: str) -> Column:
        return F.substring_index(text, mark, 1)

    def after(self, text: Column, mark: str) -> Column:
        return F.regexp_replace(text, f"^[^{mark}]*[{mark}]?", "")

    def without(self, text: Column, mark: str) -> Column:
        return F.translate(text, mark, "")

    def unsigned(self, text: Column) -> Column:
        return F.regexp_replace(text, "^[+-]+", "")

    def contains(self, text: Column, part: str) -> Column:
        return text.contains(part)

    def starts_with(self, text: Column, part: str) -> Column:
        return text.startswith(part)

    def ends_with(self, text: Column, part: str) -> Column:
        return text.endswith(part)

    def trimmed(self, text: Column) -> Column:
        return F.trim(text)

    def lowered(self, text: Column) -> Column:
        return F.lower(text)

    def length(self, text: Column) -> Column:
        return F.length(text).cast("bigint")

    def concat(self, members: Sequence[Column]) -> Column:
        return F.concat(*members)

    def substring(self, text: Column, start: int, length: int | None = None) -> Column:
        return F.substring(text, start, 2**31 - 1 - start if length is None else length)

    def clamped_bigint(self, text: Column, limit: int) -> Column:
        number = F.greatest(text.cast("double"), F.lit(float(-limit)))
        return F.least(number, F.lit(float(limit))).cast("bigint")

    def text_to_decimal(self, text: Column, target: ColumnType) -> Column:
        return text.cast(target.name)

    def text_to_double(self, text: Column) -> Column:
        return text.cast("double")

    def to_double(self, number: Column) -> Column:
        return number.cast("double")

    def to_decimal(self, number: Column, target: ColumnType) -> Column:
        return number.cast(target.name)

    def float_number(self, number: Column) -> Column:
        return F.when(~F.isnan(number), number.cast("double") + F.lit(0.0))

    def integer_text(self, number: Column) -> Column:
        return number.cast("string")

    def decimal_text(self, number: Column, stored: ColumnType) -> Column:
        text = number.cast("string")
        if stored.scale <= 6:
            return text
        # Outside ANSI mode Spark writes small decimals of a large scale as 1E-9: add 1, and cut it off again.
        wide = f"decimal({min(stored.scale + 2, 38)},{min(stored.scale, 36)})"
        small = F.abs(number) < F.lit("0.01").cast("decimal(3,2)")
        shifted = (F.abs(F.when(small, number)).cast(wide) + F.lit(1).cast(wide)).cast("string")
        sign = F.when(number < F.lit(0), F.lit("-")).otherwise(F.lit(""))
        return F.when(small, F.concat(sign, F.lit("0"), F.substring(shifted, 2, 2**31 - 3))).otherwise(text)

    def float_text(self, number: Column, stored: ColumnType) -> Column:  # noqa: ARG002
        return number.cast("string")

    def day_text(self, day: Column) -> Column:
        return F.date_format(day, "yyyy-MM-dd")

    def wall_text(self, moment: Column) -> Column:
        return F.date_format(moment, "yyyy-MM-dd HH:mm:ss.SSSSSS")

    def local_text(self, moment: Column, zone: ZoneInfo) -> Column:
        # The engines differ in what the session's zone does to casts of timestamps; microseconds are the same to all.
        day = F.lit(86_400_000_000).cast("bigint")
        micros = F.unix_micros(moment)
        in_day = F.pmod(micros, day)
        # The slash divides doubles, which is exact for multiples of a day.
        midnight = F.date_add(F.lit("1970-01-01").cast("date"), ((micros - in_day) / day).cast("int"))
        seconds = (in_day / F.lit(1_000_000)).cast("decimal(12,6)")
        since = F.make_dt_interval(F.lit(0), F.lit(0), F.lit(0), seconds)
        local = F.convert_timezone(F.lit("UTC"), F.lit(str(zone)), midnight.cast("timestamp_ntz") + since)
        return self.wall_text(local)

    def add(self, left: Column, right: Column) -> Column:
        return left + right

    def negative(self, number: Column) -> Column:
        return -number

    def any_element(self, elements: Column, stored: ColumnType, test: Callable[[Column], Column]) -> Column:  # noqa: ARG002
        return F.exists(elements, test)


def _balanced(members: Sequence[Column], join: Callable[[Column, Column], Column]) -> Column:
    """A tree of equal depth on both sides: a chain of a thousand conditions would overflow the planner's stack."""
    if len(members) == 1:
        return members[0]
    middle = len(members) // 2
    return join(_balanced(members[:middle], join), _balanced(members[middle:], join))
