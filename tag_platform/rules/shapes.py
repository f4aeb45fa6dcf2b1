"""Parses the `value` of a condition by the shape that its operator takes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tag_platform.rules.errors import shown
from tag_platform.rules.operators import Operator, Shape
from tag_platform.rules.regex import BadRegex, parse_regex
from tag_platform.rules.strict_json import JsonNumber
from tag_platform.rules.values import BadValue, day_count, literal


def parse_value(operator: Operator, kind: str, value: Any, path: str) -> Any:
    """The parsed value; `kind` is the type of the field, or of its elements for a list. Raises `BadValue`, whose `path`
    points into a list where one member is to blame."""
    shape = operator.shape
    if shape in (Shape.NOTHING, Shape.TRUE, Shape.FALSE):
        return _nothing(operator, value)
    if shape in (Shape.LIST, Shape.ELEMENTS):
        return _members(value, path, lambda member: literal(kind, member))
    if shape is Shape.ELEMENT:
        if isinstance(value, list):
            if len(value) != 1:
                raise BadValue(f"found a list of {len(value)}; one element, or a list of exactly one, is allowed")
            return _members(value, path, lambda member: literal(kind, member))[0]
        return literal(kind, value)
    if shape is Shape.RANGE:
        return _range(value, path, lambda member: literal(kind, member))
    if shape is Shape.DAYS_RANGE:
        return _range(value, path, day_count)
    if shape is Shape.DAYS:
        return day_count(value)
    if shape is Shape.ONE:
        return literal(kind, value)
    if isinstance(value, JsonNumber) or not isinstance(value, str) or not value:
        raise BadValue(f"found {shown(value)}; a non-empty string is allowed")
    if shape is Shape.TEXT:
        return value
    try:
        return parse_regex(value)
    except BadRegex as error:
        raise BadValue(f"bad regular expression: {error}") from None


def _nothing(operator: Operator, value: Any) -> None:
    said = {Shape.TRUE: (True, "true"), Shape.FALSE: (False, "false")}.get(operator.shape)
    plain = not isinstance(value, JsonNumber)
    if value is None or (plain and value in ("", [])):
        return
    if said and plain and (value is said[0] or (isinstance(value, str) and value.lower() == said[1])):
        return
    raise BadValue(f"found {shown(value)}; {operator.name} takes {operator.shape.value}")


def _members(value: Any, path: str, parse: Callable[[Any], Any]) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue(f"found {shown(value)}; a non-empty list is allowed")
    members = []
    for index, member in enumerate(value):
        try:
            members.append(parse(member))
        except BadValue as error:
            raise BadValue(str(error), f"{path}[{index}]") from None
    return tuple(members)


def _range(value: Any, path: str, parse: Callable[[Any], Any]) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadValue(f"found {shown(value)}; a list of two, [low, high], is allowed")
    low, high = _members(value, path, parse)
    if low > high:
        first, second = (shown(member if not isinstance(member, Decimal) else str(member)) for member in value)
        raise BadValue(f"the low end {first} is above the high end {second}")
    return low, high
