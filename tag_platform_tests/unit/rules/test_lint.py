"""Warnings: what is found, and above all that no warning is false."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tag_platform.rules import parse_rule
from tag_platform.rules.lint import lint_rule, lint_rules
from tag_platform_tests.close_rules import close_batches
from tag_platform_tests.lint_oracle import false_alarms
from tag_platform_tests.rule_engines import Batch
from tag_platform_tests.rule_strategies import SCHEMA, batches

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))


def leaf(field: str, operator: str, *value: Any, **more: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, **({"value": value[0]} if value else {}), **more}


def group(logic: str, *members: Any) -> dict[str, Any]:
    return {"logic": logic, "conditions": list(members)}


def warnings(rule: dict[str, Any]) -> list[str]:
    return [str(finding) for finding in lint_rule(parse_rule(rule, SCHEMA))]


NEVER = [
    group("AND", leaf("i", ">", 2), leaf("i", "<", 2)),
    group("AND", leaf("i", ">", 2), leaf("i", "<", 3)),
    group("AND", leaf("i", ">", 1.5), leaf("i", "<", 1.9)),
    group("AND", group("OR", leaf("i", "=", 1), leaf("i", "=", 2)), leaf("i", ">", 3)),
    group("AND", leaf("i", "in", [1, 2]), leaf("i", "in", [2, 3]), leaf("i", "!=", 2)),
    group("AND", leaf("s", "=", "a"), leaf("s", "!=", "a")),
    group("AND", leaf("s", "<", "b"), leaf("s", ">=", "b")),
    group("AND", leaf("b", "is_true"), leaf("b", "is_false")),
    group("AND", leaf("i", "is_null"), leaf("i", "=", 5)),
    group("AND", group("NOT", leaf("i", ">", 5)), leaf("i", ">", 6)),
    group("AND", leaf("day", "recent_days", 7), leaf("day", "days_ago", 8)),
    group("AND", leaf("day", ">", "2026-01-31"), leaf("day", "<=", "2026-01-31")),
    group("AND", leaf("ts", "recent_days", 7), leaf("ts", "days_ago", 8)),
    group("AND", leaf("i", ">", 2**31)),
    group("AND", leaf("m", ">=", 10**17)),
    group("AND", leaf("s", "starts_with", "a"), leaf("s", "=", "b")),
    group("AND", leaf("s", "starts_with", "ab"), leaf("s", "starts_with", "b")),
    group("AND", leaf("s", "in", ["ab", "b"]), leaf("s", "matches", "^c")),
    group("AND", leaf("s", "contains", "abc"), leaf("s", "not_contains", "b")),
    group("AND", leaf("s", "contains", "abc"), leaf("s", "is_null")),
    group("AND", leaf("xs", "contains_any", ["a"]), leaf("xs", "contains_none", ["a", "b"])),
    group("AND", leaf("xs", "contains_all", ["a", "b"]), leaf("xs", "is_empty")),
    group("AND", leaf("i", "<", value_field="big"), leaf("i", ">=", value_field="big")),
]
ALWAYS = [
    group("OR", leaf("i", "is_null"), leaf("i", "is_not_null")),
    group("OR", leaf("i", ">", 2), leaf("i", "<=", 2), leaf("i", "is_null")),
]
SECOND = "$.conditions[1]"
REDUNDANT = [
    (group("AND", leaf("i", ">", 2), leaf("i", ">", 1)), "$.conditions[1]", "is implied by"),
    (group("AND", leaf("i", ">", 2), leaf("i", "is_not_null")), "$.conditions[1]", "is implied by"),
    (group("AND", leaf("i", "=", 2), leaf("i", "=", 2)), "$.conditions[1]", "is implied by"),
    (group("OR", leaf("i", "=", 1), leaf("i", "in", [1, 2])), "$.conditions[0]", "is contained in"),
    (group("OR", leaf("day", "recent_days", 7), leaf("day", "recent_days", 30)), "$.conditions[0]", "is contained in"),
    (
        group("AND", leaf("s", "=", "x"), group("OR", leaf("i", ">", 1), leaf("s", "=", "x"))),
        "$.conditions[1]",
        "implied",
    ),
    (
        group("OR", leaf("i", ">", 2), group("AND", leaf("i", ">", 3), leaf("s", "=", "x"))),
        "$.conditions[1]",
        "contained",
    ),
]
SILENT = [
    group("AND", leaf("i", ">", 2), leaf("big", "<", 2)),
    group("AND", leaf("d", ">", 1.5), leaf("d", "<", 1.9)),
    group("AND", leaf("i", ">", 1), leaf("i", "<", 3)),
    # of wall-clock times only the zone tells the order
    group("AND", leaf("ts", ">", "2026-03-29 02:30:00"), leaf("ts", "<", "2026-03-29 03:00:00")),
    # FALSE for NULL, where the first condition is UNKNOWN: below NOT that is another answer
    group("NOT", group("AND", leaf("i", ">", 2), leaf("i", "is_not_null"))),
    group("OR", leaf("i", ">", 2), leaf("i", "<=", 2)),
    group("AND", leaf("t", "=", "5", type="string"), leaf("t", "!=", 5, type="number")),
]


@pytest.mark.parametrize("rule", NEVER, ids=str)
def test_never_true(rule: dict[str, Any]) -> None:
    """Contradictions are found, with the conditions that contradict each other."""
    [warning] = warnings(rule)
    assert warning.startswith("$: can never be true: ")


@pytest.mark.parametrize("rule", ALWAYS, ids=str)
def test_always_true(rule: dict[str, Any]) -> None:
    """A rule that gives the tag to everybody, those of whom nothing is known included."""
    assert warnings(rule)[0].startswith("$: always true, for every user: ")


@pytest.mark.parametrize(("rule", "path", "reason"), REDUNDANT, ids=str)
def test_redundant(rule: dict[str, Any], path: str, reason: str) -> None:
    """A condition that can go, and the one because of which it can."""
    [warning] = warnings(rule)
    assert warning.startswith(f"{path}: adds nothing: ")
    assert reason in warning


@pytest.mark.parametrize("rule", SILENT, ids=str)
def test_silent(rule: dict[str, Any]) -> None:
    """What is not proved is not said."""
    assert not warnings(rule)


def test_several_tags() -> None:
    """The same rule twice, the same users by another rule, and one tag's users among another's."""
    rules = {
        1: group("AND", leaf("i", ">", 10)),
        2: group("OR", group("AND", leaf("i", ">", "10.0"))),
        3: group("AND", leaf("i", ">=", 11)),
        4: group("AND", leaf("i", ">", 20), leaf("s", "=", "x")),
        5: group("AND", leaf("s", "!=", "x")),
    }
    found = lint_rules({tag: parse_rule(rule, SCHEMA) for tag, rule in rules.items()})
    assert {tag: [str(finding) for finding in findings] for tag, findings in found.items()} == {
        2: ["$: the same rule as tag 1"],
        3: ["$: decides the same users as tag 1", "$: decides the same users as tag 2"],
        4: [
            f'$: every user of this tag has tag {other} as well: i is above 20 and s is "x" implies i is {words}'
            for other, words in ((1, "above 10"), (2, "above 10"), (3, "at least 11"))
        ],
    }


@settings(SLOW, max_examples=60)
@given(close_batches(4, 25))
def test_no_false_alarm_among_close_rules(batch: Batch) -> None:
    """Conditions about the same few values, over users who have just these: no warning is wrong for any of them."""
    assert not list(false_alarms(batch))


@settings(SLOW, max_examples=25)
@given(batches(10, 12))
def test_no_false_alarm_among_all_rules(batch: Batch) -> None:
    """The same over every operator, type and awkward value."""
    assert not list(false_alarms(batch))
