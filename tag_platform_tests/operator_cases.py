"""One case or more for every operator and every type that it takes, written by hand from the specification: the values
of a column for which a condition is TRUE, and those for which it is FALSE. NULL is UNKNOWN without saying so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tag_platform.rules.dataset import Dataset
from tag_platform.rules.schema import parse_type
from tag_platform_tests.rule_engines import Batch

TODAY = date(2026, 3, 10)
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Case:
    """`operator` over a column `stored` read as `kind`. `unknown` holds stored values that count as NULL."""

    operator: str
    kind: str
    stored: str
    value: Any
    true: tuple[Any, ...]
    false: tuple[Any, ...]
    unknown: tuple[Any, ...] = ()
    as_of: date = TODAY

    def leaf(self, column: str) -> dict[str, Any]:
        leaf = {"field": column, "operator": self.operator, "type": self.kind}
        return leaf if self.value is None else {**leaf, "value": self.value}

    @property
    def expected(self) -> list[tuple[Any, bool | None]]:
        """Stored values with the truth for each; NULL is among them."""
        of_null = {"is_null": True, "is_not_null": False}.get(self.operator)
        unknown = [(value, of_null) for value in (None, *self.unknown)]
        return [*((value, True) for value in self.true), *((value, False) for value in self.false), *unknown]

    def __str__(self) -> str:
        return f"{self.operator} {self.kind} {self.stored} {self.value!r}"


def day(text: str) -> date:
    return date.fromisoformat(text)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


D = Decimal
JAN, FEB, MAR = day("2026-01-31"), day("2026-02-28"), day("2026-03-01")
NOON = at("2026-01-31 12:00:00")
NOT_NUMBERS = ("", " ", "abc", "1 2", "1,000", "0x10", "NaN", "Infinity", "1_0", "٣", "--5", ".", "1e")
NOT_DATES = ("", "2026-1-31", "20260131", "31/01/2026", "2026-02-29", "2026-13-01", "2026-01-31Z", "0000-01-01")
CASES: tuple[Case, ...] = (
    # comparison
    Case("=", "number", "int", 5, (5,), (4, -5)),
    Case("=", "number", "bigint", 9007199254740993, (9007199254740993,), (9007199254740992, 9007199254740994)),
    Case("=", "number", "int", "5.5", (), (5, 6)),
    Case("=", "number", "double", "0.3", (0.3,), (0.1 + 0.2, 0.30000000000000004, INF), (NAN,)),
    Case("=", "number", "decimal(38,0)", "9" * 38, (D("9" * 38),), (D("9" * 37 + "8"),)),
    Case("=", "number", "string", 5, ("5", " 5 ", "+5", "5.", "5.0", "0.5e1", "005"), ("5.1", "-5"), NOT_NUMBERS),
    Case("=", "string", "string", "a", ("a",), ("A", "a ", " a", "", "á")),
    Case("=", "string", "string", "", ("",), (" ", "a")),
    Case("=", "string", "string", "'; DROP TABLE users; --", ("'; DROP TABLE users; --",), ("'",)),
    Case("=", "string", "int", "5", (5,), (50,)),
    Case("=", "string", "boolean", "true", (True,), (False,)),
    Case("=", "string", "date", "2026-01-31", (JAN,), (FEB,)),
    Case("=", "string", "decimal(18,2)", "5.00", (D("5"),), (D("5.01"),)),
    Case("=", "string", "double", "100.0", (100.0,), (100.5,), (NAN,)),
    Case("=", "enum", "string", "VIP", ("VIP",), ("vip",)),
    Case("=", "boolean", "boolean", True, (True,), (False,)),
    Case("=", "boolean", "boolean", "FALSE", (False,), (True,)),
    Case(
        "=", "boolean", "string", True,
        ("true", "TRUE", " t ", "yes", "Y", "1"), ("false", "F", "no", "n", "0"), ("", "2", "on", "truee"),
    ),
    Case("=", "date", "date", "2026-01-31", (JAN,), (FEB,)),
    Case(
        "=", "date", "string", "2026-01-31",
        ("2026-01-31", " 2026-01-31 ", "2026-01-31 23:59:59", "2026-01-31T00:00:00.123456"), ("2026-01-30",), NOT_DATES,
    ),
    Case("=", "datetime", "timestamp", "2026-01-31 12:00:00", (NOON,), (at("2026-01-31 12:00:00.000001"),)),
    Case(
        "=", "datetime", "string", "2026-01-31T00:00:00",
        ("2026-01-31", "2026-01-31 00:00:00", "2026-01-31T00:00:00.0"), ("2026-01-31 00:00:00.000001",),
        ("2026-01-31 24:00:00", "2026-01-31 00:00", "2026-01-31 00:00:00+00:00", "2026-01-31 00:00:00.1234567"),
    ),
    Case("!=", "number", "int", 5, (4,), (5,)),
    Case("!=", "number", "double", "0.3", (0.31, INF), (0.3,), (NAN,)),
    Case("!=", "string", "string", "a", ("A", ""), ("a",)),
    Case("!=", "enum", "string", "VIP", ("vip",), ("VIP",)),
    Case("!=", "boolean", "boolean", True, (False,), (True,)),
    Case("!=", "date", "date", "2026-01-31", (FEB,), (JAN,)),
    Case("!=", "datetime", "timestamp", "2026-01-31 12:00:00", (at("2026-01-31 12:00:01"),), (NOON,)),
    Case(">", "number", "int", 5, (6,), (5, 4)),
    Case(">", "number", "int", "5.5", (6,), (5,)),
    Case(">", "number", "int", 10**30, (), (2**31 - 1,)),
    Case(">", "number", "double", "9007199254740993", (9007199254740994.0,), (9007199254740992.0,), (NAN,)),
    Case(">", "number", "string", "1e400", ("1e401", "2e400"), ("1e400", "1e399", "-1e500")),
    Case(">", "string", "string", "Z", ("a", "中", "\U0001d4b3"), ("A", "", "Z")),
    Case(">", "date", "date", "2026-01-31", (FEB,), (JAN,)),
    Case(">", "datetime", "timestamp", "2026-01-31 12:00:00", (at("2026-01-31 12:00:00.000001"),), (NOON,)),
    Case(">=", "number", "int", 5, (5, 6), (4,)),
    Case(">=", "number", "double", 100000, (100000.0, INF), (99999.99, -INF), (NAN,)),
    Case(">=", "string", "string", "\ue000", ("\ue000", "\U00010000"), ("\ud7ff",)),
    Case(">=", "date", "date", "2026-01-31", (JAN, FEB), (day("2026-01-30"),)),
    Case(">=", "datetime", "timestamp", "2026-01-31 12:00:00", (NOON,), (at("2026-01-31 11:59:59.999999"),)),
    Case("<", "number", "int", "-0.5", (-1,), (0,)),
    Case("<", "string", "string", "b", ("", "B", "a"), ("b", "c")),
    Case("<", "date", "date", "2026-01-31", (day("2026-01-30"),), (JAN,)),
    Case("<", "datetime", "timestamp", "2026-01-31 12:00:00", (at("2026-01-31 11:59:59"),), (NOON,)),
    Case("<=", "number", "string", 30, ("30", "-1e9", "29.999"), ("30.0001", "31"), NOT_NUMBERS),
    Case("<=", "string", "string", "b", ("b", "B"), ("ba",)),
    Case("<=", "date", "date", "2026-01-31", (JAN,), (FEB,)),
    Case("<=", "datetime", "timestamp", "2026-01-31 12:00:00", (NOON,), (at("2026-01-31 12:00:01"),)),
    # membership
    Case("in", "number", "int", [1, "2", "3.0"], (1, 2, 3), (4,)),
    Case("in", "number", "string", [1, 1000], ("1", "1e3", "1.0"), ("2",), NOT_NUMBERS),
    Case("in", "string", "string", ["a", ""], ("a", ""), ("A", "b")),
    Case("in", "enum", "string", ["VIP2", "VIP3"], ("VIP2", "VIP3"), ("VIP1", "vip2")),
    Case("in", "date", "date", ["2026-01-31", "2026-02-28"], (JAN, FEB), (MAR,)),
    Case("in", "datetime", "timestamp", ["2026-01-31 12:00:00"], (NOON,), (at("2026-01-31 13:00:00"),)),
    Case("not_in", "number", "int", [1, 2], (3,), (1, 2)),
    Case("not_in", "string", "string", ["a"], ("A",), ("a",)),
    Case("not_in", "enum", "string", ["VIP2"], ("VIP1",), ("VIP2",)),
    Case("not_in", "date", "date", ["2026-01-31"], (FEB,), (JAN,)),
    Case("not_in", "datetime", "timestamp", ["2026-01-31 12:00:00"], (at("2026-01-31 13:00:00"),), (NOON,)),
    # ranges
    Case("in_range", "number", "int", [18, 30], (18, 24, 30), (17, 31)),
    Case("in_range", "string", "string", ["b", "d"], ("b", "c", "d"), ("a", "da", "B")),
    Case("in_range", "date", "date", ["2026-01-31", "2026-02-28"], (JAN, FEB), (MAR,)),
    Case(
        "in_range", "datetime", "timestamp", ["2026-01-31 00:00:00", "2026-01-31 12:00:00"],
        (NOON, at("2026-01-31")), (at("2026-01-31 12:00:00.000001"),),
    ),
    Case("not_in_range", "number", "double", [18, 30], (17.9, 30.1), (18.0, 30.0), (NAN,)),
    Case("not_in_range", "string", "string", ["b", "d"], ("a", "e"), ("c",)),
    Case("not_in_range", "date", "date", ["2026-01-31", "2026-02-28"], (MAR,), (JAN,)),
    Case(
        "not_in_range", "datetime", "timestamp", ["2026-01-31 00:00:00", "2026-01-31 12:00:00"],
        (at("2026-02-01"),), (NOON,),
    ),
    # text
    Case("contains", "string", "string", "%", ("%", "a%b"), ("", "ab", "_")),
    Case("contains", "string", "string", "_\\*", ("a_\\*b",), ("_x*", "a\\*")),
    Case("contains", "string", "string", "a", ("ba",), ("A",)),
    Case("not_contains", "string", "string", "a", ("", "A"), ("bab",)),
    Case("starts_with", "string", "string", "a_", ("a_", "a_b"), ("ab_", "A_", " a_")),
    Case("starts_with", "string", "string", "中", ("中文",), ("文中",)),
    Case("ends_with", "string", "string", "b", ("b", "ab"), ("b ", "B")),
    Case("ends_with", "string", "string", "文", ("中文",), ("文中",)),
    Case("matches", "string", "string", "^a.c$", ("abc", "a中c"), ("a\nc", "abc\n", "xabc", "ABC")),
    Case("matches", "string", "string", r"\d{2}", ("a12", "123"), ("1", "٣٣", "1 2")),
    Case("matches", "string", "string", r"\bvip\b", ("vip", "a vip!", "é vip"), ("vips", "VIP")),
    Case("matches", "string", "string", "(?i)vip|é", ("ViP", "é"), ("É",)),
    Case("not_matches", "string", "string", "b+", ("", "a"), ("abba",)),
    # NULL
    Case("is_null", "number", "double", None, (), (0.0, INF), (NAN,)),
    Case("is_null", "number", "string", "", (), ("0", "1e9"), NOT_NUMBERS),
    Case("is_null", "string", "string", None, (), ("", " ")),
    Case("is_null", "enum", "string", [], (), ("", "x")),
    Case("is_null", "boolean", "string", None, (), ("0", "yes"), ("2", "")),
    Case("is_null", "date", "string", None, (), ("2026-01-31",), NOT_DATES),
    Case("is_null", "datetime", "timestamp", None, (), (NOON,)),
    Case("is_null", "list", "array<string>", None, (), ([], [None], ["a"])),
    Case("is_not_null", "number", "int", None, (0,), ()),
    Case("is_not_null", "string", "string", "", ("", "x"), ()),
    Case("is_not_null", "enum", "string", None, ("x",), ()),
    Case("is_not_null", "boolean", "boolean", None, (True, False), ()),
    Case("is_not_null", "date", "date", None, (JAN,), ()),
    Case("is_not_null", "datetime", "string", None, ("2026-01-31 12:00:00",), (), ("x",)),
    Case("is_not_null", "list", "array<int>", None, ([], [None]), ()),
    # boolean
    Case("is_true", "boolean", "boolean", "", (True,), (False,)),
    Case("is_true", "boolean", "string", True, ("1", "Yes"), ("0", "No"), ("maybe",)),
    Case("is_false", "boolean", "boolean", "false", (False,), (True,)),
    # lists
    Case("contains", "list", "array<string>", "a", (["a"], ["b", "a", None]), ([], [None], ["A"], ["ab"])),
    Case("contains", "list", "array<int>", ["2"], ([2], [1, 2]), ([], [None], [1, 22])),
    Case("not_contains", "list", "array<string>", ["a"], ([], [None], ["A"]), (["a", None],)),
    Case("contains_any", "list", "array<string>", ["a", "中"], (["中"], ["x", "a"]), ([], [None], ["x"])),
    Case("contains_any", "list", "array<date>", ["2026-01-31"], ([JAN, FEB],), ([FEB],)),
    Case("contains_all", "list", "array<int>", [1, 2, 2], ([2, 1], [1, 2, 3]), ([1], [], [None, 2])),
    Case("contains_none", "list", "array<string>", ["a", "b"], ([], [None], ["A"]), (["b"], ["x", "a"])),
    Case("contains_none", "list", "array<double>", ["0.3"], ([], [NAN], [0.31]), ([0.3, NAN],)),
    Case("is_empty", "list", "array<string>", None, ([], [None], [None, None]), ([""], ["a", None])),
    Case("is_empty", "list", "array<double>", [], ([], [NAN, None]), ([0.0],)),
    Case("is_not_empty", "list", "array<int>", None, ([0],), ([], [None])),
    # relative dates, at 2026-03-10
    Case("recent_days", "date", "date", 7, (TODAY, day("2026-03-03")), (day("2026-03-02"), day("2026-03-11"))),
    Case("recent_days", "date", "string", "0", ("2026-03-10 23:59:59",), ("2026-03-09", "2026-03-11"), NOT_DATES),
    Case(
        "recent_days", "datetime", "timestamp", "7.0",
        (at("2026-03-10 23:59:59.999999"), at("2026-03-03")), (at("2026-03-02 23:59:59.999999"), at("2026-03-11")),
    ),
    Case("days_ago", "date", "date", 9, (MAR, day("0001-01-01")), (day("2026-03-02"), TODAY)),
    Case("days_ago", "datetime", "timestamp", 9, (at("2026-03-01 23:59:59"),), (at("2026-03-02"),)),
    Case("days_ago_between", "date", "date", [1, 9], (day("2026-03-09"), MAR), (TODAY, FEB)),
    Case("days_ago_between", "datetime", "timestamp", [1, 9], (at("2026-03-09 23:59:59"),), (at("2026-03-10"),)),
    Case("within_next_days", "date", "date", 22, (TODAY, day("2026-04-01")), (day("2026-03-09"), day("2026-04-02"))),
    Case("within_next_days", "datetime", "timestamp", 0, (at("2026-03-10 23:59:59"),), (at("2026-03-11"),)),
    Case("within_next_days", "date", "date", 10**30, (TODAY, day("9999-12-31")), (day("2026-03-09"),)),
    Case(
        "anniversary_within_days", "date", "date", 5,
        (day("1990-03-10"), day("2026-03-15"), day("2030-03-12")), (day("1990-03-09"), day("1990-03-16")),
    ),
    Case(  # 29 February counts as the 28th in 2026
        "anniversary_within_days", "date", "date", 0,
        (day("2024-02-29"), day("1999-02-28")), (day("1999-03-01"),), as_of=FEB,
    ),
    Case(  # in a leap year it is itself
        "anniversary_within_days", "date", "string", 0, ("2024-02-28",), ("2024-02-29",), as_of=day("2028-02-28"),
    ),
    Case(  # over the end of the year
        "anniversary_within_days", "datetime", "timestamp", 3,
        (at("2000-12-30"), at("2000-01-02 23:59:59")), (at("2000-12-29"), at("2000-01-03")), as_of=day("2026-12-30"),
    ),
)  # fmt: skip


def batches() -> list[Batch]:
    """All cases as batches, one for each `as_of`: every case is a column and a rule, and the n-th user has the n-th
    value of each."""
    found = []
    for as_of in sorted({case.as_of for case in CASES}):
        cases = [case for case in CASES if case.as_of == as_of]
        size = max(len(case.expected) for case in cases)
        users = []
        for row in range(size):
            values = {
                ("", f"f{n}"): case.expected[row][0] if row < len(case.expected) else None
                for n, case in enumerate(cases)
            }
            users.append((f"u{row:02d}", values))
        columns = {f"f{n}": parse_type(case.stored) for n, case in enumerate(cases)}
        rules = tuple({"logic": "AND", "conditions": [case.leaf(f"f{n}")]} for n, case in enumerate(cases))
        found.append(Batch(rules, {}, Dataset(columns, users), as_of, "UTC"))
    return found
