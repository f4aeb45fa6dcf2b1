"""The dialect of MySQL 8.0 and MariaDB 10.6 and newer.

Texts are compared as bytes: every collation of these servers folds something (case, accents, trailing spaces). Bytes
of UTF-8 are in the order of code points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tag_platform.rules.regex import Regex, parse_regex
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.sql import Sql, SqlEngine
from tag_platform.rules.values import EPOCH

_ELEMENT_TYPES = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "string": "LONGTEXT",
    "boolean": "TINYINT",
    "date": "DATE",
    "timestamp": "DATETIME(6)",
    "timestamp_ntz": "DATETIME(6)",
}


class MySqlEngine(SqlEngine):
    """Primitives as MySQL and MariaDB both spell them."""

    placeholder = "%s"
    quote = "`"
    text_type = "CHAR CHARACTER SET utf8mb4"
    integer_type = "SIGNED"
    instant_type = "DATETIME(6)"

    def column(self, table: str, column: str, stored: ColumnType) -> Sql:
        return self._typed(Sql(self._column(table, column)), stored)

    def _typed(self, column: Sql, stored: ColumnType) -> Sql:
        return self.sql("CONVERT({} USING utf8mb4)", column, kind="text") if stored.base == "string" else column

    def ordered(self, member: Sql) -> Sql:
        return self.sql("CAST({} AS BINARY)", member) if member.kind == "text" else member

    def instant(self, microseconds: int) -> Sql:
        try:
            moment = EPOCH + timedelta(microseconds=microseconds)
        except OverflowError:
            moment = datetime.min if microseconds < 0 else datetime.max
        return self.wall(moment)

    def found(self, text: Sql, pattern: str) -> Sql:
        return self.matches(text, parse_regex(pattern))

    def matches(self, text: Sql, regex: Regex) -> Sql:
        return self.sql("({} COLLATE utf8mb4_bin REGEXP {})", text, Sql("%s", (regex.written("java"),)))

    def contains(self, text: Sql, part: str) -> Sql:
        return self.sql("(LOCATE({}, {}) > 0)", self.ordered(self.text(part)), self.ordered(text))

    def starts_with(self, text: Sql, part: str) -> Sql:
        size = len(part.encode())
        return self.sql(f"(LEFT({{}}, {size}) = {{}})", self.ordered(text), self.ordered(self.text(part)))

    def ends_with(self, text: Sql, part: str) -> Sql:
        size = len(part.encode())
        return self.sql(f"(RIGHT({{}}, {size}) = {{}})", self.ordered(text), self.ordered(self.text(part)))

    def trimmed(self, text: Sql) -> Sql:
        return self.sql("TRIM(BOTH ' ' FROM {})", text, kind="text")

    def zeros_left(self, text: Sql) -> Sql:
        return self.sql("TRIM(LEADING '0' FROM {})", text, kind="text")

    def zeros_right(self, text: Sql) -> Sql:
        return self.sql("TRIM(TRAILING '0' FROM {})", text, kind="text")

    def before(self, text: Sql, mark: str) -> Sql:
        return self.sql("SUBSTRING_INDEX({}, {}, 1)", text, self.text(mark), kind="text")

    def after(self, text: Sql, mark: str) -> Sql:
        # Up to the second mark, and of that what is behind the first.
        template = "SUBSTRING_INDEX(SUBSTRING_INDEX(CONCAT({}, {}), {}, 2), {}, -1)"
        return self.sql(template, text, *[self.text(mark)] * 3, kind="text")

    def unsigned(self, text: Sql) -> Sql:
        return self.sql("TRIM(LEADING '+' FROM TRIM(LEADING '-' FROM {}))", text, kind="text")

    def concat(self, members: Sequence[Sql]) -> Sql:
        return self.sql("CONCAT(" + ", ".join(["{}"] * len(members)) + ")", *members, kind="text")

    def text_to_double(self, text: Sql) -> Sql:
        return self.cast(text, "DOUBLE")

    def float_number(self, number: Sql) -> Sql:
        return self.sql("({} + 0e0)", number)

    def wall_text(self, moment: Sql) -> Sql:
        return self.cast(self.cast(moment, "DATETIME(6)"), self.text_type, "text")

    def micros(self, moment: Sql) -> Sql:
        return self.sql("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {})", moment)

    def day_number(self, days: Sql) -> Sql:
        return self.sql("DATE_ADD(CAST('1970-01-01' AS DATE), INTERVAL {} DAY)", days)

    def modulo(self, number: Sql, divisor: int) -> Sql:
        return self.sql(f"MOD(MOD({{}}, {divisor}) + {divisor}, {divisor})", number)

    def quotient(self, number: Sql, divisor: int) -> Sql:
        return self.sql(f"({{}} DIV {divisor})", number)

    def any_element(self, elements: Sql, stored: ColumnType, test: Callable[[Sql], Sql]) -> Sql:
        assert stored.element is not None
        element = stored.element
        kind = element.name.upper() if element.base == "decimal" else _ELEMENT_TYPES[element.base]
        table = f"JSON_TABLE({{}}, '$[*]' COLUMNS (x {kind} PATH '$')) AS elements"
        exists = "EXISTS (SELECT 1 FROM " + table + " WHERE {})"  # noqa: S608 (no value is in it)
        condition = test(self._typed(Sql("elements.x"), element))
        return self.sql(f"CASE WHEN {{}} IS NOT NULL THEN {exists} END", elements, elements, condition)
