"""Why a rule is TRUE or not for one user: its tree with the user's own values, the truth at each node, and for what is
missing a sentence that a support agent can pass on. Pure; `evaluate` decides, this only says why."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from tag_platform.rules.evaluate import UserValues, truth, value_of
from tag_platform.rules.model import Field, Leaf, Node, Rule, TagLeaf, number_text
from tag_platform.rules.operators import Shape, positive
from tag_platform.rules.predicates import Comparison
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.values import Moment, as_text
from tag_platform.rules.words import describe, describe_leaf, say

TRUTH = {True: "TRUE", False: "FALSE", None: "UNKNOWN"}
_OPPOSITE: dict[str, str] = {"=": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_NEEDED = {
    "=": "{}",
    "!=": "anything but {}",
    "<": "less than {}",
    "<=": "at most {}",
    ">": "more than {}",
    ">=": "at least {}",
}
_NEEDED_DAY = {"<": "before {}", "<=": "{} or earlier", ">": "after {}", ">=": "{} or later"}
_LONGEST_NUMBER = 30  # digits up to which a distance says something


@dataclass(frozen=True)
class Explanation:
    """One node of the rule. `text` is the node in words, `values` the user's stored values of the fields it reads, by
    `table.column`. `missing` holds sentences on what keeps the node from being as the rule needs it."""

    path: str
    kind: Literal["condition", "group", "tag"]
    text: str
    truth: bool | None
    values: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    members: tuple[Explanation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "kind": self.kind,
            "text": self.text,
            "truth": TRUTH[self.truth],
            "values": self.values,
            "missing": list(self.missing),
            "members": [member.to_json() for member in self.members],
        }


def explain(
    rule: Rule, user: UserValues, as_of: date, timezone: str = "UTC", absent: Collection[str] = ()
) -> Explanation:
    """Explains the rule for one user. `user` is as in `evaluate`; `absent` are tables that have no row of the user."""
    return _Explainer(user, as_of, ZoneInfo(timezone), frozenset(absent)).node(rule.root, True)


@dataclass(frozen=True)
class _Explainer:
    user: UserValues
    as_of: date
    zone: ZoneInfo
    absent: frozenset[str]

    def node(self, node: Node, wanted: bool) -> Explanation:
        """`wanted` is what the node has to be: FALSE below a NOT, since UNKNOWN is not enough there."""
        found = truth(node, self.user, self.as_of, self.zone)
        if isinstance(node, Leaf):
            values = {_name(f): json_value(self.user.get(f.key), self.zone) for f in (node.field, node.other) if f}
            reasons = [] if found is wanted else [self.leaf(node, wanted)]
            return Explanation(node.path, "condition", describe_leaf(node), found, values, tuple(reasons))
        if isinstance(node, TagLeaf):
            inner = self.node(node.rule.root, wanted is not node.negated)
            reasons = [] if found is wanted else [self.tag(node, wanted, inner)]
            return Explanation(node.path, "tag", describe(node), found, {}, tuple(reasons), (inner,))
        inside = wanted is not (node.logic == "NOT")
        members = tuple(self.node(member, inside) for member in node.members)
        each = (node.logic != "OR") is inside
        missing = () if found is wanted else _all_of(members) if each else _one_of(members)
        text = {"AND": "all of", "OR": "at least one of", "NOT": "not all of"}[node.logic]
        if len(members) == 1:
            text = "not" if node.logic == "NOT" else "that"
        return Explanation(node.path, "group", text, found, {}, missing, members)

    def tag(self, leaf: TagLeaf, wanted: bool, inner: Explanation) -> str:
        if wanted is leaf.negated:
            return f"the rule of tag {leaf.tag_id} is TRUE, which it must not be"
        return f"the rule of tag {leaf.tag_id} is not TRUE: {'; '.join(inner.missing)}"

    def leaf(self, leaf: Leaf, wanted: bool) -> str:
        """What is missing for a condition to be as `wanted`."""
        operator, negated = positive(leaf.operator, leaf.type)
        needed = wanted is not negated
        if operator.name == "is_null":
            if needed:
                return f"{leaf.field} is {self.shown(leaf.field, leaf.type)}, no value is needed"
            return f"{self.unknown(leaf.field, leaf.type)}; a value is needed"
        for read in (leaf.field, leaf.other):
            if read is not None and self.value(read, leaf.type) is None:
                return self.unknown(read, leaf.type)
        found = f"{leaf.field} is {self.shown(leaf.field, leaf.type)}"
        if operator.compares is not None:
            return self.comparison(leaf, operator.compares if needed else _opposite(operator.compares), found)
        if operator.shape is Shape.RANGE:
            return self.range(leaf, needed, found)
        if operator.shape is Shape.LIST:
            return f"{found}, {'one of' if needed else 'anything but'} {say(leaf.value)} is needed"
        if operator.group == "relative date":
            found += f" ({_days_away((self.as_of - self.day(leaf)).days)})"
        if operator.name == "contains_all" and needed:
            has = self.value(leaf.field, leaf.type)
            lacking = tuple(e for e in leaf.value if not _test(leaf, has, e, self.zone))
            return f"{leaf.field} lacks {say(lacking)}"
        rest = describe_leaf(leaf) if wanted else f"not ({describe_leaf(leaf)})"
        return f"{found}; needed: {rest}"

    def comparison(self, leaf: Leaf, op: str, found: str) -> str:
        x = self.number(leaf.field, leaf.type)
        if leaf.other is not None:
            words = _NEEDED[op].format(f"{leaf.other} ({self.shown(leaf.other, leaf.type)})")
            y, whole = self.number(leaf.other, leaf.type), _whole(leaf.field) and _whole(leaf.other)
        else:
            words, y, whole = _NEEDED[op].format(say(leaf.value)), leaf.value, _whole(leaf.field)
        distance = ""
        if leaf.type == "date" and leaf.other is None:
            words = _NEEDED_DAY.get(op, _NEEDED[op]).format(say(leaf.value))
            distance = _days_off(op, leaf.value, self.value(leaf.field, leaf.type))
        elif x is not None and isinstance(y, Decimal):
            distance = _distance(op, y, x, whole)
        return f"{found}, {words} is needed{distance}"

    def range(self, leaf: Leaf, needed: bool, found: str) -> str:
        low, high = leaf.value
        words = f"{say(low)} to {say(high)}"
        if not needed:
            return f"{found}, outside of {words} is needed"
        x = self.number(leaf.field, leaf.type)
        distance = ""
        if x is not None:
            distance = _distance(">=", low, x, False) or _distance("<=", high, x, False)
        elif leaf.type == "date":
            day = self.value(leaf.field, leaf.type)
            distance = _days_off(">=", low, day) or _days_off("<=", high, day)
        return f"{found}, {words} is needed{distance}"

    def value(self, field: Field, kind: str) -> Any:
        return value_of(field, kind, self.user, self.zone)

    def day(self, leaf: Leaf) -> date:
        x = self.value(leaf.field, leaf.type)
        day: date = x.wall.date() if isinstance(x, Moment) else x
        return day

    def number(self, field: Field, kind: str) -> Decimal | None:
        """The user's number as it is shown, None for anything else and for what is too long to tell distances of."""
        x = self.value(field, kind) if kind == "number" else None
        if x is None or not x.is_finite():
            return None
        return Decimal(as_text(field.stored, self.user[field.key])) if field.stored.base == "float" else Decimal(x)

    def shown(self, field: Field, kind: str) -> str:
        """The user's value for people."""
        stored, x = field.stored, self.value(field, kind)
        if isinstance(x, Moment):
            return x.wall.isoformat(sep=" ")
        if isinstance(x, tuple):
            return "[" + say(tuple(_element(stored, e) for e in x)) + "]"
        number = self.number(field, kind)
        return number_text(number) if number is not None else say(x)

    def unknown(self, field: Field, kind: str) -> str:
        """Why a field is NULL to the rule."""
        raw = self.user.get(field.key)
        if field.table in self.absent:
            return f"{field} is not known: the user is not in {field.table}"
        if raw is None:
            return f"{field} is not known (NULL)"
        if isinstance(raw, float):
            return f"{field} is NaN, which counts as NULL"
        return f"{field} is {say(raw)}, which is no {kind} and counts as NULL"


