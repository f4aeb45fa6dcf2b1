"""Whether warnings are true: each says something about every user, so that one user can prove it wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from tag_platform.rules import Rule
from tag_platform.rules.evaluate import truth
from tag_platform.rules.lint import Finding, lint_rule, lint_rules
from tag_platform.rules.model import Group, Node, walk
from tag_platform_tests.rule_engines import Batch

Users = list[Mapping[tuple[str, str], Any]]


def false_alarms(batch: Batch) -> Iterator[str]:
    """Warnings about the batch's rules that one of its users proves wrong."""
    users: Users = [user for _, user in batch.dataset.users]
    for rule in batch.parsed:
        for finding in lint_rule(rule):
            if proof := _proof(rule, finding, users, batch.as_of, batch.timezone):
                yield f"{batch.rules[batch.parsed.index(rule)]}: {finding} is wrong for {proof}"
    rules = dict(enumerate(batch.parsed, 1))
    for tag, findings in lint_rules(rules).items():
        for finding in findings:
            if proof := _proof_of_two(tag, rules, finding, users, batch.as_of, batch.timezone):
                yield f"{[batch.rules[tag - 1]]}: {finding} is wrong for {proof}"


def _proof(rule: Rule, finding: Finding, users: Users, as_of: date, timezone: str) -> Any:
    """A user for whom the warning about one rule is wrong."""
    zone = ZoneInfo(timezone)
    nodes = {node.path: node for node in walk(rule.root)}
    node = nodes[finding.path]

    def says(part: Node, user: Any) -> bool | None:
        return truth(part, user, as_of, zone)

    for user in users:
        answer = says(node, user)
        wrong = False
        if finding.message.startswith("can never be true"):
            wrong = answer is True
        elif finding.message.startswith("always true"):
            wrong = answer is not True
        elif finding.message.startswith("true for every value but NULL"):
            wrong = answer is False
        elif finding.message.startswith("adds nothing"):
            wrong = (says(rule.root, user) is True) != (says(_without(rule.root, finding.path), user) is True)
        else:
            raise AssertionError(f"a warning that nobody checks: {finding}")
        if wrong:
            return user
    return None


def _without(node: Node, path: str) -> Node:
    """The tree without the node at `path`."""
    if not isinstance(node, Group):
        return node
    return Group(node.path, node.logic, tuple(_without(m, path) for m in node.members if m.path != path))


def _proof_of_two(
    tag: int, rules: Mapping[int, Rule], finding: Finding, users: Users, as_of: date, timezone: str
) -> Any:
    match = re.search(r"tag (\d+)", finding.message)
    assert match is not None, finding
    zone, other = ZoneInfo(timezone), rules[int(match[1])]
    for user in users:
        mine, theirs = (truth(rule.root, user, as_of, zone) is True for rule in (rules[tag], other))
        same = finding.message.startswith(("the same rule", "decides the same users"))
        if mine != theirs if same else mine and not theirs:
            return user
    return None
