"""Rules about the same few columns and values, and users close to them: here conditions contradict, imply and repeat
each other all the time, which is what warnings are about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tag_platform.rules.dataset import Dataset
from tag_platform.rules.operators import OPERATORS
from tag_platform.rules.schema import parse_type
from tag_platform_tests.rule_engines import Batch
from tag_platform_tests.rule_strategies import AS_OF, TAG_IDS, tag_leaves

DAYS = tuple((AS_OF + timedelta(days=n)).isoformat() for n in range(-3, 3))
TEXTS = ("", "a", "ab", "b")
COLUMNS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "i": ("int", (0, 1, 2, 3, 4)),
    "d": ("double", (0.0, 0.5, 1.0, 1.5, 2.0, float("nan"))),
    "m": ("decimal(4,1)", (0, 1, 2)),
    "k": ("tinyint", (-128, 0, 127)),
    "n": ("string", ("0", "1", " 1.0", "1.5", "2", "x")),
    "s": ("string", TEXTS),
    "b": ("boolean", (True, False)),
    "day": ("date", tuple(AS_OF + timedelta(days=n) for n in range(-3, 3))),
    "xs": ("array<string>", ([], [None], ["a"], ["b"], ["a", "b"])),
}
LIST_OPERATORS = [o.name for o in OPERATORS if o.group == "list"]
TEXT_OPERATORS = [o.name for o in OPERATORS if o.group == "text"]
_KINDS = dict.fromkeys("idmnk", "number") | {"s": "string", "b": "boolean", "day": "date", "xs": "list"}
_LITERALS: dict[str, tuple[Any, ...]] = {
    "number": (0, 1, 2, 3, 0.5, 1.5, "1.0"),
    "string": TEXTS,
    "date": DAYS,
    "boolean": (True, False),
}


@st.composite
def close_leaves(draw: st.DrawFn, columns: tuple[str, ...]) -> dict[str, Any]:
    """A condition on one of the columns."""
    name = draw(st.sampled_from(columns))
    kind = _KINDS[name]
    leaf: dict[str, Any] = {"field": name, "type": kind}
    if draw(st.integers(0, 5)) == 0:
        return {**leaf, "operator": draw(st.sampled_from(["is_null", "is_not_null"]))}
    if kind == "list":
        operator = draw(st.sampled_from(LIST_OPERATORS))
        if operator.endswith("empty"):
            return {**leaf, "operator": operator}
        elements = draw(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2))
        return {**leaf, "operator": operator, "value": elements[:1] if operator.endswith("contains") else elements}
    literal = st.sampled_from((-129, -128, 0, 127, 128) if name == "k" else _LITERALS[kind])
    if kind == "boolean":
        return {**leaf, "operator": draw(st.sampled_from(["=", "!="])), "value": draw(literal)}
    if kind == "date" and draw(st.booleans()):
        days = draw(st.integers(0, 2))
        relative = draw(st.sampled_from(["recent_days", "days_ago", "within_next_days", "days_ago_between"]))
        return {**leaf, "operator": relative, "value": [days, days + 1] if relative.endswith("between") else days}
    comparisons = ["=", "!=", "<", "<=", ">", ">="]
    operator = draw(st.sampled_from([*comparisons, *comparisons, "in", "not_in", "in_range", "not_in_range"]))
    if operator in ("in", "not_in"):
        return {**leaf, "operator": operator, "value": draw(st.lists(literal, min_size=1, max_size=3))}
    if operator.endswith("range"):
        ends = sorted(draw(st.tuples(literal, literal)), key=lambda x: float(x) if kind == "number" else x)
        return {**leaf, "operator": operator, "value": ends}
    if kind == "string" and draw(st.integers(0, 2)) == 0:
        return {**leaf, "operator": draw(st.sampled_from(TEXT_OPERATORS)), "value": draw(st.sampled_from(TEXTS[1:]))}
    if draw(st.integers(0, 7)) == 0:
        others = [other for other, its in _KINDS.items() if its == kind]
        return {**leaf, "operator": draw(st.sampled_from(comparisons)), "value_field": draw(st.sampled_from(others))}
    return {**leaf, "operator": operator, "value": draw(literal)}


@st.composite
def close_batches(draw: st.DrawFn, rule_count: int, users: int) -> Batch:
    """Rules about one or two of the columns, some of which refer to tags that are about them too."""
    columns = tuple(draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=2)))

    def groups(members: SearchStrategy[Any]) -> SearchStrategy[Any]:
        logic = st.sampled_from(["AND", "OR", "AND", "OR", "NOT"])
        return st.fixed_dictionaries({"logic": logic, "conditions": st.lists(members, min_size=1, max_size=3)})

    def rules(leaves: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return groups(st.recursive(leaves, groups, max_leaves=5))

    single = close_leaves(columns)
    references = {tag_id: draw(rules(single)) for tag_id in TAG_IDS}
    referring = st.one_of(single, single, single, tag_leaves(TAG_IDS))
    found = [draw(rules(referring)) for _ in range(rule_count)]
    row = st.fixed_dictionaries({("", name): st.sampled_from([None, *values]) for name, (_, values) in COLUMNS.items()})
    rows = draw(st.lists(row, min_size=users, max_size=users))
    kinds = {name: parse_type(kind) for name, (kind, _) in COLUMNS.items()}
    dataset = Dataset(kinds, [(f"u{n:03d}", values) for n, values in enumerate(rows)])
    return Batch(tuple(found), references, dataset, AS_OF, "UTC")
