"""Reads the JSON of a rule from text that may be hostile.

Size and depth are limited before anything is built, a key twice in one object is an error with its path, and numbers
stay as they were written (`JsonNumber`), so that 9007199254740993 is not rounded. What a rule means is not known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tag_platform.rules.errors import InvalidRule, RuleError, shown

MAX_CHARACTERS = 4_000_000
MAX_JSON_DEPTH = 200  # 32 nested groups of the grouped shape take 3 levels each
MAX_ERRORS = 100
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?+|[\[\]{}]', re.DOTALL)


class JsonNumber(str):
    """A JSON number as it was written."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object's members before duplicates are looked for."""


def load(source: str | bytes | Mapping[str, Any]) -> Any:
    """The JSON value of `source`: dict, list, str, `JsonNumber`, bool or None. Raises `InvalidRule`."""
    tree, errors = load_with_errors(source)
    if errors:
        raise InvalidRule(errors[:MAX_ERRORS])
    return tree


def load_with_errors(source: str | bytes | Mapping[str, Any]) -> tuple[Any, list[RuleError]]:
    """As `load`, with the errors that leave a tree to look at further: keys that are there twice, unusable values."""
    errors: list[RuleError] = []
    tree = _decode(_text(source)) if isinstance(source, str | bytes | bytearray) else source
    return _copy(tree, "$", 0, errors), errors


def read_members(text: str) -> list[tuple[str, Any]]:
    """The members of an object in JSON text; their values are for `load`, which finds keys that are there twice."""
    tree = _decode(_text(text))
    if not isinstance(tree, _Pairs):
        raise _refuse("an object is needed")
    return tree


def _refuse(message: str, path: str = "$") -> InvalidRule:
    return InvalidRule([RuleError(path, message)])


def _text(source: str | bytes | bytearray) -> str:
    if len(source) > 4 * MAX_CHARACTERS:
        raise _refuse(f"the rule is longer than {MAX_CHARACTERS:,} characters")
    if not isinstance(source, str):
        try:
            source = source.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _refuse(f"the rule is not UTF-8 text (byte {error.start})") from None
    if len(source) > MAX_CHARACTERS:
        raise _refuse(f"the rule is longer than {MAX_CHARACTERS:,} characters")
    depth = 0
    for match in _BRACKETS.finditer(source):
        first = match[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > MAX_JSON_DEPTH:
            raise _refuse(f"brackets are nested more than {MAX_JSON_DEPTH} deep (character {match.start()})")
    return source


def _decode(text: str) -> Any:
    def constant(name: str) -> Any:
        raise _refuse(f"{name} is not a JSON number")

    try:
        return json.loads(
            text, object_pairs_hook=_Pairs, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=constant
        )
    except json.JSONDecodeError as error:
        raise _refuse(f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise _refuse("brackets are nested too deep") from None


def _copy(value: Any, path: str, depth: int, errors: list[RuleError]) -> Any:
    if depth > MAX_JSON_DEPTH:
        raise _refuse(f"nested more than {MAX_JSON_DEPTH} deep")
    if isinstance(value, _Pairs | Mapping):
        result: dict[str, Any] = {}
        for key, member in value if isinstance(value, _Pairs) else value.items():
            if not isinstance(key, str):
                errors.append(RuleError(path, f"the key {shown(key)} is not a string"))
                continue
            inner = path + (f".{key}" if re.fullmatch(r"[A-Za-z_]\w{0,63}", key) else f"[{shown(key)}]")
            if key in result:
                errors.append(RuleError(inner, f"the key {shown(key)} is there twice"))
            result[key] = _copy(member, inner, depth + 1, errors)
        return result
    if isinstance(value, list | tuple):
        return [_copy(member, f"{path}[{index}]", depth + 1, errors) for index, member in enumerate(value)]
    if isinstance(value, JsonNumber) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            errors.append(RuleError(path, "the text holds half of a surrogate pair, which is no character"))
        return value
    if isinstance(value, int) or (isinstance(value, float | Decimal) and Decimal(value).is_finite()):
        return JsonNumber(repr(value) if isinstance(value, float) else str(value))
    errors.append(RuleError(path, f"{shown(value)} ({type(value).__name__}) is not a JSON value"))
    return None
