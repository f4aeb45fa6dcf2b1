"""The reference page of the rule language: `reference.md` with what the operator table says, and an example of each
shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tag_platform.rules.operators import OPERATORS, TAG_OPERATORS, TYPE_ALIASES, TYPES, Operator
from tag_platform.rules.parse import MAX_DEPTH, MAX_LEAVES
from tag_platform.rules.regex import MAX_PATTERN
from tag_platform.rules.strict_json import MAX_CHARACTERS

_AGE = {"field": "age", "operator": "in_range", "value": [18, 30], "type": "number"}
_KYC = {"field": "kyc_status", "operator": "=", "value": "verified"}
FLAT: dict[str, Any] = {"logic": "AND", "conditions": [_AGE, _KYC]}
NESTED: dict[str, Any] = {"logic": "AND", "conditions": [_AGE, {"logic": "OR", "conditions": [_KYC, _AGE]}]}
GROUPED: dict[str, Any] = {
    "logic": "AND",
    "conditions": [
        {"condition": {"logic": "None", "fields": [_AGE]}},
        {"condition": {"logic": "NOT", "fields": [_KYC]}},
    ],
}
EXAMPLES = {"flat": FLAT, "nested": NESTED, "grouped": GROUPED}


def reference() -> str:
    """The page `docs/rules.md`."""
    examples = "".join(f"\n{name.capitalize()}:\n```json\n{_json(rule)}\n```\n" for name, rule in EXAMPLES.items())
    parts = {
        "depth": str(MAX_DEPTH),
        "leaves": f"{MAX_LEAVES:,}",
        "characters": f"{MAX_CHARACTERS:,}",
        "pattern": f"{MAX_PATTERN:,}",
        "examples": examples,
        "operators": _operator_table(),
        "types": _type_table(),
        "aliases": "`, `".join(f"{alias}` is another name of type `{name}" for alias, name in TYPE_ALIASES.items()),
    }
    page = Path(__file__).with_name("reference.md").read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"<<{name}>>", text)
    return page


def _json(rule: dict[str, Any]) -> str:
    members = ",\n  ".join(json.dumps(member, ensure_ascii=False) for member in rule["conditions"])
    return f'{{"logic": "{rule["logic"]}", "conditions": [\n  {members}\n]}}'


def _operator_table() -> str:
    rows = ["| group | operator | aliases | value | TRUE where |", "|---|---|---|---|---|"]
    rows += [_row(operator) for operator in OPERATORS]
    tags = " ".join(f"`{name}`" for name in TAG_OPERATORS)
    rows.append(f"| tag | {tags} | | `tag_id` in place of `field` | the rule of that tag is (not) TRUE for the user |")
    return "\n".join(rows)


def _row(operator: Operator) -> str:
    aliases = " ".join(f"`{alias}`" for alias in operator.aliases)
    return f"| {operator.group} | `{operator.name}` | {aliases} | {operator.shape.value} | {operator.summary} |"


def _type_table() -> str:
    """One row for operators that take the same types."""
    alike: dict[tuple[str, ...], list[str]] = {}
    names = dict.fromkeys(operator.name for operator in OPERATORS)
    for name in names:
        taken = {kind for operator in OPERATORS if operator.name == name for kind in operator.types}
        alike.setdefault(tuple(kind for kind in TYPES if kind in taken), []).append(f"`{name}`")
    rows = [f"| | {' | '.join(TYPES)} |", "|---|" + "---|" * len(TYPES)]
    for types, operators in alike.items():
        rows.append(f"| {' '.join(operators)} | {' | '.join('✓' if kind in types else '' for kind in TYPES)} |")
    return "\n".join(rows)
