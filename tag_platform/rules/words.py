"""Rules and conditions in plain English, for asset descriptions, explanations and warnings."""

from __future__ import annotations

from typing import Any

from tag_platform.rules.model import Leaf, Node, TagLeaf, plain
from tag_platform.rules.operators import Shape
from tag_platform.rules.regex import Regex

_LONGEST_LIST = 8
_LONGEST_TEXT = 60


def describe(node: Node, outermost: bool = True) -> str:
    """`age is between 18 and 30, and kyc_status is "verified"`; inner groups in brackets."""
    if isinstance(node, TagLeaf):
        return f"does not have tag {node.tag_id}" if node.negated else f"has tag {node.tag_id}"
    if isinstance(node, Leaf):
        return describe_leaf(node)
    if len(node.members) == 1 and node.logic != "NOT":
        return describe(node.members[0], outermost)
    parts = [describe(member, False) for member in node.members]
    if node.logic == "NOT":
        return f"not ({' and '.join(parts)})"
    joined = f" {node.logic.lower()} ".join(parts)
    return joined if outermost else f"({joined})"


def describe_leaf(leaf: Leaf) -> str:
    """One condition: field, operator and value in words."""
    words, value, shape = leaf.operator.words, leaf.value, leaf.operator.shape
    if leaf.other is not None:
        return f"{leaf.field} {words} {leaf.other}"
    if shape in (Shape.NOTHING, Shape.TRUE, Shape.FALSE):
        return f"{leaf.field} {words}"
    if shape is Shape.RANGE:
        return f"{leaf.field} {words} {say(value[0])} and {say(value[1])}"
    if "{}" in words:
        return f"{leaf.field} {words.format(*(value if isinstance(value, tuple) else (value,)))}"
    return f"{leaf.field} {words} {say(value)}"


def say(value: Any) -> str:
    """A literal for people: texts in quotes, long lists and texts cut."""
    if isinstance(value, tuple):
        more = f", … ({len(value)} in all)" if len(value) > _LONGEST_LIST else ""
        return ", ".join(say(member) for member in value[:_LONGEST_LIST]) + more
    if isinstance(value, str | Regex):
        text = value.pattern if isinstance(value, Regex) else value.replace('"', '\\"')
        cut = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
        # A terminal must not obey what a value says.
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut) + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(plain(value))
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
