"""Every operator over every type, by hand-written cases; and the operator table itself."""

from __future__ import annotations

import pytest

from tag_platform.rules import RuleSchema, evaluate, parse_rule
from tag_platform.rules.operators import OPERATORS, TYPES, operators_named
from tag_platform_tests.operator_cases import CASES, Case, batches
from tag_platform_tests.rule_engines import by_oracle


@pytest.mark.parametrize("case", CASES, ids=str)
def test_truth(case: Case) -> None:
    """TRUE, FALSE and UNKNOWN as the specification says, for the operator and under all of its aliases."""
    [names] = {
        operator.names for operator in OPERATORS if operator.name == case.operator and case.kind in operator.types
    }
    schema = RuleSchema.single({"f": case.stored})
    for name in names:
        rule = parse_rule({"logic": "AND", "conditions": [{**case.leaf("f"), "operator": name}]}, schema)
        for value, expected in case.expected:
            assert evaluate(rule, {("", "f"): value}, case.as_of) is expected, (name, value)


def test_every_operator_and_type_has_a_case() -> None:
    """An operator, or a type that it newly takes, comes with its cases."""
    table = {(operator.name, kind) for operator in OPERATORS for kind in operator.types}
    assert {(case.operator, case.kind) for case in CASES} == table
    assert all(case.true or case.operator in ("is_null", "=", ">") for case in CASES)


def test_the_table_is_the_specification() -> None:
    """Names, aliases and types, copied from the specification; nothing more and nothing less."""
    ordered = "number string date datetime"
    members = "number string enum date datetime"
    dates = "date datetime"
    specification = {
        "= == eq equals": "number string enum boolean date datetime",
        "!= <> neq not_equals": "number string enum boolean date datetime",
        "> gt": ordered,
        ">= gte": ordered,
        "< lt": ordered,
        "<= lte": ordered,
        "in belongs_to": members,
        "not_in not_belongs_to": members,
        "in_range between date_in_range date_between": ordered,
        "not_in_range not_between date_not_in_range": ordered,
        "contains": "string list",
        "not_contains": "string list",
        "starts_with": "string",
        "ends_with": "string",
        "matches regex": "string",
        "not_matches": "string",
        "is_null null": " ".join(TYPES),
        "is_not_null not_null": " ".join(TYPES),
        "is_true": "boolean",
        "is_false": "boolean",
        "contains_any intersects": "list",
        "contains_all": "list",
        "contains_none no_intersection disjoint": "list",
        "is_empty": "list",
        "is_not_empty": "list",
        "recent_days": dates,
        "days_ago": dates,
        "days_ago_between": dates,
        "within_next_days": dates,
        "anniversary_within_days": dates,
    }
    assert TYPES == ("number", "string", "enum", "boolean", "date", "datetime", "list")
    found: dict[str, set[str]] = {}
    for operator in OPERATORS:
        found.setdefault(" ".join(operator.names), set()).update(operator.types)
    assert found == {names: set(types.split()) for names, types in specification.items()}
    for names, types in specification.items():
        for name in names.split():
            assert set(operators_named(name)) == set(types.split())


def test_the_batches_hold_the_cases() -> None:
    """What is sent to engines is what is written here: the oracle says of the batches what the cases say."""
    answers = {}
    for batch in batches():
        for rule, truths in zip(batch.rules, by_oracle(batch), strict=True):
            answers[batch.as_of, rule["conditions"][0]["field"]] = truths
    position: dict[object, int] = {}
    for case in CASES:
        number = position[case.as_of] = position.get(case.as_of, -1) + 1
        truths = answers[case.as_of, f"f{number}"]
        assert truths[: len(case.expected)] == [truth for _, truth in case.expected], case
