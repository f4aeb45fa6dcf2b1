"""The JSON Schema (2020-12) of the rule language, generated from the operator table, for editors and forms.

It knows shapes, operators, types and values; what depends on data (which fields exist, of which type they are, low ≤
high, the pattern language, depth) only `parse_rule` knows. What the schema refuses, `parse_rule` refuses too.
"""

from __future__ import annotations

from typing import Any

from tag_platform.rules.operators import OPERATORS, TAG_OPERATORS, TYPE_ALIASES, TYPES, Operator, Shape
from tag_platform.rules.parse import MAX_LEAVES
from tag_platform.rules.regex import MAX_PATTERN

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_FLAG = {True: "^[Tt][Rr][Uu][Ee]$", False: "^[Ff][Aa][Ll][Ss][Ee]$"}
_DAYS = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _NUMBER}]}
_NOTHING: dict[str, Any] = {"enum": ["", None, []]}
_LITERALS: dict[str, Any] = {
    "number": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _NUMBER}]},
    "string": {"type": "string"},
    "enum": {"type": "string"},
    "boolean": {"anyOf": [{"type": "boolean"}, *({"type": "string", "pattern": p} for p in _FLAG.values())]},
    "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "datetime": {
        "type": "string",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$",
    },
    "list": {"type": ["string", "number", "boolean"]},
}


def json_schema() -> dict[str, Any]:
    """The schema of one rule: the outermost group."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tag rule",
        "description": "A user has the tag where the whole rule is TRUE.",
        "$ref": "#/$defs/group",
        "$defs": {
            "group": _group(["conditions"]),
            "wrapped": {
                "type": "object",
                "properties": {"condition": _group(["conditions", "fields"])},
                "required": ["condition"],
                "additionalProperties": False,
            },
            "member": {"anyOf": [{"$ref": "#/$defs/" + name} for name in ("leaf", "tagLeaf", "group", "wrapped")]},
            "logic": {"type": "string", "pattern": "^([Aa][Nn][Dd]|[Oo][Rr]|[Nn][Oo][Tt]|[Nn][Oo][Nn][Ee])$"},
            "tagLeaf": {
                "type": "object",
                "properties": {
                    "tag_id": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _NUMBER}]},
                    "operator": {"enum": list(TAG_OPERATORS)},
                },
                "required": ["tag_id", "operator"],
                "additionalProperties": False,
            },
            "leaf": {"anyOf": [_leaf(operator) for operator in OPERATORS]},
        },
    }


def _group(members: list[str]) -> dict[str, Any]:
    inside = {
        "conditions": {"$ref": "#/$defs/member"},
        "fields": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/tagLeaf"}]},
    }
    lists = {key: {"type": "array", "minItems": 1, "maxItems": MAX_LEAVES, "items": inside[key]} for key in members}
    return {
        "type": "object",
        "properties": {"logic": {"$ref": "#/$defs/logic"}, **lists},
        "required": ["logic"],
        "oneOf": [{"required": [key]} for key in members],
        "additionalProperties": False,
    }


def _leaf(operator: Operator) -> dict[str, Any]:
    types = [*operator.types, *(alias for alias, name in TYPE_ALIASES.items() if name in operator.types)]
    needs_value = operator.shape not in (Shape.NOTHING, Shape.TRUE, Shape.FALSE)
    variants = [_variant(operator, kind, needs_value) for kind in operator.types]
    distinct = [variant for index, variant in enumerate(variants) if variant not in variants[:index]]
    properties: dict[str, Any] = {
        "field": {"type": "string", "minLength": 1},
        "table": {"type": "string", "minLength": 1},
        "operator": {"enum": list(operator.names)},
        "type": {"enum": types},
        "value": {},
    }
    if operator.shape is Shape.ONE:
        properties["value_field"] = {"type": "string", "minLength": 1}
        distinct = [{**variant, "not": {"required": ["value_field"]}} for variant in distinct]
        distinct.append({"required": ["value_field"], "not": {"required": ["value"]}})
    return {
        "title": f"{operator.name} ({', '.join(operator.types) if len(operator.types) < len(TYPES) else 'any type'})",
        "description": operator.summary,
        "type": "object",
        "properties": properties,
        "required": ["field", "operator"],
        "anyOf": distinct,
        "additionalProperties": False,
    }


def _variant(operator: Operator, kind: str, needs_value: bool) -> dict[str, Any]:
    """What `value` may be where the field is read as `kind`."""
    value = _value(operator.shape, _LITERALS[kind])
    names = [kind, *(alias for alias, name in TYPE_ALIASES.items() if name == kind)]
    variant: dict[str, Any] = {"properties": {"value": value}}
    if len(operator.types) > 1 and needs_value:
        variant["properties"]["type"] = {"enum": names}
    return {**variant, "required": ["value"]} if needs_value else variant


def _value(shape: Shape, literal: dict[str, Any]) -> dict[str, Any]:
    if shape is Shape.ONE:
        return literal
    if shape in (Shape.LIST, Shape.ELEMENTS):
        return {"type": "array", "minItems": 1, "items": literal}
    if shape is Shape.RANGE:
        return {"type": "array", "minItems": 2, "maxItems": 2, "items": literal}
    if shape is Shape.ELEMENT:
        return {"anyOf": [literal, {"type": "array", "minItems": 1, "maxItems": 1, "items": literal}]}
    if shape is Shape.DAYS:
        return _DAYS
    if shape is Shape.DAYS_RANGE:
        return {"type": "array", "minItems": 2, "maxItems": 2, "items": _DAYS}
    if shape in (Shape.TEXT, Shape.REGEX):
        limit = {"maxLength": MAX_PATTERN} if shape is Shape.REGEX else {}
        return {"type": "string", "minLength": 1, **limit}
    if shape is Shape.NOTHING:
        return _NOTHING
    return {
        "anyOf": [_NOTHING, {"const": shape is Shape.TRUE}, {"type": "string", "pattern": _FLAG[shape is Shape.TRUE]}]
    }
