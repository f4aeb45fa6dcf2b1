"""Rules that are accepted: three shapes, one tree; fields, types and values in every way they may be written."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from tag_platform.rules import ColumnSchema, InvalidRule, Rule, RuleSchema, evaluate, parse_rule
from tag_platform.rules.model import Leaf, leaves
from tag_platform_tests.rule_engines import json_text
from tag_platform_tests.rule_strategies import SCHEMA, rules

TABLES = RuleSchema(
    {
        "info": {
            "age": ColumnSchema("int"),
            "name": ColumnSchema("string"),
            "risk": ColumnSchema("string", "int"),
            "joined": ColumnSchema("string", "date"),
            "labels": ColumnSchema("array<string>"),
            "active": ColumnSchema("boolean"),
            "seen": ColumnSchema("timestamp"),
            "both": ColumnSchema("int"),
        },
        "money": {"cash": ColumnSchema("decimal(18,2)"), "both": ColumnSchema("int")},
    }
)
AGE = {"field": "age", "operator": ">", "value": 5}
NAME = {"field": "name", "operator": "=", "value": "x"}


def parsed(rule: Any, **more: Any) -> Rule:
    return parse_rule(rule, TABLES, **more)


def only(**leaf: Any) -> Leaf:
    [found] = leaves(parsed({"logic": "AND", "conditions": [leaf]}).root)
    return found


SAME: list[dict[str, Any]] = [  # the same rule in every shape
    {"logic": "AND", "conditions": [AGE, NAME]},
    {"logic": "and", "conditions": [{"logic": "And", "conditions": [AGE, NAME]}]},
    {"logic": "AND", "conditions": [{"condition": {"logic": "AND", "fields": [AGE, NAME]}}]},
    {"logic": "OR", "conditions": [{"condition": {"logic": "AND", "conditions": [AGE, NAME]}}]},
    {
        "logic": "AND",
        "conditions": [
            {"condition": {"logic": "None", "fields": [AGE]}},
            {"condition": {"logic": "none", "fields": [NAME]}},
        ],
    },
]


def test_shapes_mean_the_same() -> None:
    """Shape, case of `logic`, groups of one: none of them changes what a rule means, nor its version."""
    users = [{("info", "age"): age, ("info", "name"): name} for age in (None, 5, 6) for name in (None, "x", "y")]
    answers = [[evaluate(parsed(rule), user, date(2026, 1, 1)) for user in users] for rule in SAME]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].count(True) == 1
    assert parsed(SAME[0]).digest == parsed(SAME[2] | {"logic": "OR"}).digest


def test_not_negates_the_and_of_its_members() -> None:
    """NOT over two members is FALSE only where both are TRUE, and UNKNOWN of UNKNOWN."""
    rule = parsed({"logic": "NOT", "conditions": [AGE, NAME]})
    at = date(2026, 1, 1)
    assert evaluate(rule, {("info", "age"): 6, ("info", "name"): "x"}, at) is False
    assert evaluate(rule, {("info", "age"): 6, ("info", "name"): "y"}, at) is True
    assert evaluate(rule, {("info", "age"): 6}, at) is None
    assert evaluate(rule, {("info", "age"): 1}, at) is True


def test_shapes_mix() -> None:
    """Leaves, groups and wrapped groups side by side, with either key inside."""
    inner = {"condition": {"logic": "NOT", "conditions": [{"condition": {"logic": "None", "fields": [AGE]}}]}}
    rule = parsed({"logic": "OR", "conditions": [NAME, {"logic": "AND", "conditions": [inner]}, inner]})
    assert [leaf.path for leaf in leaves(rule.root)] == [
        "$.conditions[0]",
        "$.conditions[1].conditions[0].condition.conditions[0].condition.fields[0]",
        "$.conditions[2].condition.conditions[0].condition.fields[0]",
    ]


def nested(depth: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"logic": "AND", "conditions": [AGE]}
    for _ in range(depth - 1):
        rule = {"logic": "AND", "conditions": [rule]}
    return rule


def test_limits() -> None:
    """32 groups deep and 1,000 conditions are allowed, one more is not. Leaves do not count as a depth."""
    assert parsed(nested(32)).depth == 32
    with pytest.raises(InvalidRule, match="nested more than 32 deep"):
        parsed(nested(33))
    assert parsed({"logic": "OR", "conditions": [AGE] * 1000}).size == 1000
    with pytest.raises(InvalidRule, match=r"\$\.conditions\[1000\]: the rule has more than 1,000 conditions"):
        parsed({"logic": "OR", "conditions": [AGE] * 1001})


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"field": "age"}, ("info", "age")),
        ({"field": "info.age"}, ("info", "age")),
        ({"field": "db.info.age"}, ("info", "age")),
        ({"field": "age", "table": "info"}, ("info", "age")),
        ({"field": "age", "table": "db.info"}, ("info", "age")),
        ({"field": "info.age", "table": "info"}, ("info", "age")),
        ({"field": "both", "table": "money"}, ("money", "both")),
        ({"field": "money.both"}, ("money", "both")),
    ],
    ids=str,
)
def test_field_names(names: dict[str, str], found: tuple[str, str]) -> None:
    """Bare, qualified, and qualified by `table`."""
    assert only(**names, operator="is_null").field.key == found


def test_table_settles_both_fields_of_a_comparison() -> None:
    """`table` says where the first field is, and so where a bare second one is that several tables have."""
    leaf = only(field="age", table="info", operator=">", value_field="both")
    assert leaf.other is not None
    assert leaf.other.key == ("info", "both")


@pytest.mark.parametrize(
    ("leaf", "kind", "value"),
    [
        ({"field": "age", "operator": "=", "value": "100000"}, "number", Decimal(100000)),
        ({"field": "age", "operator": "=", "value": "+.5e1"}, "number", Decimal(5)),
        ({"field": "age", "operator": "=", "value": 5.0}, "number", Decimal(5)),
        ({"field": "cash", "operator": "=", "value": "9007199254740993.01"}, "number", Decimal("9007199254740993.01")),
        ({"field": "risk", "operator": "<=", "value": 30}, "number", Decimal(30)),
        ({"field": "risk", "operator": "=", "value": "30", "type": "string"}, "string", "30"),
        ({"field": "joined", "operator": "=", "value": "2026-01-31"}, "date", date(2026, 1, 31)),
        ({"field": "active", "operator": "=", "value": "TRUE"}, "boolean", True),
        ({"field": "labels", "operator": "contains_any", "value": ["a"], "type": "array"}, "list", ("a",)),
        ({"field": "labels", "operator": "contains", "value": ["a"]}, "list", "a"),
        ({"field": "age", "operator": "in", "value": ["1", 2], "type": "number"}, "number", (Decimal(1), Decimal(2))),
        ({"field": "seen", "operator": "recent_days", "value": "7.0"}, "datetime", 7),
        ({"field": "age", "operator": "is_null", "value": ""}, "number", None),
        ({"field": "age", "operator": "is_null", "value": None}, "number", None),
        ({"field": "age", "operator": "is_null", "value": []}, "number", None),
        ({"field": "active", "operator": "is_true", "value": "True"}, "boolean", None),
        ({"field": "active", "operator": "is_false", "value": False}, "boolean", None),
    ],
    ids=str,
)
def test_values_and_types(leaf: dict[str, Any], kind: str, value: Any) -> None:
    """Values as JSON or as strings; `type` may be left out where the declared or else the stored type decides it."""
    found = only(**leaf)
    assert (found.type, found.value) == (kind, value)


def test_tag_references() -> None:
    """A tag leaf means the other tag's rule, at the same time, and is TRUE or FALSE even where that is UNKNOWN."""
    references = {
        5: {"logic": "AND", "conditions": [AGE]},
        6: {"logic": "AND", "conditions": [{"tag_id": "5", "operator": "not_has_tag"}]},
    }
    rule = parsed({"logic": "AND", "conditions": [{"tag_id": 6, "operator": "has_tag"}]}, references=references)
    assert rule.references == {5, 6}
    assert rule.fields == {("info", "age")}
    assert rule.true_for_unknown
    assert evaluate(rule, {}, date(2026, 1, 1)) is True
    assert evaluate(rule, {("info", "age"): 6}, date(2026, 1, 1)) is False


def test_unnamed_table_takes_any_qualifier() -> None:
    """`rules eval` reads one table that has no name: `table` and qualifiers of production rules do not matter."""
    schema = RuleSchema.single({"age": "int"})
    for names in ({"field": "x.age"}, {"field": "a.b.age", "table": "c"}, {"field": "age", "table": "c"}):
        rule = parse_rule({"logic": "AND", "conditions": [{**names, "operator": ">", "value": 1}]}, schema)
        assert rule.fields == {("", "age")}


def test_strange_text_is_taken_literally() -> None:
    """Nothing in a text is a command to anybody."""
    for text in ("'; DROP TABLE users; --", "%", "_", "\\", "/* */", "${x}", "{}", "%s", "\u202e", "\x00", "𝒳"):
        assert only(field="name", operator="contains", value=text).value == text


@given(rules())
def test_text_and_data_are_the_same_rule(rule: dict[str, Any]) -> None:
    """JSON text, bytes and Python data give the same tree; numbers are not rounded on the way."""
    text = json_text(rule)
    assert parse_rule(text, SCHEMA) == parse_rule(rule, SCHEMA) == parse_rule(text.encode(), SCHEMA)
    assert parse_rule(text, SCHEMA).digest == parse_rule(rule, SCHEMA).digest
