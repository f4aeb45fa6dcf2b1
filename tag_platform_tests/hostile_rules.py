"""Hostile input for the rule parser, and what has to hold for whatever it answers."""

from __future__ import annotations

import json
import random
from datetime import date
from typing import Any

import jsonschema_rs
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tag_platform.rules import InvalidRule, Rule, RuleSchema, evaluate, parse_rule
from tag_platform.rules.explain import explain
from tag_platform.rules.json_schema import json_schema
from tag_platform.rules.lint import lint_rule
from tag_platform.rules.operators import OPERATORS, TYPES
from tag_platform_tests.rule_engines import json_text
from tag_platform_tests.rule_strategies import SCHEMA, STORED, TEXTS, rules

KEYS = (
    "logic",
    "conditions",
    "condition",
    "fields",
    "field",
    "operator",
    "value",
    "type",
    "table",
    "value_field",
    "tag_id",
)
TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "null",
    "true",
    "NaN",
    "1e999999999",
    "-0",
    "\\ud800",
    "\x00",
    "//",
    "'",
]
TOKENS += [json.dumps(key) + ":" for key in KEYS]
VALIDATOR = jsonschema_rs.validator_for(json_schema())


def _values() -> SearchStrategy[Any]:
    names = [name for operator in OPERATORS for name in operator.names]
    words = st.sampled_from([*KEYS, *STORED, *TYPES, *names, *TEXTS, "AND", "None"])
    numbers = st.one_of(st.integers(), st.floats(), st.just(10**400))
    plain = st.one_of(words, st.none(), st.booleans(), numbers, st.text(max_size=5))
    keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=3))

    def deeper(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4))

    return st.recursive(plain, deeper, max_leaves=12)


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, member in members for place in _places(member, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A valid rule with something in it replaced, removed, renamed or moved."""
    rule = json.loads(json_text(draw(rules())))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(_places(rule)))
        if not place:
            continue
        owner = rule
        for key in place[:-1]:
            owner = owner[key]
        what = draw(st.sampled_from(["replace", "replace", "remove", "rename", "wrap"]))
        if what == "replace":
            owner[place[-1]] = draw(_values())
        elif what == "wrap":
            owner[place[-1]] = draw(st.sampled_from([lambda x: [x], lambda x: {"value": x}, lambda x: [x, x]]))(
                owner[place[-1]]
            )
        elif isinstance(owner, dict):
            member = owner.pop(place[-1])
            if what == "rename":
                owner[draw(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)))] = member
        else:
            del owner[place[-1]]
    return rule


@st.composite
def damaged_text(draw: st.DrawFn) -> str:
    """The text of a rule with characters and tokens put in, taken out and doubled."""
    text = json_text(draw(st.one_of(rules(), damaged().filter(_finite))))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 5))):
        low = chance.randint(0, len(text))
        high = min(len(text), low + chance.choice([0, 1, 1, 5, 40]))
        text = text[:low] + chance.choice([*TOKENS, text[low:high] * 2, ""]) + text[high:]
    return text


def _finite(value: Any) -> bool:
    return "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)


def hostile() -> SearchStrategy[Any]:
    """What may reach the parser: data of any kind, text, bytes."""
    return st.one_of(damaged(), damaged(), _values(), damaged_text(), st.text(max_size=20), st.binary(max_size=20))


def check_answer(source: Any, schema: RuleSchema = SCHEMA) -> Rule | None:
    """The parser refuses with paths and reasons, or gives a rule that all the rest can use."""
    try:
        rule = parse_rule(source, schema)
    except InvalidRule as error:
        _check_errors(error)
        return None
    assert rule == parse_rule(source, schema)
    assert rule.describe()
    lint_rule(rule)
    nobody = evaluate(rule, {}, date(2026, 3, 1))
    assert (nobody is True) == rule.true_for_unknown
    assert explain(rule, {}, date(2026, 3, 1)).truth is nobody
    tree = source if isinstance(source, dict) else json.loads(source)
    if "1e999" not in json_text(tree):  # a number that the validator itself cannot hold
        VALIDATOR.validate(json.loads(json_text(tree)))
    return rule


def _check_errors(refused: InvalidRule) -> None:
    assert refused.errors
    for one in refused.errors:
        assert one.path.startswith("$"), one
        assert one.message, one
        assert len(str(one)) < 20_000, "a message that repeats the input"
