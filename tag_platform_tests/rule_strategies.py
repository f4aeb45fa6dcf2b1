"""Hypothesis strategies: user data with awkward values in columns of every type, and valid rules over these columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, TypeVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tag_platform.rules import ColumnSchema, RuleSchema
from tag_platform.rules.dataset import Dataset
from tag_platform.rules.operators import OPERATORS, Operator, Shape
from tag_platform.rules.schema import parse_type
from tag_platform_tests.rule_engines import Batch

AS_OF = date(2028, 2, 28)
_WIDE = Context(prec=80)
TIMEZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin")
STORED = {
    "small": "smallint",
    "i": "int",
    "big": "bigint",
    "f": "float",
    "d": "double",
    "m": "decimal(18,2)",
    "m38": "decimal(38,0)",
    "fine": "decimal(38,18)",
    "s": "string",
    "t": "string",
    "b": "boolean",
    "day": "date",
    "day2": "date",
    "ts": "timestamp",
    "ts2": "timestamp",
    "xs": "array<string>",
    "ns": "array<int>",
    "ds": "array<double>",
    "days": "array<date>",
}
COLUMNS = {name: parse_type(kind) for name, kind in STORED.items()}
SCHEMA = RuleSchema.single({name: ColumnSchema(kind) for name, kind in STORED.items()})

TEXTS = (
    "",
    " ",
    "a",
    "A",
    "ab",
    "abc ",
    " a",
    "é",
    "É",
    "e\u0301",
    "中文",
    "𝒳",
    "\U0010ffff",
    "\ue000",
    "%",
    "_",
    "a%b",
    "\\",
    "'",
    '"',
    "a\nb",
    "a\n",
    "'; DROP TABLE users; --",
    "/* x */",
    "*",
    "ß",
    "VIP",
    "vip",
    "K",
    "true",
    "T",
    "no",
    "1",
    "0",
    "I",
    "ı",
    "?",
    "%s",
    "{}",
    "$1",
)
NUMBER_TEXTS = (
    "0",
    "-0",
    "+5",
    "5.",
    ".5",
    " 42 ",
    "1e3",
    "1E-3",
    "-1.50",
    "007",
    "9007199254740993",
    "9007199254740992",
    "1e400",
    "-1e400",
    "1e-400",
    "0.1",
    "0.30000000000000004",
    "123456789012345678901234567890.5",
    "1e99999999999999999999",
    "0e99999",
    "--5",
    "1 2",
    "NaN",
    "Infinity",
    "0x10",
    "1,000",
    "٣",
    "1e",
    "e5",
    ".",
    "+",
    "12345678901234567890",
    "0.0000000000000000001",
    "-.5e1",
    "\t5",
    "1_0",
)
DATE_TEXTS = (
    "2028-02-28",
    "2028-02-29",
    " 2027-03-01 ",
    "2027-02-29",
    "2000-02-29",
    "1900-02-29",
    "0000-01-01",
    "0001-01-01",
    "9999-12-31",
    "2028-02-28 10:00:00",
    "2028-02-28T23:59:59.5",
    "2028-02-28T23:59:59.1234567",
    "2028-02-28 24:00:00",
    "2028-2-8",
    "20280228",
    "2028-02-28 ",
    "2028-02-28Z",
    "2028-13-01",
    "2028-04-31",
    "2028-02-28  10:00:00",
    "2028-02-21 00:00:00.000001",
)
NUMBERS = tuple(
    map(
        Decimal,
        [
            "0",
            "1",
            "-1",
            "2",
            "5",
            "0.1",
            "0.3",
            "0.5",
            "-1.5",
            "1.25",
            "30",
            "100",
            "127",
            "128",
            "32767",
            "32768",
            "2147483647",
            "2147483648",
            "-2147483649",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "1e23",
            "1e38",
            "1e39",
            "-1e38",
            "1e400",
            "-1e400",
            "1e-400",
            "99999999999999999999999999999999999999",
            "1180591620717411303424",
            "0.10000000000000001",
            "0.000000000000000001",
            "0.0000000000000000001",
            "42",
            "1e3",
            "0.001",
            "5e-324",
            "3.5e38",
            "16777217",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "9999999999999999.99",
            "1e7",
            "12345678.9",
            "1e-4",
        ],
    )
)
PATTERNS = (
    "a",
    "^a",
    "a$",
    "^$",
    "(?i)vip",
    "(?i)É",
    "(?i)[k-m]",
    "[^a]",
    "\\d+",
    "\\w",
    "\\W",
    "\\s",
    "\\S$",
    "\\bé",
    "a\\b",
    "\\b",
    ".",
    "^.$",
    "^..$",
    "a|b",
    "(?:a|é)+",
    "[a-c]{2}",
    "\\.",
    "\\n",
    "[\\d.]+$",
    "^[^\\w]",
    "中{1,2}",
    "a.b",
    "e.",
    "[\\D]",
    "a{0}b?",
    "[\\d\\D]",
)


def _days() -> SearchStrategy[date]:
    near = st.integers(-400, 400).map(lambda n: AS_OF + timedelta(days=n))
    special = st.sampled_from(
        [
            date(1, 1, 1),
            date(9999, 12, 31),
            date(2028, 2, 29),
            date(2024, 2, 29),
            date(2027, 3, 1),
            date(1970, 1, 1),
            AS_OF,
        ]
    )
    return st.one_of(near, special, st.dates())


def _moments() -> SearchStrategy[datetime]:
    edges = st.sampled_from(
        [
            datetime(2028, 2, 28),
            datetime(2028, 2, 28, 23, 59, 59, 999999),
            datetime(2028, 2, 29),
            datetime(1970, 1, 1),
            datetime(2027, 10, 31, 2, 30),
            datetime(2028, 3, 26, 2, 30),
            datetime(2028, 3, 26, 3, 30),
            datetime(2, 1, 1),
            datetime(9998, 12, 31, 23, 59, 59),
        ]
    )
    plain = st.datetimes(datetime(1900, 1, 2), datetime(2199, 1, 1))
    near = st.builds(
        lambda d, s: datetime(d.year, d.month, d.day) + timedelta(seconds=s),
        st.integers(-40, 40).map(lambda n: AS_OF + timedelta(days=n)),
        st.integers(0, 86399),
    )
    return st.one_of(edges, near, plain)


def _texts() -> SearchStrategy[str]:
    known = st.sampled_from(TEXTS + NUMBER_TEXTS + DATE_TEXTS)
    return st.one_of(
        known, known, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
    )


def stored_values(kind: str) -> SearchStrategy[Any]:
    """Values of a column of that type, NULL among them."""
    column = parse_type(kind)
    values: SearchStrategy[Any]
    if column.element is not None:
        return st.one_of(st.none(), st.lists(stored_values(column.element.name), max_size=3))
    if column.base == "int":
        low, high = -(2 ** (column.bits - 1)), 2 ** (column.bits - 1) - 1
        known = [int(n) for n in NUMBERS if n.adjusted() < 30 and low <= n <= high and n == n.to_integral_value()]
        values = st.one_of(st.sampled_from([*known, low, high]), st.integers(-5, 50))
    elif column.base == "decimal":
        limit = Decimal(10) ** (column.precision - column.scale)
        fits = [n for n in NUMBERS if abs(n) < limit and n.as_tuple().exponent >= -column.scale]  # type: ignore[operator]
        unit = Decimal(1).scaleb(-column.scale)
        values = st.sampled_from([n.quantize(unit, context=_WIDE) for n in fits])
    elif column.base == "float":
        known_floats = [float(n) for n in NUMBERS] + [float("nan"), -0.0, 1e16, 123456.789, 1234567.0, 1e7, 0.00123]
        values = st.one_of(st.sampled_from(known_floats), st.floats(width=32 if column.bits == 32 else 64))
        if column.bits == 32:
            from tag_platform.rules.values import nearest_float

            values = values.map(lambda x: x if x != x else nearest_float(32, Decimal(x)))
    else:
        values = {"string": _texts(), "boolean": st.booleans(), "date": _days(), "timestamp": _moments()}[column.base]
    return st.one_of(values, values, values, st.none())


def datasets(size: int = 12) -> SearchStrategy[Dataset]:
    """A dataset of `size` users over the columns of `STORED`."""
    row = st.fixed_dictionaries({("", name): stored_values(kind) for name, kind in STORED.items()})
    rows = st.lists(row, min_size=size, max_size=size)
    return rows.map(lambda found: Dataset(dict(COLUMNS), [(f"u{n:03d}", values) for n, values in enumerate(found)]))


def _number(draw: st.DrawFn) -> Any:
    number = draw(st.one_of(st.sampled_from(NUMBERS), st.integers(-40, 60).map(Decimal)))
    return draw(st.sampled_from([number, str(number), str(number)]))


def _literal(draw: st.DrawFn, kind: str) -> Any:
    if kind == "number":
        return _number(draw)
    if kind == "date":
        return draw(_days()).isoformat()
    if kind == "datetime":
        return draw(_moments()).isoformat(sep=draw(st.sampled_from([" ", "T"])))
    if kind == "boolean":
        return draw(st.sampled_from([True, False, "true", "FALSE"]))
    return draw(_texts())


def _readings(name: str) -> list[str]:
    """The rule types in which a column may be read."""
    column = COLUMNS[name]
    if column.base == "string":
        return ["string", "enum", "number", "date", "datetime", "boolean"]
    if column.base == "array":
        return ["list"]
    own = {"int": "number", "decimal": "number", "float": "number", "timestamp": "datetime"}.get(
        column.base, column.base
    )
    return [own] if own == "datetime" else [own, own, "string"]


ELEMENTS = {"xs": "string", "ns": "number", "ds": "number", "days": "date"}


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    """One valid condition."""
    name = draw(st.sampled_from(sorted(STORED)))
    kind = draw(st.sampled_from(_readings(name)))
    operator = draw(st.sampled_from([o for o in OPERATORS if kind in o.types]))
    leaf: dict[str, Any] = {"field": name, "type": kind, "operator": draw(st.sampled_from(operator.names))}
    if operator.shape is Shape.ONE and draw(st.booleans()):
        others = sorted(other for other in STORED if kind in _readings(other))
        return {**leaf, "value_field": draw(st.sampled_from(others))}
    value = _value(draw, operator, ELEMENTS.get(name, kind))
    return leaf if value is None else {**leaf, "value": value}


def _value(draw: st.DrawFn, operator: Operator, kind: str) -> Any:
    shape = operator.shape
    if shape in (Shape.NOTHING, Shape.TRUE, Shape.FALSE):
        return None
    if shape in (Shape.ONE, Shape.ELEMENT):
        return _literal(draw, kind)
    if shape in (Shape.LIST, Shape.ELEMENTS):
        return [_literal(draw, kind) for _ in range(draw(st.integers(1, 4)))]
    if shape is Shape.RANGE:
        ends = [_literal(draw, kind) for _ in range(2)]
        if kind == "number":
            return sorted(ends, key=Decimal)
        return sorted(ends, key=lambda end: end.replace("T", " ") if kind == "datetime" else end)
    if shape is Shape.TEXT:
        return draw(_texts().filter(bool))
    if shape is Shape.REGEX:
        return draw(st.sampled_from(PATTERNS))
    days = st.one_of(st.integers(0, 40), st.sampled_from([0, 1, 365, 366, 100000, 10**9, 10**30]))
    return draw(days) if shape is Shape.DAYS else sorted([draw(days), draw(days)])


TAG_IDS = (1, 2, 3)  # tags that rules of `batches` may refer to; 3 refers to 1 and 2


def tag_leaves(tag_ids: Sequence[int]) -> SearchStrategy[dict[str, Any]]:
    """One valid condition on another tag."""
    operator = st.sampled_from(["has_tag", "not_has_tag"])
    return st.fixed_dictionaries({"tag_id": st.sampled_from(tag_ids), "operator": operator})


def rules(max_leaves: int = 6, tag_ids: Sequence[int] = ()) -> SearchStrategy[dict[str, Any]]:
    """A valid rule: one condition, or groups of them in the nested and the grouped shape; with `tag_ids` also
    conditions on these tags."""
    single: SearchStrategy[Any] = st.one_of(leaves(), leaves(), leaves(), tag_leaves(tag_ids)) if tag_ids else leaves()

    def group(members: SearchStrategy[Any]) -> SearchStrategy[Any]:
        logic = st.sampled_from(["AND", "OR", "NOT"])
        some = st.lists(members, min_size=1, max_size=3)
        return st.one_of(
            st.fixed_dictionaries({"logic": logic, "conditions": some}),
            st.fixed_dictionaries({"condition": st.fixed_dictionaries({"logic": logic, "conditions": some})}),
        )

    nodes = st.recursive(single, group, max_leaves=max_leaves)
    return st.one_of(single, nodes).map(lambda node: {"logic": "AND", "conditions": [node]})


def batches(rule_count: int, users: int) -> SearchStrategy[Batch]:
    """Batches of exactly so many rules and users."""
    references = st.fixed_dictionaries({1: rules(3), 2: rules(3), 3: rules(3, (1, 2))})
    several = st.lists(rules(6, TAG_IDS), min_size=rule_count, max_size=rule_count).map(tuple)
    as_of = st.one_of(st.just(AS_OF), st.sampled_from([date(2027, 2, 28), date(2028, 2, 29), date(2027, 12, 31)]))
    return st.builds(Batch, several, references, datasets(users), as_of, st.sampled_from(TIMEZONES))


T = TypeVar("T")


def generated(strategy: SearchStrategy[T], count: int, seed: int) -> list[T]:
    """Values of a strategy outside of a test; the same ones for the same seed."""
    found: list[T] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(value: T) -> None:
        found.append(value)

    collect()
    return found
