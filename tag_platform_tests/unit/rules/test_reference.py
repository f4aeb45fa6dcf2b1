"""What is generated from the operator table: the reference page and the JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings

from tag_platform.rules import InvalidRule, RuleSchema, parse_rule
from tag_platform.rules.json_schema import json_schema
from tag_platform.rules.operators import OPERATORS
from tag_platform.rules.reference import EXAMPLES, reference
from tag_platform.settings import CHECKOUT
from tag_platform_tests.hostile_rules import damaged
from tag_platform_tests.operator_cases import CASES
from tag_platform_tests.rule_engines import json_text
from tag_platform_tests.rule_strategies import SCHEMA, rules

VALIDATOR = jsonschema_rs.validator_for(json_schema())
AGE = {"field": "age", "operator": ">", "value": 1, "type": "number"}
WRONG: list[dict[str, Any]] = [
    {**AGE, "colour": 1},
    {**AGE, "operator": "=>"},
    {**AGE, "type": "Number"},
    {**AGE, "type": "list"},
    {**AGE, "value": "x"},
    {**AGE, "value": " 5"},
    {**AGE, "value": None},
    {**AGE, "value": [1]},
    {**AGE, "value_field": "cash"},
    {**AGE, "table": None},
    {**AGE, "operator": "in", "value": []},
    {**AGE, "operator": "in_range", "value": [1]},
    {"field": "age", "operator": ">"},
    {"field": "s", "operator": "contains", "value": "", "type": "string"},
    {"field": "d", "operator": "recent_days", "value": -1},
    {"field": "b", "operator": "is_true", "value": "false"},
    {"field": "b", "operator": "is_null", "value": 0},
    {"tag_id": 5, "operator": "in"},
    {"tag_id": 5, "operator": "has_tag", "value": 1},
    {"logic": "AND"},
    {"logic": "XOR", "conditions": [AGE]},
    {"logic": "AND", "conditions": []},
    {"condition": {"logic": "AND", "fields": [AGE], "conditions": [AGE]}},
    {"condition": {"logic": "AND", "fields": [{"logic": "AND", "conditions": [AGE]}]}},
]


def test_the_committed_page_is_the_generated_one() -> None:
    """docs/rules.md never says anything else than the operator table."""
    assert (CHECKOUT / "docs" / "rules.md").read_text(encoding="utf-8") == reference(), (
        "run: tag-platform rules reference > docs/rules.md"
    )


def test_the_page_names_every_operator() -> None:
    """Every name and every alias is on the page, and its examples are valid rules."""
    page = reference()
    assert all(f"`{name}`" in page for operator in OPERATORS for name in operator.names)
    schema = RuleSchema.single({"age": "int", "kyc_status": "string"})
    for rule in EXAMPLES.values():
        parse_rule(rule, schema)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_schema_accepts_every_operator(case: Any) -> None:
    """Each hand-written case under each of the operator's names."""
    for operator in OPERATORS:
        if operator.name == case.operator and case.kind in operator.types:
            for name in operator.names:
                VALIDATOR.validate({"logic": "AND", "conditions": [{**case.leaf("f"), "operator": name}]})


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(rules(8, (1, 2)))
def test_schema_accepts_what_the_parser_accepts(rule: dict[str, Any]) -> None:
    """Valid rules of all shapes, with values in all spellings."""
    VALIDATOR.validate(json.loads(json_text(rule)))


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=200)
@given(damaged())
def test_parser_refuses_what_the_schema_refuses(rule: Any) -> None:
    """No rule that an editor marks as wrong is taken by the parser."""
    text = json_text(rule)
    if "NaN" in text or "Infinity" in text:
        return
    if not VALIDATOR.is_valid(json.loads(text)):
        with pytest.raises(InvalidRule):
            parse_rule(text, SCHEMA)


@pytest.mark.parametrize("member", WRONG, ids=str)
def test_schema_marks_what_is_wrong(member: dict[str, Any]) -> None:
    """An editor shows what the parser would refuse, as far as it does not depend on data."""
    assert VALIDATOR.is_valid({"logic": "AND", "conditions": [AGE]})
    rule = {"logic": "AND", "conditions": [member]}
    assert not VALIDATOR.is_valid(rule)
    with pytest.raises(InvalidRule):
        parse_rule(rule, RuleSchema.single({"age": "int", "s": "string", "d": "date", "b": "boolean", "cash": "int"}))


def test_page_is_linked() -> None:
    """The README leads to the page."""
    assert "docs/rules.md" in Path(CHECKOUT / "README.md").read_text(encoding="utf-8")
