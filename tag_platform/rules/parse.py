"""Parses the JSON of a rule into its tree. Everything that is wrong with the rule is found in one pass; nothing unknown
is ever read as "everyone" or "no one"."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tag_platform.rules import strict_json
from tag_platform.rules.errors import InvalidRule, RuleError, shown
from tag_platform.rules.fields import BadField, decided_type, find_field, readable
from tag_platform.rules.model import Field, Group, Leaf, Node, Rule, TagLeaf, walk
from tag_platform.rules.operators import TAG_OPERATORS, TYPE_ALIASES, TYPES, Operator, Shape, operators_named
from tag_platform.rules.schema import RuleSchema
from tag_platform.rules.shapes import parse_value
from tag_platform.rules.strict_json import MAX_ERRORS
from tag_platform.rules.tag_references import References
from tag_platform.rules.values import BadValue, parse_number

MAX_DEPTH = 32
MAX_LEAVES = 1_000
MAX_UNKNOWN_KEYS = 20  # that are named, of one object
RuleSource = str | bytes | Mapping[str, Any]

_LEAF_KEYS = ("field", "operator", "value", "type", "table", "value_field")
_NO_VALUE: tuple[Any, ...] = ("", None, [])


def parse_rule(
    source: RuleSource,
    schema: RuleSchema,
    references: Mapping[int, RuleSource] | None = None,
    tag_id: int | None = None,
    retired: Collection[int] = (),
) -> Rule:
    """The rule that `source` (JSON text or its Python form) means over the tables of `schema`.

    `references` holds the rules of all active tags by tag id, for `has_tag`; `tag_id` is the tag that this rule
    decides; `retired` are tags that no longer exist. Raises `InvalidRule` with all errors.
    """
    return _parse(source, References(schema, references or {}, frozenset(retired), _parse), tag_id)


def _parse(source: RuleSource, references: References, tag_id: int | None) -> Rule:
    tree, found = strict_json.load_with_errors(source)
    with references.entered(tag_id):
        parser = _RuleParser(references, found)
        root = parser.group(tree, "$", 1)
    errors = parser.errors
    if root is None or errors:
        if len(errors) > MAX_ERRORS:
            errors = [*errors[:MAX_ERRORS], RuleError("$", f"and {len(errors) - MAX_ERRORS:,} errors more")]
        raise InvalidRule(errors)
    size, depth = parser.leaves, parser.deepest
    for leaf in (node for node in walk(root) if isinstance(node, TagLeaf)):
        size, depth = size + leaf.rule.size, max(depth, leaf.rule.depth + parser.deepest)
    references.check_size(size, depth)
    return Rule(root, tag_id, size, depth)


class _RuleParser:
    """Parses one rule and collects its errors. A node that is wrong is None; its error is in `errors`."""

    def __init__(self, references: References, errors: list[RuleError]) -> None:
        self.references = references
        self.schema = references.schema
        self.errors = errors
        self.leaves = 0
        self.deepest = 0

    def refuse(self, path: str, message: str) -> None:
        self.errors.append(RuleError(path, message))

    def keys(self, found: Mapping[str, Any], path: str, allowed: Collection[str]) -> None:
        unknown = [key for key in found if key not in allowed]
        for key in unknown[:MAX_UNKNOWN_KEYS]:
            self.refuse(path, f"unknown key {shown(key)}; allowed are {', '.join(allowed)}")
        if len(unknown) > MAX_UNKNOWN_KEYS:
            self.refuse(path, f"and {len(unknown) - MAX_UNKNOWN_KEYS:,} unknown keys more")

    def group(self, found: Any, path: str, depth: int, members: tuple[str, ...] = ("conditions",)) -> Node | None:
        """A group; `members` are the keys that may hold its members (`fields` only inside a `condition`)."""
        if not isinstance(found, dict):
            self.refuse(path, f"found {shown(found)}; an object with 'logic' and '{members[0]}' is allowed")
            return None
        if depth > MAX_DEPTH:
            self.refuse(path, f"groups are nested more than {MAX_DEPTH} deep")
            return None
        self.deepest = max(self.deepest, depth)
        self.keys(found, path, ("logic", *members))
        given = [key for key in members if key in found]
        if len(given) != 1:
            named = [f"'{key}'" for key in members]
            what = "both " + " and ".join(named) if given else "neither " + " nor ".join(named)
            self.refuse(path, f"found {what if len(members) > 1 else f'no {named[0]}'}; one is needed")
        logic = self.logic(found, path)
        nodes: list[Node | None] = []
        for key in given:
            nodes += self.members(found[key], f"{path}.{key}", depth, leaves_only=key == "fields")
            if logic == "NONE" and isinstance(found[key], list) and len(found[key]) > 1:
                self.refuse(f"{path}.logic", f'"None" is for exactly one member, found {len(found[key])}')
        if logic is None or not nodes or None in nodes:
            return None
        kept = tuple(node for node in nodes if node is not None)
        return Group(path, "OR" if logic == "OR" else "NOT" if logic == "NOT" else "AND", kept)

    def logic(self, found: Mapping[str, Any], path: str) -> str | None:
        if "logic" not in found:
            self.refuse(path, "'logic' is missing; AND, OR or NOT is needed")
            return None
        logic = found["logic"]
        if type(logic) is str and logic.isascii() and logic.upper() in ("AND", "OR", "NOT", "NONE"):
            return logic.upper()
        self.refuse(f"{path}.logic", f'found {shown(logic)}; allowed are AND, OR, NOT, and "None" over one member')
        return None

    def members(self, found: Any, path: str, depth: int, leaves_only: bool) -> list[Node | None]:
        if not isinstance(found, list) or not found:
            self.refuse(path, f"found {shown(found)}; a non-empty list of conditions is allowed")
            return []
        nodes: list[Node | None] = []
        for index, member in enumerate(found):
            nodes.append(self.member(member, f"{path}[{index}]", depth, leaves_only))
            if self.leaves > MAX_LEAVES:
                if self.leaves == MAX_LEAVES + 1:
                    self.leaves += 1
                    self.refuse(f"{path}[{index}]", f"the rule has more than {MAX_LEAVES:,} conditions")
                return [None]
        return nodes

    def member(self, found: Any, path: str, depth: int, leaves_only: bool) -> Node | None:
        if not isinstance(found, dict):
            self.refuse(path, f"found {shown(found)}; a condition or a group is allowed")
            return None
        is_group = "condition" in found or "conditions" in found or "fields" in found or "logic" in found
        if is_group and leaves_only:
            self.refuse(path, "'fields' holds conditions on fields only; groups go into 'conditions'")
            return None
        if "condition" in found:
            self.keys(found, path, ("condition",))
            return self.group(found["condition"], f"{path}.condition", depth + 1, ("fields", "conditions"))
        if is_group:
            return self.group(found, path, depth + 1)
        self.leaves += 1
        if self.leaves > MAX_LEAVES:
            return None
        return self.tag_leaf(found, path) if "tag_id" in found else self.leaf(found, path)

    def tag_leaf(self, found: Mapping[str, Any], path: str) -> Node | None:
        before = len(self.errors)
        self.keys(found, path, ("tag_id", "operator"))
        operator = found.get("operator")
        if type(operator) is not str or operator not in TAG_OPERATORS:
            self.refuse(
                f"{path}.operator", f"found {shown(operator)}; beside 'tag_id' has_tag or not_has_tag is allowed"
            )
        number = parse_number(found["tag_id"]) if isinstance(found["tag_id"], str) else None
        if number is None or number.adjusted() > 18 or number < 1 or number != int(number):
            self.refuse(f"{path}.tag_id", f"found {shown(found['tag_id'])}; the id of a tag is allowed")
            return None
        try:
            rule = self.references.rule(int(number))
        except InvalidRule as error:
            self.errors += [RuleError(f"{path}.tag_id", inner.message) for inner in error.errors]
            return None
        if len(self.errors) > before:
            return None
        return TagLeaf(path, int(number), TAG_OPERATORS[str(operator)], rule)

    def leaf(self, found: Mapping[str, Any], path: str) -> Node | None:
        before = len(self.errors)
        self.keys(found, path, _LEAF_KEYS)
        if "table" in found and found["table"] is None:
            self.refuse(f"{path}.table", "found null; the name of a table is allowed")
        named = self.operators(found, path)
        field = self.field(found, "field", found.get("table"), path)
        kind = self.type(found, field, path)
        if not named or kind is None:
            return None
        operator = named.get(kind)
        if operator is None:
            takes = ", ".join(kind for kind in TYPES if kind in named)
            reason = f"operator {found['operator']} takes {takes}, and the field is read as {kind}"
            hint = "" if "type" in found else "; 'type' says how a field is read"
            self.refuse(f"{path}.operator", reason + hint)
            return None
        if field is not None:
            try:
                field = readable(self.schema, field, kind)
            except BadField as error:
                self.refuse(f"{path}.type" if "type" in found else f"{path}.field", str(error))
        value, other = self.operand(found, path, operator, kind, field)
        if len(self.errors) > before or field is None:
            return None
        return Leaf(path, field, kind, operator, value, other)

    def operators(self, found: Mapping[str, Any], path: str) -> dict[str, Operator]:
        if "operator" not in found:
            self.refuse(path, "'operator' is missing")
            return {}
        name = found["operator"]
        named = operators_named(name) if type(name) is str else {}
        if not named:
            hint = ""
            if type(name) is str and name in TAG_OPERATORS:
                hint = "; it goes with 'tag_id'"
            elif type(name) is str and operators_named(name.strip().lower()):
                hint = f"; {name.strip().lower()} is meant?"
            self.refuse(f"{path}.operator", f"unknown operator {shown(name)}{hint}")
        return named

    def field(self, found: Mapping[str, Any], key: str, table: Any, path: str, hint: str | None = None) -> Field | None:
        if key not in found:
            self.refuse(path, f"'{key}' is missing")
            return None
        try:
            return find_field(self.schema, found[key], table, key, hint)
        except BadField as error:
            self.refuse(f"{path}.{error.key}", str(error))
            return None

    def type(self, found: Mapping[str, Any], field: Field | None, path: str) -> str | None:
        if "type" in found:
            name = found["type"]
            kind = TYPE_ALIASES.get(name, name) if type(name) is str else None
            if kind in TYPES:
                return kind
            allowed = ", ".join([*TYPES, *TYPE_ALIASES])
            self.refuse(f"{path}.type", f"unknown type {shown(name)}; allowed are {allowed}")
            return None
        if field is None:
            return None
        try:
            return decided_type(self.schema, field)
        except BadField as error:
            self.refuse(f"{path}.field", str(error))
            return None

    def operand(
        self, found: Mapping[str, Any], path: str, operator: Operator, kind: str, field: Field | None
    ) -> tuple[Any, Field | None]:
        """The parsed `value`, or the field that `value_field` names."""
        if "value_field" in found:
            if operator.shape is not Shape.ONE:
                self.refuse(
                    f"{path}.value_field",
                    f"only comparisons take a field; {operator.name} takes {operator.shape.value}",
                )
            elif "value" in found:
                self.refuse(f"{path}.value_field", "'value' and 'value_field' exclude each other")
            else:
                hint = field.table if field is not None and "table" in found else None
                other = self.field(found, "value_field", None, path, hint)
                try:
                    return None, None if other is None else readable(self.schema, other, kind)
                except BadField as error:
                    self.refuse(f"{path}.value_field", str(error))
            return None, None
        if "value" not in found and operator.shape not in (Shape.NOTHING, Shape.TRUE, Shape.FALSE):
            self.refuse(path, f"'value' is missing; {operator.name} takes {operator.shape.value}")
            return None, None
        value = found.get("value")
        element = field.element if field is not None and kind == "list" else kind
        if kind == "list" and field is None:
            return None, None
        try:
            return parse_value(operator, element, value, f"{path}.value"), None
        except BadValue as error:
            self.refuse(error.path or f"{path}.value", str(error) + self.field_hint(value, kind))
        return None, None

    def field_hint(self, value: Any, kind: str) -> str:
        """Where a value that does not parse is the name of a field, `value_field` is meant."""
        if kind != "string" and type(value) is str and value and self.schema.tables_with(value.split(".")[-1]):
            return f"; {shown(value)} is the name of a field: to compare with it, write it as 'value_field'"
        return ""
