"""Hostile input is refused or taken literally, in bounded memory; nothing crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tag_platform.rules import InvalidRule, RuleSchema, parse_rule
from tag_platform.rules.to_sql import Dialect, compile_sql
from tag_platform_tests.hostile_rules import check_answer, hostile
from tag_platform_tests.rule_strategies import AS_OF

SCHEMA = RuleSchema.single({"age": "int", "name": "string", "labels": "array<string>"})
LEAF = '{"field": "age", "operator": ">", "value": 1}'


FIRST = "$.conditions[0]"


def rule(*conditions: str) -> str:
    return '{"logic": "AND", "conditions": [' + ",".join(conditions) + "]}"


# Name → expression for the text, and what the refusal says (nothing: it is accepted).
HUGE = {
    "10,000 lists deep": ("'[' * 10_000 + ']' * 10_000", "brackets are nested more than 200 deep"),
    "10,000 groups deep": ("GROUP * 10_000 + LEAF + ']}' * 10_000", "brackets are nested more than 200 deep"),
    "10,000 open brackets in a text": ("rule(NAME % ('[' * 10_000))", ""),
    "10 MB": ("rule(NAME % ('x' * 10_000_000))", "longer than 4,000,000"),
    "10 MB of bytes": ("b' ' * 10_000_000", "longer than 4,000,000"),
    "20 MB of bytes": ("b' ' * 20_000_000", "longer than 4,000,000"),
    "100,000 conditions": ("rule(*[NULL] * 100_000)", "the rule has more than 1,000 conditions"),
    "100,000 bad conditions": ("rule(*['{\"a\":1}'] * 100_000)", "errors more"),
    "100,000 unknown keys": (
        "'{' + ','.join('\"k%d\":1' % n for n in range(100_000)) + '}'",
        "and 99,980 unknown keys more",
    ),
    "100,000 values": ("rule(MANY % ','.join(map(str, range(100_000))))", ""),
    "a million digits": ("rule(LEAF.replace('1', '9' * 1_000_000))", ""),
    "a million digits of exponent": ("rule(LEAF.replace('1', '1e' + '9' * 1_000_000))", ""),
    "a million quotes": ("'\"' * 1_000_000", "not JSON"),
    "half a million escapes": ("'\"' + '\\\\\"' * 500_000", "not JSON"),
}
PROGRAM = """
import json, resource, sys
from tag_platform.rules import InvalidRule, RuleSchema, parse_rule
limit = 400 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
SCHEMA = RuleSchema.single({"age": "int", "name": "string"})
LEAF = '{"field":"age","operator":">","value":1}'
NULL = '{"field":"age","operator":"is_null"}'
NAME = '{"field":"name","operator":"=","value":"%s"}'
MANY = '{"field":"age","operator":"in","value":[%s]}'
GROUP = '{"logic":"AND","conditions":['
def rule(*conditions):
    return GROUP + ",".join(conditions) + "]}"
for expression in json.loads(sys.argv[1]):
    try:
        parse_rule(eval(expression), SCHEMA)
        print("[]")
    except InvalidRule as error:
        print(json.dumps([str(one) for one in error.errors]))
"""


def test_huge_rules_in_bounded_memory() -> None:
    """Size and depth are refused before anything is built; what is allowed takes memory in proportion. All of them
    together run in a process that may not have more than 400 MB."""
    argument = json.dumps([expression for expression, _ in HUGE.values()])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for (name, (_, message)), errors in zip(HUGE.items(), answers, strict=True):
        assert any(message in error for error in errors) if message else not errors, (name, errors[:3])
        assert len(errors) <= 101
        assert sum(map(len, errors)) < 100_000


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ('{"logic": "AND", "logic": "OR", "conditions": []}', "$.logic", "there twice"),
        (
            rule('{"field": "age", "field": "name", "operator": ">", "value": 1}'),
            "$.conditions[0].field",
            "there twice",
        ),
        (
            rule('{"field": "age", "operator": ">", "value": {"a": 1, "a": 2}}'),
            "$.conditions[0].value.a",
            "there twice",
        ),
        (rule('{"field": "age", "operator": ">", "value": NaN}'), "$", "NaN is not a JSON number"),
        (rule('{"field": "age", "operator": ">", "value": -Infinity}'), "$", "Infinity is not a JSON number"),
        (
            rule('{"field": "name", "operator": "=", "value": "\\ud800"}'),
            "$.conditions[0].value",
            "half of a surrogate",
        ),
        (rule(LEAF) + "x", "$", "not JSON: Extra data"),
        (rule(LEAF)[:-1], "$", "not JSON"),
        (rule(LEAF + ","), "$", "not JSON"),
        ("// no\n" + rule(LEAF), "$", "not JSON"),
        ("", "$", "not JSON"),
        (b"\xff\xfe{}", "$", "not UTF-8 text (byte 0)"),
    ],
)
def test_strict_json(text: str | bytes, path: str, message: str) -> None:
    """Keys twice, numbers that are none, halves of characters, comments, what is behind the end."""
    with pytest.raises(InvalidRule) as error:
        parse_rule(text, SCHEMA)
    assert [(one.path, message in one.message) for one in error.value.errors if one.path == path][:1] == [(path, True)]


def test_data_that_never_was_json() -> None:
    """Python data is looked at like JSON: no key that is no string, no number that is none, no circle."""
    circle: dict[str, Any] = {"logic": "AND"}
    circle["conditions"] = [circle]
    sources: list[Any] = [circle, {1: 2}, {"logic": "AND", "conditions": [float("nan")]}, {"logic": {1, 2}}]
    for source in sources:
        with pytest.raises(InvalidRule):
            parse_rule(source, SCHEMA)


@pytest.mark.parametrize("dialect", ["mysql", "duckdb"])
def test_values_are_never_in_the_sql_text(dialect: Dialect) -> None:
    """Rules that differ in their values alone give the same SQL text: values travel as parameters."""

    def text(value: str) -> str:
        leaves: list[Any] = [
            {"field": "name", "operator": o, "value": value} for o in ("=", "contains", "matches", "<")
        ]
        leaves += [{"field": "name", "operator": "in", "value": [value]}]
        leaves += [{"field": "labels", "operator": "contains_any", "value": [value]}]
        parsed = parse_rule({"logic": "AND", "conditions": leaves}, SCHEMA)
        sql, params = compile_sql(parsed, AS_OF, dialect)
        assert value not in sql
        assert value in params
        return sql

    assert text("qqqqq") == text("';--%") == text('"`\\x'.replace("\\x", "/*")) == text("%s{0}")


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
@given(hostile())
def test_any_input_is_answered(source: Any) -> None:
    """Whatever comes in, an answer comes out: errors with paths, or a rule that everything can be done with and that
    the JSON Schema accepts."""
    check_answer(source)
