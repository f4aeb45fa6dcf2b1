"""Explanations: the truth they tell is the evaluation's, and what is missing is said for a person to pass on."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_platform.rules import ColumnSchema, RuleSchema, evaluate, parse_rule
from tag_platform.rules.explain import Explanation, explain
from tag_platform.rules.model import combined
from tag_platform_tests.rule_strategies import AS_OF, SCHEMA, datasets, rules

TABLES = RuleSchema(
    {
        "info": {
            "age": ColumnSchema("int"),
            "kyc_status": ColumnSchema("string"),
            "level": ColumnSchema("string"),
            "registered": ColumnSchema("date"),
            "risk": ColumnSchema("string", "int"),
            "labels": ColumnSchema("array<string>"),
            "vip": ColumnSchema("boolean"),
        },
        "activity": {"trades": ColumnSchema("int"), "amount": ColumnSchema("double"), "score": ColumnSchema("double")},
    }
)
USER: dict[tuple[str, str], Any] = {
    ("info", "age"): 17,
    ("info", "kyc_status"): "pending",
    ("info", "level"): None,
    ("info", "registered"): date(2026, 1, 1),
    ("info", "risk"): "n/a",
    ("info", "labels"): ["a", None],
    ("info", "vip"): False,
    ("activity", "trades"): 9,
    ("activity", "amount"): 85000.1,
    ("activity", "score"): float("nan"),
}
TODAY = date(2026, 11, 24)


def why(*conditions: dict[str, Any], logic: str = "AND", absent: tuple[str, ...] = ()) -> Explanation:
    user = {key: value for key, value in USER.items() if key[0] not in absent}
    rule = parse_rule({"logic": logic, "conditions": list(conditions)}, TABLES, {5: FIVE})
    return explain(rule, user, TODAY, absent=absent)


def leaf(field: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, **({} if value is None else {"value": value}), **more}


FIVE = {"logic": "AND", "conditions": [leaf("age", ">=", 18)]}
SENTENCES: list[tuple[dict[str, Any], str]] = [
    (leaf("trades", ">", 10), "trades is 9, more than 10 is needed: 2 short"),
    (leaf("trades", ">=", 10), "trades is 9, at least 10 is needed: 1 short"),
    (leaf("age", "<", 16), "age is 17, less than 16 is needed: 2 over"),
    (leaf("amount", ">=", 100000), "amount is 85000.1, at least 100000 is needed: 14999.9 short"),
    (leaf("age", "=", 18), "age is 17, 18 is needed"),
    (leaf("age", "!=", 17), "age is 17, anything but 17 is needed"),
    (leaf("age", "in_range", [18, 30]), "age is 17, 18 to 30 is needed: 1 short"),
    (leaf("age", "in_range", [1, 10]), "age is 17, 1 to 10 is needed: 7 over"),
    (leaf("age", "not_in_range", [1, 18]), "age is 17, outside of 1 to 18 is needed"),
    (leaf("kyc_status", "=", "verified"), 'kyc_status is "pending", "verified" is needed'),
    (leaf("level", "in", ["VIP2", "VIP3"]), "level is not known (NULL)"),
    (leaf("kyc_status", "in", ["a", "b"]), 'kyc_status is "pending", one of "a", "b" is needed'),
    (leaf("kyc_status", "not_in", ["pending"]), 'kyc_status is "pending", anything but "pending" is needed'),
    (leaf("kyc_status", "starts_with", "v"), 'kyc_status is "pending"; needed: kyc_status starts with "v"'),
    (leaf("risk", "<=", 30), 'risk is "n/a", which is no number and counts as NULL'),
    (leaf("score", "<=", 30), "score is NaN, which counts as NULL"),
    (leaf("vip", "is_true"), "vip is false; needed: vip is true"),
    (leaf("level", "is_not_null"), "level is not known (NULL); a value is needed"),
    (leaf("age", "is_null"), "age is 17, no value is needed"),
    (
        leaf("registered", "recent_days", 30),
        "registered is 2026-01-01 (327 days ago); needed: registered is in the last 30 days",
    ),
    (
        leaf("registered", ">", "2026-01-31"),
        "registered is 2026-01-01, after 2026-01-31 is needed: 31 days too early",
    ),
    (
        leaf("registered", "between", ["2025-01-01", "2025-12-31"]),
        "registered is 2026-01-01, 2025-01-01 to 2025-12-31 is needed: 1 day too late",
    ),
    (leaf("labels", "contains_all", ["a", "b"]), 'labels lacks "b"'),
    (leaf("labels", "contains_none", ["a"]), 'labels is ["a"]; needed: labels contains none of "a"'),
    (leaf("trades", ">=", value_field="age"), "trades is 9, at least age (17) is needed: 8 short"),
    ({"tag_id": 5, "operator": "has_tag"}, "the rule of tag 5 is not TRUE: age is 17, at least 18 is needed: 1 short"),
]


@pytest.mark.parametrize(("condition", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_what_is_missing_in_words(condition: dict[str, Any], sentence: str) -> None:
    """Each kind of condition says what the user has, what is needed, and how far that is."""
    assert why(condition).missing == (sentence,)


def test_user_missing_from_a_table() -> None:
    """Who is not in a table at all is told so, which is another thing than an empty field."""
    explained = why(leaf("trades", ">", 10), absent=("activity",))
    assert explained.truth is None
    assert explained.missing == ("trades is not known: the user is not in activity",)
    assert explained.members[0].values == {"activity.trades": None}


def test_or_needs_one_of_its_members() -> None:
    """Of alternatives, each is a way; the ones below AND are all needed."""
    explained = why(leaf("trades", ">", 10), leaf("kyc_status", "=", "verified"), logic="OR")
    [sentence] = explained.missing
    assert sentence.startswith("one of these is enough: trades is 9")
    assert " — or kyc_status is" in sentence
    assert len(why(leaf("trades", ">", 10), leaf("kyc_status", "=", "verified")).missing) == 2


def test_not_says_what_must_not_be() -> None:
    """Below NOT a condition has to be FALSE, so the opposite of it is what is needed."""
    [sentence] = why(leaf("age", "<", 18), logic="NOT").missing
    assert sentence == "age is 17, at least 18 is needed: 1 short"
    [sentence] = why({"tag_id": 5, "operator": "not_has_tag"}, logic="NOT").missing
    assert sentence.startswith("the rule of tag 5 is not TRUE")


def test_values_of_both_fields_are_shown() -> None:
    """A comparison of two fields shows both of the user's values."""
    explained = why(leaf("trades", ">=", value_field="age"))
    assert explained.members[0].values == {"activity.trades": 9, "info.age": 17}
    assert explained.to_json()["members"][0]["truth"] == "FALSE"


@given(rules(8), datasets(4), st.sampled_from(["UTC", "Asia/Shanghai"]))
def test_truths_are_those_of_the_evaluation(rule: dict[str, Any], data: Any, timezone: str) -> None:
    """At the root the evaluation's answer, at each group what its members make of it; reasons exactly where the node is
    not as it is needed; and everything is JSON."""
    import json

    parsed = parse_rule(rule, SCHEMA)
    for _, user in data.users:
        explained = explain(parsed, user, AS_OF, timezone)
        assert explained.truth is evaluate(parsed, user, AS_OF, timezone)
        _check(explained, True)
        json.dumps(explained.to_json(), allow_nan=False)


def _check(node: Explanation, wanted: bool) -> None:
    assert (node.truth is wanted) == (not node.missing)
    assert all(node.missing)
    if node.kind == "group":
        logic = {"all of": "AND", "that": "AND", "at least one of": "OR", "not all of": "NOT", "not": "NOT"}[node.text]
        assert node.truth is combined(logic, [member.truth for member in node.members])
        for member in node.members:
            _check(member, wanted is not (logic == "NOT"))
