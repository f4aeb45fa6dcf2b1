"""The abstract syntax tree of a rule. Shapes, aliases, qualifiers and defaults are gone; what is left is the meaning,
and for each node the JSON path it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from tag_platform.rules.operators import Operator
from tag_platform.rules.regex import Regex
from tag_platform.rules.schema import ColumnType


@dataclass(frozen=True)
class Field:
    """One column of one table, with the type in which it is stored; for lists the rule type of the elements."""

    table: str
    column: str
    stored: ColumnType
    element: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.table, self.column)

    def __str__(self) -> str:
        return self.column


@dataclass(frozen=True)
class Leaf:
    """One condition on one field. `type` is the rule type the field is read as, `value` a parsed literal (Decimal, str,
    date, naive datetime, bool, `Regex`, whole number of days, or a tuple of these), `other` the field it is compared
    with in place of a value."""

    path: str
    field: Field
    type: str
    operator: Operator
    value: Any = None
    other: Field | None = None


@dataclass(frozen=True)
class TagLeaf:
    """Whether the rule of another tag is TRUE for the same user."""

    path: str
    tag_id: int
    negated: bool
    rule: Rule


@dataclass(frozen=True)
class Group:
    """`AND`, `OR`, or `NOT` (which negates the AND of its members). Never empty."""

    path: str
    logic: Literal["AND", "OR", "NOT"]
    members: tuple[Node, ...]


Node = Leaf | TagLeaf | Group


@dataclass(frozen=True)
class Rule:
    """A valid rule. Two rules with the same `digest` mean the same."""

    root: Node
    tag_id: int | None = None
    size: int = field(default=0, compare=False)
    depth: int = field(default=0, compare=False)

    @cached_property
    def fields(self) -> frozenset[tuple[str, str]]:
        """(table, column) of every field needed, those of referenced tags included."""
        own = {f.key for leaf in leaves(self.root) for f in (leaf.field, leaf.other) if f is not None}
        return frozenset(own).union(*(leaf.rule.fields for leaf in tag_leaves(self.root)))

    @cached_property
    def references(self) -> frozenset[int]:
        """Tags that the rule refers to, directly or through others."""
        direct = {leaf.tag_id: leaf.rule for leaf in tag_leaves(self.root)}
        return frozenset(direct).union(*(rule.references for rule in direct.values()))

    @cached_property
    def true_for_unknown(self) -> bool:
        """Whether the rule is TRUE for a user all of whose fields are NULL: it then needs the whole population."""
        return _for_unknown(self.root) is True

    @cached_property
    def canonical(self) -> Any:
        """The meaning as JSON: no paths, no aliases, no groups of one."""
        return _canonical(self.root)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form: the version of the rule."""
        text = json.dumps(self.canonical, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> str:
        """The rule in words, for people."""
        from tag_platform.rules.words import describe

        return describe(self.root)


def leaves(node: Node) -> Iterator[Leaf]:
    """The leaves on fields below `node`, in document order; rules of referenced tags are not entered."""
    for member in walk(node):
        if isinstance(member, Leaf):
            yield member


def tag_leaves(node: Node) -> Iterator[TagLeaf]:
    for member in walk(node):
        if isinstance(member, TagLeaf):
            yield member


def walk(node: Node) -> Iterator[Node]:
    """`node` and all nodes below it, in document order."""
    yield node
    if isinstance(node, Group):
        for member in node.members:
            yield from walk(member)


def conjunction(truths: list[bool | None]) -> bool | None:
    """AND in three-valued logic: FALSE wins over UNKNOWN, UNKNOWN over TRUE."""
    if False in truths:
        return False
    return None if None in truths else True


def disjunction(truths: list[bool | None]) -> bool | None:
    """OR in three-valued logic: TRUE wins over UNKNOWN, UNKNOWN over FALSE."""
    if True in truths:
        return True
    return None if None in truths else False


def negation(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def combined(logic: str, truths: list[bool | None]) -> bool | None:
    """What a group says, given what its members say."""
    if logic == "OR":
        return disjunction(truths)
    return negation(conjunction(truths)) if logic == "NOT" else conjunction(truths)


def _for_unknown(node: Node) -> bool | None:
    if isinstance(node, Group):
        return combined(node.logic, [_for_unknown(member) for member in node.members])
    if isinstance(node, TagLeaf):
        return node.rule.true_for_unknown is not node.negated
    return {"is_null": True, "is_not_null": False}.get(node.operator.name)


def _canonical(node: Node) -> Any:
    if isinstance(node, Group):
        if len(node.members) == 1 and node.logic != "NOT":
            return _canonical(node.members[0])
        return {"logic": node.logic, "members": [_canonical(member) for member in node.members]}
    if isinstance(node, TagLeaf):
        operator = "not_has_tag" if node.negated else "has_tag"
        return {"tag": node.tag_id, "operator": operator, "rule": node.rule.digest}
    result = {
        "field": [*node.field.key, node.field.stored.name, *filter(None, [node.field.element])],
        "type": node.type,
        "operator": node.operator.name,
    }
    if node.other is not None:
        result["other"] = [*node.other.key, node.other.stored.name]
    elif node.value is not None:
        result["value"] = plain(node.value)
    return result


def plain(value: Any) -> Any:
    """A parsed literal as JSON: numbers as text in one spelling, dates as ISO text, patterns as written."""
    if isinstance(value, tuple):
        return [plain(member) for member in value]
    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return value.pattern if isinstance(value, Regex) else value


def number_text(number: Decimal) -> str:
    """One spelling for equal numbers: plain digits where that is short, otherwise with an exponent. Stored values may
    be infinite, literals never are."""
    if not number.is_finite():
        return str(number)
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    figures = "".join(map(str, digits)).lstrip("0")
    stripped = figures.rstrip("0")
    if not stripped:
        return "0"
    power = exponent + len(figures) - len(stripped)
    prefix = "-" if sign else ""
    if -20 <= power <= 20:
        return prefix + format(Decimal(f"{stripped}E{power}"), "f")
    return f"{prefix}{stripped}E{power}"
