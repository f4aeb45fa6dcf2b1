"""Rules that are refused: where, what was found and what is allowed, and all of it at once."""

from __future__ import annotations

from typing import Any

import pytest

from tag_platform.rules import InvalidRule, parse_rule
from tag_platform_tests.unit.rules.test_parse import AGE, NAME, TABLES


def refused(rule: Any, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRule) as error:
        parse_rule(rule, TABLES, **more)
    return [(one.path, one.message) for one in error.value.errors]


def leaf(field: Any = "age", operator: Any = ">", **more: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, **more}


C = "$.conditions[0]"
LEAVES: list[tuple[dict[str, Any], str, str]] = [
    # keys, operators, types
    (leaf(value=1, colour=2), C, 'unknown key "colour"; allowed are field, operator, value'),
    ({"operator": ">", "value": 1}, C, "'field' is missing"),
    ({"field": "age", "value": 1}, C, "'operator' is missing"),
    (leaf(), C, "'value' is missing; > takes one value"),
    (leaf(operator="=>", value=1), f"{C}.operator", 'unknown operator "=>"'),
    (leaf(operator="GT", value=1), f"{C}.operator", 'unknown operator "GT"; gt is meant?'),
    (leaf(operator=" in", value=[1]), f"{C}.operator", 'unknown operator " in"; in is meant?'),
    (leaf(operator=["="], value=1), f"{C}.operator", "unknown operator ["),
    (leaf(operator="has_tag", value=1), f"{C}.operator", "it goes with 'tag_id'"),
    (leaf(value=1, type="Number"), f"{C}.type", 'unknown type "Number"; allowed are number, string'),
    (leaf(value=1, type=None), f"{C}.type", "unknown type null"),
    (
        leaf(operator="contains", value="x"),
        f"{C}.operator",
        "operator contains takes string, list, and the",
    ),
    (leaf("name", ">", value=1, type="boolean"), f"{C}.operator", "takes number, string, date, datetime"),
    (leaf("active", "in", value=[True]), f"{C}.operator", "operator in takes number, string, enum, date, datetime"),
    (leaf("name", ">", value="a", type="enum"), f"{C}.operator", "takes number, string, date, datetime"),
    # fields
    (leaf("agee", value=1), f"{C}.field", 'unknown field "agee"; near it is age'),
    (leaf("Age", value=1), f"{C}.field", 'unknown field "Age"'),
    (leaf("both", value=1), f"{C}.field", "in several tables; write one of info.both, money.both"),
    (leaf("nowhere.age", value=1), f"{C}.field", 'unknown table "nowhere"'),
    (leaf("money.age", value=1), f"{C}.field", 'unknown field "age" in table money'),
    (leaf("a.b.c.age", value=1), f"{C}.field", "allowed are column, table.column and database.table.column"),
    (leaf("info.", value=1), f"{C}.field", "allowed are column, table.column"),
    (leaf("", value=1), f"{C}.field", "the name of a field is allowed"),
    (leaf(5, value=1), f"{C}.field", "found 5; the name of a field is allowed"),
    (leaf(value=1, table="infos"), f"{C}.table", 'unknown table "infos"; near it is info'),
    (leaf(value=1, table=None), f"{C}.table", "found null; the name of a table is allowed"),
    (leaf("info.age", value=1, table="money"), f"{C}.table", '"money" is not the table that "info.age" names'),
    # stored types
    (leaf("joined", value=1, type="list"), f"{C}.operator", "takes number"),
    (leaf("age", "=", value="2026-01-31", type="date"), f"{C}.type", "stored as int, which cannot be read as date"),
    (leaf("name", "is_empty", type="list"), f"{C}.type", "stored as string, which cannot be read as list"),
    (leaf("labels", "=", value="a", type="string"), f"{C}.type", "stored as array<string>, which cannot be read as"),
    (leaf("seen", "=", value="2026-01-31", type="date"), f"{C}.type", "stored as timestamp"),
    # values
    (leaf(value="name"), f"{C}.value", 'found "name"; allowed is a number'),
    (
        leaf(value="cash"),
        f"{C}.value",
        "\"cash\" is the name of a field: to compare with it, write it as 'value_field'",
    ),
    *(
        (leaf(value=v), f"{C}.value", "a number")
        for v in (" 5", "5 ", "", "0x10", "1,000", "NaN", "Infinity", "٣", "1_0")
    ),
    (leaf(value=True), f"{C}.value", "found true; allowed is a number"),
    (leaf(value=None), f"{C}.value", "null is not a value here; is_null and is_not_null ask for NULL"),
    (leaf(value=[1]), f"{C}.value", "found [1]; one number is allowed"),
    (leaf(value={"a": 1}), f"{C}.value", "one number is allowed"),
    (leaf("name", "=", value=5), f"{C}.value", "found 5; a JSON string is allowed"),
    (leaf("active", "=", value=1), f"{C}.value", "found 1; allowed is true or false"),
    (leaf("active", "=", value="1"), f"{C}.value", "allowed is true or false"),
    (leaf("active", "is_true", value="false"), f"{C}.value", "is_true takes nothing, or `true`"),
    (leaf("age", "is_null", value=0), f"{C}.value", "is_null takes nothing"),
    (leaf("age", "is_null", value=[None]), f"{C}.value", "is_null takes nothing"),
    *(
        (leaf("joined", "=", value=v), f"{C}.value", "allowed is a date of the calendar")
        for v in ("2026-02-29", "2026-1-31", "20260131", "2026-01-31 00:00:00", " 2026-01-31", 20260131, "0000-01-01")
    ),
    *(
        (leaf("seen", "=", value=v), f"{C}.value", "allowed is a date and time without offset")
        for v in (
            "2026-01-31",
            "2026-01-31 24:00:00",
            "2026-01-31T08:00:00Z",
            "2026-01-31 08:00",
            "2026-01-31 08:00:00.",
        )
    ),
    (leaf(operator="in", value=[]), f"{C}.value", "found []; a non-empty list is allowed"),
    (leaf(operator="in", value=5), f"{C}.value", "found 5; a non-empty list is allowed"),
    (leaf(operator="in", value=[1, None]), f"{C}.value[1]", "null is not a value here"),
    (leaf(operator="in", value=[1, "x"]), f"{C}.value[1]", 'found "x"'),
    (leaf(operator="in_range", value=[1]), f"{C}.value", "a list of two, [low, high], is allowed"),
    (leaf(operator="between", value=[31, "30"]), f"{C}.value", 'the low end 31 is above the high end "30"'),
    (leaf("joined", "between", value=["2026-02-01", "2026-01-01"]), f"{C}.value", "is above the high end"),
    (leaf("name", "contains", value=""), f"{C}.value", 'found ""; a non-empty string is allowed'),
    (leaf("name", "contains", value=5), f"{C}.value", "found 5; a non-empty string is allowed"),
    (leaf("labels", "contains", value=["a", "b"]), f"{C}.value", "found a list of 2; one element"),
    (leaf("labels", "contains_any", value="a"), f"{C}.value", "a non-empty list is allowed"),
    (leaf("labels", "contains_all", value=["a", 5]), f"{C}.value[1]", "a JSON string is allowed"),
    *(
        (leaf("joined", "recent_days", value=v), f"{C}.value", "a whole number of days")
        for v in (-1, 1.5, "x", True, [7])
    ),
    (leaf("joined", "days_ago_between", value=[9, 1]), f"{C}.value", "the low end 9 is above the high end 1"),
    # two fields
    (leaf(value=1, value_field="cash"), f"{C}.value_field", "'value' and 'value_field' exclude each other"),
    (leaf(operator="in", value_field="cash"), f"{C}.value_field", "only comparisons take a field"),
    (leaf(value_field="cashh"), f"{C}.value_field", 'unknown field "cashh"; near it is cash'),
    (leaf(value_field="labels"), f"{C}.value_field", "which cannot be read as number"),
    # tags
    ({"tag_id": 5, "operator": "=", "value": 1}, C, 'unknown key "value"; allowed are tag_id, operator'),
    ({"tag_id": 5, "operator": "in"}, f"{C}.operator", "beside 'tag_id' has_tag or not_has_tag is allowed"),
    ({"tag_id": 0, "operator": "has_tag"}, f"{C}.tag_id", "the id of a tag is allowed"),
    ({"tag_id": "x", "operator": "has_tag"}, f"{C}.tag_id", "the id of a tag is allowed"),
    ({"tag_id": 5, "operator": "has_tag"}, f"{C}.tag_id", "tag 5 is unknown or has no active rule: this rule → tag 5"),
    # members
    ({}, C, "'field' is missing"),
    ([], C, "found []; a condition or a group is allowed"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("condition", "path", "message"), LEAVES, ids=lambda part: str(part)[:60])
def test_conditions(condition: Any, path: str, message: str) -> None:
    """Each thing that can be wrong with one condition."""
    found = refused({"logic": "AND", "conditions": [condition]})
    assert any(where == path and message in what for where, what in found), found


INNER = {"logic": "AND", "conditions": [AGE]}


def wrapped(**inside: Any) -> dict[str, Any]:
    return {"logic": "AND", "conditions": [{"condition": inside}]}


RULES: list[tuple[Any, str, str]] = [
    ([], "$", "found []; an object with 'logic' and 'conditions' is allowed"),
    ("null", "$", "found null; an object"),
    ({}, "$", "found no 'conditions'; one is needed"),
    ({"conditions": [AGE]}, "$", "'logic' is missing; AND, OR or NOT is needed"),
    ({"logic": "XOR", "conditions": [AGE]}, "$.logic", 'found "XOR"; allowed are AND, OR, NOT'),
    ({"logic": " and", "conditions": [AGE]}, "$.logic", "allowed are AND, OR, NOT"),
    ({"logic": None, "conditions": [AGE]}, "$.logic", "found null"),
    ({"logic": "None", "conditions": [AGE, NAME]}, "$.logic", '"None" is for exactly one member, found 2'),
    ({"logic": "AND", "conditions": []}, "$.conditions", "found []; a non-empty list of conditions is allowed"),
    ({"logic": "AND", "conditions": {}}, "$.conditions", "a non-empty list of conditions is allowed"),
    ({"logic": "AND", "fields": [AGE]}, "$", 'unknown key "fields"'),
    (AGE, "$", 'unknown key "field"'),
    ({"condition": {"logic": "None", "fields": [AGE]}}, "$", 'unknown key "condition"'),
    (
        wrapped(logic="AND"),
        f"{C}.condition",
        "found neither 'fields' nor 'conditions'",
    ),
    (
        wrapped(logic="AND", fields=[AGE], conditions=[AGE]),
        f"{C}.condition",
        "found both",
    ),
    (
        wrapped(logic="AND", fields=[]),
        f"{C}.condition.fields",
        "found []",
    ),
    (
        {
            "logic": "AND",
            "conditions": [{"condition": {"logic": "AND", "fields": [{"logic": "AND", "conditions": [AGE]}]}}],
        },
        f"{C}.condition.fields[0]",
        "'fields' holds conditions on fields only",
    ),
    ({"logic": "AND", "conditions": [{"condition": {"logic": "AND", "fields": [AGE]}, "x": 1}]}, C, 'unknown key "x"'),
    ({"logic": "AND", "conditions": [AGE], "note": "x"}, "$", 'unknown key "note"; allowed are logic, conditions'),
]


@pytest.mark.parametrize(("rule", "path", "message"), RULES, ids=lambda part: str(part)[:60])
def test_groups(rule: Any, path: str, message: str) -> None:
    """Each thing that can be wrong with a group."""
    found = refused(rule)
    assert any(where == path and message in what for where, what in found), found


def test_all_errors_at_once() -> None:
    """One look at the errors is enough to correct the rule, wherever they are, in document order."""
    found = refused(
        {
            "logic": "AND",
            "conditions": [
                leaf("agee", value="x"),
                {
                    "logic": "OR",
                    "conditions": [leaf(operator="in", value=[]), {"condition": {"logic": "None", "fields": []}}],
                },
                leaf("name", "matches", value="(?=a)"),
            ],
        }
    )
    assert [path for path, _ in found] == [
        "$.conditions[0].field",
        "$.conditions[1].conditions[0].value",
        "$.conditions[1].conditions[1].condition.fields",
        "$.conditions[2].value",
    ]


def rule_on(tag_id: int) -> dict[str, Any]:
    return {"logic": "AND", "conditions": [{"tag_id": tag_id, "operator": "has_tag"}]}


def test_references_name_the_chain() -> None:
    """A circle, an unknown, a retired and a broken tag: the error names the way to it."""
    references: dict[int, Any] = {1: rule_on(2), 2: rule_on(3), 3: rule_on(1), 4: rule_on(9), 6: {"logic": "AND"}}
    [(path, message)] = refused(rule_on(2), references=references, tag_id=1)
    assert path == "$.conditions[0].tag_id"
    assert "circle: tag 1 → tag 2 → tag 3 → tag 1" in message
    [(_, message)] = refused(rule_on(7), references=references, tag_id=7)
    assert "circle: tag 7 → tag 7" in message
    [(_, message)] = refused(rule_on(4), references=references, tag_id=8)
    assert "tag 9 is unknown or has no active rule: tag 8 → tag 4 → tag 9" in message
    [(_, message)] = refused(rule_on(4), references=references, retired={9}, tag_id=8)
    assert "tag 9 is retired: tag 8 → tag 4 → tag 9" in message
    [(_, message)] = refused(rule_on(6), references=references, tag_id=8)
    assert message.startswith("the rule of tag 6 is invalid (tag 8 → tag 6): $: found no 'conditions'")


def test_long_chains_are_bounded() -> None:
    """References that double at each step would be a million conditions when they are written out."""
    twice = {
        n: {"logic": "AND", "conditions": [{"tag_id": n - 1, "operator": "has_tag"}] * 2} for n in range(2, 40)
    } | {1: {"logic": "AND", "conditions": [AGE]}}
    [(_, message), *_] = refused(rule_on(39), references=twice)
    assert "more than 10,000 conditions" in message
    chain = {n: rule_on(n - 1) for n in range(2, 2000)} | {1: {"logic": "AND", "conditions": [AGE]}}
    [(_, message)] = refused(rule_on(1999), references=chain)
    assert "more than 50 tags refer to each other in a row" in message


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "not allowed"),
        ("a++", "possessive"),
        ("(?P<x>a)", "named groups"),
        ("(?m)a", "other flags"),
        ("a(?i)b", "'(?i)' at the very start"),
        ("[a&&b]", "class operations"),
        (r"\A", "not allowed"),
        (r"\Z", "not allowed"),
        (r"\p{L}", "not allowed"),
        (r"\x41", "not allowed"),
        (r"\0", "not allowed"),
        ("a{2,1}", "from high to low"),
        ("a{", "must start a quantifier"),
        ("*a", "nothing to repeat"),
        ("a**", "nothing to repeat"),
        ("(a", "not closed"),
        ("a)", "closes no group"),
        ("[a", "not closed"),
        ("[]", "must be escaped"),
        ("[z-a]", "high to low"),
        ("a\\", "a backslash at the end"),
        ("a" * 1001, "longer than 1,000 characters"),
        ("((a{100}){100}){100}", "repetitions"),
    ],
)
def test_patterns(pattern: str, why: str) -> None:
    """What is not in the common subset of Java, Rust and Python is refused, with the reason."""
    [(path, message)] = refused({"logic": "AND", "conditions": [leaf("name", "matches", value=pattern)]})
    assert path == f"{C}.value"
    assert message.startswith("bad regular expression: ")
    assert why in message
