"""The DuckDB dialect of rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tag_platform.rules.regex import Regex, parse_regex
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.sql import Sql, SqlEngine


class DuckDbEngine(SqlEngine):
    """Primitives as DuckDB spells them."""

    placeholder = "?"
    quote = '"'
    text_type = "VARCHAR"
    integer_type = "BIGINT"
    instant_type = "TIMESTAMP"

    def column(self, table: str, column: str, stored: ColumnType) -> Sql:
        return Sql(self._column(table, column), kind="text" if stored.base == "string" else "")

    def instant(self, microseconds: int) -> Sql:
        return self.sql("make_timestamptz({})", self.integer(microseconds))

    def found(self, text: Sql, pattern: str) -> Sql:
        return self.matches(text, parse_regex(pattern))

    def matches(self, text: Sql, regex: Regex) -> Sql:
        return self.sql("regexp_matches({}, {})", text, Sql("?", (regex.written("re2"),)))

    def contains(self, text: Sql, part: str) -> Sql:
        return self.sql("contains({}, {})", text, self.text(part))

    def starts_with(self, text: Sql, part: str) -> Sql:
        return self.sql("starts_with({}, {})", text, self.text(part))

    def ends_with(self, text: Sql, part: str) -> Sql:
        return self.sql("ends_with({}, {})", text, self.text(part))

    def trimmed(self, text: Sql) -> Sql:
        return self.sql("trim({}, ' ')", text, kind="text")

    def zeros_left(self, text: Sql) -> Sql:
        return self.sql("ltrim({}, '0')", text, kind="text")

    def zeros_right(self, text: Sql) -> Sql:
        return self.sql("rtrim({}, '0')", text, kind="text")

    def before(self, text: Sql, mark: str) -> Sql:
        return self.sql("split_part({}, {}, 1)", text, self.text(mark), kind="text")

    def after(self, text: Sql, mark: str) -> Sql:
        return self.sql("split_part({}, {}, 2)", text, self.text(mark), kind="text")

    def length(self, text: Sql) -> Sql:
        return self.sql("length({})", text)

    def concat(self, members: Sequence[Sql]) -> Sql:
        return self.sql("(" + " || ".join(["{}"] * len(members)) + ")", *members, kind="text")

    def text_to_double(self, text: Sql) -> Sql:
        plain = self.sql("ltrim({}, '+')", text)
        # What is too large for a double is no error and no NULL, but infinite.
        sign = "CAST(CASE WHEN starts_with({}, '-') THEN '-inf' ELSE 'inf' END AS DOUBLE)"
        infinite = "CASE WHEN {} IS NOT NULL THEN " + sign + " END"
        return self.sql("COALESCE(TRY_CAST({} AS DOUBLE), " + infinite + ")", plain, text, text)

    def unsigned(self, text: Sql) -> Sql:
        return self.sql("ltrim({}, '+-')", text, kind="text")

    def float_number(self, number: Sql) -> Sql:
        return self.sql("CASE WHEN NOT isnan({}) THEN CAST({} AS DOUBLE) END", number, number)

    def wall_text(self, moment: Sql) -> Sql:
        return self.sql("strftime({}, '%Y-%m-%d %H:%M:%S.%f')", moment, kind="text")

    def micros(self, moment: Sql) -> Sql:
        return self.sql("epoch_us({})", moment)

    def day_number(self, days: Sql) -> Sql:
        return self.sql("(DATE '1970-01-01' + CAST({} AS INTEGER))", days)

    def modulo(self, number: Sql, divisor: int) -> Sql:
        return self.sql(f"((({{}} % {divisor}) + {divisor}) % {divisor})", number)

    def quotient(self, number: Sql, divisor: int) -> Sql:
        return self.sql(f"({{}} // {divisor})", number)

    def any_element(self, elements: Sql, stored: ColumnType, test: Callable[[Sql], Sql]) -> Sql:
        is_text = stored.element is not None and stored.element.base == "string"
        condition = test(Sql("x", kind="text" if is_text else ""))
        return self.sql("(len(list_filter({}, lambda x: {})) > 0)", elements, condition)
