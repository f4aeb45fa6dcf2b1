"""The primitives that rules need of an engine. `E` is the engine's expression: a Spark column, or a piece of SQL with
its parameters. All of them give NULL for NULL where nothing else is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from tag_platform.rules.predicates import Comparison
from tag_platform.rules.regex import Regex
from tag_platform.rules.schema import ColumnType

E = TypeVar("E")


class Engine(Protocol[E]):
    def column(self, table: str, column: str, stored: ColumnType) -> E:
        """A column as it is stored; texts so that they compare by code point."""

    def shared(self, name: str, expression: E) -> E:
        """The expression, or what stands for it: the same name is the same expression in every rule."""

    # literals
    def text(self, value: str) -> E: ...
    def integer(self, value: int) -> E: ...
    def double(self, value: float) -> E: ...
    def decimal(self, value: Decimal, stored: ColumnType) -> E: ...
    def boolean(self, value: bool) -> E: ...
    def day(self, value: date) -> E: ...
    def instant(self, microseconds: int) -> E: ...
    def wall(self, value: datetime) -> E: ...

    # logic, three-valued
    def both(self, members: Sequence[E]) -> E: ...
    def either(self, members: Sequence[E]) -> E: ...
    def negate(self, member: E) -> E: ...
    def is_null(self, member: E) -> E: ...
    def or_false(self, member: E) -> E: ...
    def when(self, condition: E, then: E, otherwise: E | None = None) -> E:
        """`otherwise` (NULL if not given) also where the condition is UNKNOWN."""

    def compare(self, op: Comparison, left: E, right: E) -> E: ...
    def one_of(self, member: E, literals: Sequence[E]) -> E: ...

    # texts
    def found(self, text: E, pattern: str) -> E:
        """Whether one of this package's own patterns is found (ASCII, no newline after `$`)."""

    def matches(self, text: E, regex: Regex) -> E: ...
    def zeros_left(self, text: E) -> E:
        """Without leading zeros."""

    def zeros_right(self, text: E) -> E:
        """Without trailing zeros."""

    def before(self, text: E, mark: str) -> E:
        """What stands before the mark; the whole text where there is none."""

    def after(self, text: E, mark: str) -> E:
        """What stands behind the mark; the empty text where there is none."""

    def contains(self, text: E, part: str) -> E: ...
    def starts_with(self, text: E, part: str) -> E: ...
    def ends_with(self, text: E, part: str) -> E: ...
    def trimmed(self, text: E) -> E:
        """Without blanks (U+0020) around it."""

    def lowered(self, text: E) -> E: ...
    def length(self, text: E) -> E: ...
    def concat(self, members: Sequence[E]) -> E: ...
    def substring(self, text: E, start: int, length: int | None = None) -> E:
        """From position `start`, the first being 1."""

    def without(self, text: E, mark: str) -> E:
        """Without any of that character."""

    def unsigned(self, text: E) -> E:
        """Without signs at its start."""

    # conversions
    def clamped_bigint(self, text: E, limit: int) -> E:
        """Of a whole number's text, moved into -limit … limit."""

    def text_to_decimal(self, text: E, target: ColumnType) -> E: ...
    def text_to_double(self, text: E) -> E:
        """Of a number's text; infinite where it is too large."""

    def to_double(self, number: E) -> E: ...
    def to_decimal(self, number: E, target: ColumnType) -> E: ...
    def float_number(self, number: E) -> E:
        """A float or double as double; NaN as NULL, and -0.0 as 0.0."""

    def integer_text(self, number: E) -> E: ...
    def decimal_text(self, number: E, stored: ColumnType) -> E: ...
    def float_text(self, number: E, stored: ColumnType) -> E:
        """The shortest digits that read back as the number, in any notation with point or exponent."""

    def day_text(self, day: E) -> E: ...
    def local_text(self, moment: E, zone: ZoneInfo) -> E:
        """`YYYY-MM-DD HH:MM:SS.ffffff` of a timestamp (an instant) on the clocks of that zone."""

    def wall_text(self, moment: E) -> E:
        """`YYYY-MM-DD HH:MM:SS.ffffff` of a timestamp without zone."""

    def add(self, left: E, right: E) -> E: ...
    def negative(self, number: E) -> E: ...

    def any_element(self, elements: E, stored: ColumnType, test: Callable[[E], E]) -> E:
        """Whether the test is TRUE for an element; the test never gives NULL."""