def json_value(value: Any, zone: ZoneInfo) -> Any:
    """A stored value as JSON: exact numbers, days and times as text, NaN and infinities by name."""
    if isinstance(value, list | tuple):
        return [json_value(member, zone) for member in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        local = value if value.tzinfo is None else value.astimezone(zone).replace(tzinfo=None)
        return local.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _opposite(op: Comparison) -> str:
    return _OPPOSITE[op]


def _name(field: Field) -> str:
    return f"{field.table}.{field.column}" if field.table else field.column


def _whole(field: Field) -> bool:
    return field.stored.base == "int"


def _element(stored: ColumnType, element: Any) -> Any:
    if isinstance(element, Moment):
        return element.wall
    is_float = stored.element is not None and stored.element.base == "float" and isinstance(element, Decimal)
    return Decimal(repr(float(element))) if is_float and element.is_finite() else element


def _test(leaf: Leaf, has: tuple[Any, ...], element: Any, zone: ZoneInfo) -> bool:
    from tag_platform.rules.values import beside

    assert leaf.field.stored.element is not None
    return beside(leaf.field.stored.element, leaf.field.element, element, zone) in has


def _all_of(members: Collection[Explanation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason for member in members for reason in member.missing))


def _one_of(members: Collection[Explanation]) -> tuple[str, ...]:
    ways = list(dict.fromkeys(" and ".join(member.missing) for member in members if member.missing))
    return (ways[0],) if len(ways) == 1 else (f"one of these is enough: {' — or '.join(ways)}",)


def _distance(op: str, bound: Decimal, x: Decimal, whole: bool) -> str:
    """How far `x` is from fulfilling `x op bound`; nothing where that says nothing."""
    if op not in ("<", "<=", ">", ">=") or not bound.is_finite():
        return ""
    if any(abs(n.adjusted()) > _LONGEST_NUMBER or len(n.as_tuple().digits) > _LONGEST_NUMBER for n in (bound, x) if n):
        return ""
    if whole and op == ">":
        bound = bound.to_integral_value(ROUND_FLOOR) + 1
    elif whole and op == "<":
        bound = -((-bound).to_integral_value(ROUND_FLOOR) + 1)
    off = bound - x if op in (">", ">=") else x - bound
    return f": {number_text(off)} {'short' if op in ('>', '>=') else 'over'}" if off > 0 else ""


def _days_off(op: str, bound: date, day: date) -> str:
    off = (bound - day).days + (op == ">") if op in (">", ">=") else (day - bound).days + (op == "<")
    if op in ("=", "!=") or off <= 0:
        return ""
    return f": {off} {'day' if off == 1 else 'days'} too {'early' if op in ('>', '>=') else 'late'}"


def _days_away(days: int) -> str:
    if days == 0:
        return "today"
    return f"{abs(days)} {'day' if abs(days) == 1 else 'days'} {'ago' if days > 0 else 'ahead'}"
