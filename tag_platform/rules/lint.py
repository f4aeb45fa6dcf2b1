"""Warnings about valid rules, found by reasoning over sets of values: what can never be true, what adds nothing, which
tags say the same. Nothing is guessed: a warning is given only where it is proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar

from tag_platform.rules.model import Group, Leaf, Node, Rule, TagLeaf, walk
from tag_platform.rules.operators import Shape, operators_named, positive
from tag_platform.rules.value_sets import (
    FALSE,
    Subject,
    ValueSet,
    leaf_set,
    points_of,
    subject_of,
    universe,
    value_subject,
)
from tag_platform.rules.words import describe, describe_leaf

T = TypeVar("T")
MAX_MEMBERS, MAX_NODES = 100, 300  # of groups in which each member is compared with each: silence beyond
MAX_PAIRED = 50  # conditions of one AND that are compared with each other


@dataclass(frozen=True)
class Finding:
    """One finding: where, and why."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def _once(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """Remembers the answer with the node, which never changes: many rules are compared with many."""
    name = f"_lint{function.__name__}"

    def remembered(node: Any) -> T:
        if name not in node.__dict__:
            node.__dict__[name] = function(node)
        answer: T = node.__dict__[name]
        return answer

    return remembered


def lint_rule(rule: Rule) -> list[Finding]:
    """Warnings about one rule, in document order."""
    found: list[Finding] = []
    _visit(rule.root, found)
    return found


def lint_rules(rules: Mapping[int, Rule]) -> dict[int, list[Finding]]:
    """Warnings that take several active tags: the same rule twice, one tag's users among another's."""
    found: dict[int, list[Finding]] = {tag: [] for tag in rules}
    ordered = sorted(rules.items())
    for tag, rule in ordered:
        for other, other_rule in ordered:
            if other == tag:
                continue
            if rule.digest == other_rule.digest:
                if tag < other:
                    found[other].append(Finding("$", f"the same rule as tag {tag}"))
                continue
            if within(rule.root, other_rule.root):
                if not within(other_rule.root, rule.root):
                    reason = f"{describe(rule.root)} implies {describe(other_rule.root)}"
                    found[tag].append(Finding("$", f"every user of this tag has tag {other} as well: {reason}"))
                elif tag < other:
                    found[other].append(Finding("$", f"decides the same users as tag {tag}"))
    return {tag: warnings for tag, warnings in found.items() if warnings}


def within(inner: Node, outer: Node) -> bool:
    """Whether it is proved that `outer` is TRUE wherever `inner` is."""
    if never_true(inner) or _same(inner, outer):
        return True
    inner, outer = _opened(inner), _opened(outer)
    if isinstance(outer, Group) and outer.logic == "AND":
        return all(within(inner, member) for member in outer.members)
    if isinstance(inner, Group) and inner.logic == "OR":
        return all(within(member, outer) for member in inner.members)
    if isinstance(outer, Group) and outer.logic == "OR" and any(within(inner, member) for member in outer.members):
        return True
    facts = _facts(inner)
    if isinstance(outer, Leaf):
        known, wanted = facts.get(subject_of(outer)), leaf_set(outer)
        if known is not None and wanted is not None and known.within(wanted):
            return True
        if _true_for_points(facts, outer):
            return True
    conjuncts = _conjuncts(inner)
    return any(_same(member, outer) or _text_within(member, outer) for member in conjuncts)


@_once
def _opened(node: Node) -> Node:
    """A condition on several elements of a list as conditions on each of them."""
    if not isinstance(node, Leaf) or node.operator.shape is not Shape.ELEMENTS:
        return node
    each = "not_contains" if node.operator.name == "contains_none" else "contains"
    operator = operators_named(each)["list"]
    members = tuple(replace(node, operator=operator, value=element) for element in dict.fromkeys(node.value))
    return Group(node.path, "OR" if node.operator.name == "contains_any" else "AND", members)


def _true_for_points(facts: Mapping[Subject, ValueSet], leaf: Leaf) -> bool:
    """Whether the condition is TRUE for each of the few texts that the field can be."""
    answers = _answers(facts, leaf)
    return bool(answers) and all(answers)


def _answers(facts: Mapping[Subject, ValueSet], leaf: Leaf) -> list[bool]:
    if leaf.type not in ("string", "enum") or leaf.other is not None:
        return []
    operator, negated = positive(leaf.operator, leaf.type)
    known = facts.get(value_subject(leaf))
    points = None if known is None else points_of(known)
    if points is None or operator.test is None:
        return []
    return [operator.test(point, leaf.value, date.min) is not negated for point in points]


def _text_within(inner: Node, outer: Node) -> bool:
    """`contains "abc"` implies `contains "b"`, and so do the ends of a text what they contain."""
    if not isinstance(inner, Leaf) or not isinstance(outer, Leaf) or value_subject(inner) != value_subject(outer):
        return False
    if inner.type not in ("string", "enum") or inner.other is not None or outer.other is not None:
        return False
    names = (inner.operator.name, outer.operator.name)
    if names[0] not in ("contains", "starts_with", "ends_with"):
        return False
    if names[1] == "contains":
        return outer.value in inner.value
    return names == ("ends_with", "ends_with") and bool(inner.value.endswith(outer.value))


def _contradict(left: Node, right: Node) -> bool:
    """Whether one of two conditions implies what the other denies."""
    for one, other in ((left, right), (right, left)):
        denied = _denied(other)
        if denied is not None and (_same(one, denied) or _text_within(one, denied)):
            return True
    return False


def _denied(node: Node) -> Node | None:
    """The condition that is not TRUE where `node` is."""
    if isinstance(node, Group) and node.logic == "NOT" and len(node.members) == 1:
        return node.members[0]
    if isinstance(node, TagLeaf):
        return replace(node, negated=not node.negated)
    if isinstance(node, Leaf):
        operator, negated = positive(node.operator, node.type)
        return replace(node, operator=operator) if negated else None
    return None


@_once
def never_true(node: Node) -> bool:
    """Whether it is proved that the node is TRUE for nobody."""
    if isinstance(node, Group) and node.logic == "OR":
        return all(never_true(member) for member in node.members)
    if isinstance(node, Group) and node.logic == "NOT":
        return all(_always_known(member) for member in node.members)
    if isinstance(node, TagLeaf):
        return not node.negated and never_true(node.rule.root)
    if isinstance(node, Group) and any(never_true(member) for member in node.members):
        return True
    facts, conjuncts = _facts(node), _conjuncts(node)
    if any(values.empty for values in facts.values()):
        return True
    texts = [_answers(facts, leaf) for leaf in conjuncts if isinstance(leaf, Leaf)]
    if any(answers and not any(answers) for answers in texts):
        return True
    few = conjuncts[:MAX_PAIRED]
    return any(_contradict(one, other) for index, one in enumerate(few) for other in few[:index])


@_once
def _always_known(node: Node) -> bool:
    """Whether it is proved that the node is TRUE for everybody, with NULL counted."""
    if isinstance(node, Group):
        if node.logic == "AND":
            return all(_always_known(member) for member in node.members)
        if node.logic == "NOT":
            return any(_never_unknown_false(member) for member in node.members)
        if any(_always_known(member) for member in node.members):
            return True
        joined: dict[Subject, ValueSet] = {}
        for leaf in node.members:
            values = leaf_set(leaf) if isinstance(leaf, Leaf) else None
            if isinstance(leaf, Leaf) and values is not None:
                key = subject_of(leaf)
                joined[key] = joined[key].union(values) if key in joined else values
        return any(values.full for values in joined.values())
    if isinstance(node, Leaf):
        values = leaf_set(node)
        return values is not None and values.full
    return node.negated and never_true(node.rule.root)


def _never_unknown_false(node: Node) -> bool:
    """Whether it is proved that the node is FALSE, not UNKNOWN, for everybody."""
    if isinstance(node, TagLeaf):
        return never_true(node) or (node.negated and _always_known(node.rule.root))
    if isinstance(node, Group) and node.logic == "AND":
        return any(_never_unknown_false(member) for member in node.members)
    return False


@_once
def _conjuncts(node: Node) -> list[Node]:
    """Nodes that are TRUE wherever `node` is."""
    node = _opened(node)
    if isinstance(node, Group) and (node.logic == "AND" or (node.logic == "OR" and len(node.members) == 1)):
        return [inner for member in node.members for inner in _conjuncts(member)]
    if isinstance(node, TagLeaf) and not node.negated:
        return [node, *_conjuncts(node.rule.root)]
    return [node]


@_once
def _facts(node: Node) -> dict[Subject, ValueSet]:
    """For each field the values that it can have where `node` is TRUE, as far as that is proved."""
    facts: dict[Subject, ValueSet] = {}

    def learn(subject: Subject, values: ValueSet) -> None:
        facts[subject] = facts[subject].intersection(values) if subject in facts else values

    for conjunct in _conjuncts(node):
        if (fact := _fact(conjunct)) is not None:
            learn(*fact)
        leaf = conjunct.members[0] if isinstance(conjunct, Group) and len(conjunct.members) == 1 else conjunct
        if isinstance(leaf, Leaf) and _unknown_on_null(leaf):  # TRUE or FALSE, so the field is not NULL
            learn(value_subject(leaf), universe(False))
            if leaf is conjunct and leaf.type == "list" and leaf.operator.name == "contains":
                empty = replace(leaf, operator=operators_named("is_empty")["list"], value=None)
                learn(subject_of(empty), FALSE)
    return facts


@_once
def _fact(node: Node) -> tuple[Subject, ValueSet] | None:
    node = _opened(node)
    if isinstance(node, Leaf):
        values = leaf_set(node)
        return None if values is None else (subject_of(node), values)
    if isinstance(node, Group) and node.logic == "OR":
        parts = [_fact(member) for member in node.members]
        if all(part is not None for part in parts):
            known = [part for part in parts if part is not None]
            if len({subject for subject, _ in known}) == 1:
                joined = known[0][1]
                for _, values in known[1:]:
                    joined = joined.union(values)
                return known[0][0], joined
    if isinstance(node, Group) and node.logic == "NOT" and len(node.members) == 1:
        inner = node.members[0]
        if isinstance(inner, Leaf):
            values = leaf_set(inner)
            if values is not None:
                return subject_of(inner), values.opposite(unknown_on_null=_unknown_on_null(inner))
    return None


def _unknown_on_null(leaf: Leaf) -> bool:
    return leaf.operator.name not in ("is_null", "is_not_null")


def _same(left: Node, right: Node) -> bool:
    return type(left) is type(right) and _digest(left) == _digest(right)


@_once
def _digest(node: Node) -> str:
    return Rule(node).digest


def _visit(node: Node, found: list[Finding], above_never: bool = False, below_not: bool = False) -> None:
    if never_true(node) and not above_never:
        found.append(Finding(node.path, f"can never be true: {_why_never(node)}"))
        above_never = True
    elif _always_known(node):
        found.append(Finding(node.path, f"always true, for every user: {describe(node)}"))
    elif isinstance(node, Leaf) and _unknown_on_null(node):
        values = leaf_set(node)
        if values is not None and values.values_full:
            found.append(Finding(node.path, f"true for every value but NULL: {describe_leaf(node)}"))
    if not isinstance(node, Group):
        return
    # Below NOT it matters whether a condition is FALSE or UNKNOWN: there, one that is implied may still add something.
    below_not = below_not or node.logic == "NOT"
    if not above_never and not below_not:
        _redundant(node, found)
    for member in node.members:
        _visit(member, found, above_never, below_not)


def _why_never(node: Node) -> str:
    for subject, values in _facts(node).items():
        if values.empty:
            parts = [describe(c) for c in _conjuncts(node) if (fact := _fact(c)) and fact[0] == subject]
            return f"no value fulfils {' and '.join(parts)}" if len(parts) > 1 else describe(node)
    return describe(node)


def _redundant(group: Group, found: list[Finding]) -> None:
    """A member of AND that another member implies, or a member of OR that implies another one, adds nothing."""
    if len(group.members) > MAX_MEMBERS or sum(1 for _ in walk(group)) > MAX_NODES:
        return
    dropped: set[int] = set()
    for index, member in reversed(list(enumerate(group.members))):
        for other_index, other in enumerate(group.members):
            if other_index == index or other_index in dropped or never_true(other) or never_true(member):
                continue
            implied = within(other, member) if group.logic == "AND" else within(member, other)
            if implied:
                dropped.add(index)
                what = "implied by" if group.logic == "AND" else "contained in"
                found.append(
                    Finding(member.path, f"adds nothing: {describe(member, False)} is {what} {describe(other, False)}")
                )
                break
