"""User data as JSON lines, for `rules eval` and tests: one unnamed table, whose column types are given beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tag_platform.errors import BadInput
from tag_platform.rules import values
from tag_platform.rules.errors import InvalidRule, shown
from tag_platform.rules.schema import ColumnSchema, ColumnType, RuleSchema, parse_type
from tag_platform.rules.strict_json import JsonNumber, load


@dataclass(frozen=True)
class Dataset:
    """`users` in file order: user id and stored values by (table, column), the table being unnamed."""

    columns: dict[str, ColumnType]
    users: list[tuple[str, dict[tuple[str, str], Any]]]

    @property
    def schema(self) -> RuleSchema:
        return RuleSchema.single({name: ColumnSchema(kind.name) for name, kind in self.columns.items()})


def parse_types(text: str) -> dict[str, ColumnType]:
    """`age:int,xs:array<string>,m:decimal(18,2)` as column types. Raises `BadInput`."""
    columns: dict[str, ColumnType] = {}
    for part in re.split(r",(?![^(]*\))", text) if text.strip() else []:
        name, colon, kind = part.strip().partition(":")
        name = name.strip()
        if not colon or not name or not kind.strip():
            raise BadInput(f"--types: {part.strip()!r} is not of the form name:type.")
        if name in columns or name == "user_id":
            raise BadInput(f"--types: the column {name!r} is there twice or is the user's id.")
        columns[name] = parse_type(kind)
    return columns


def parse_lines(lines: Iterable[str], columns: dict[str, ColumnType]) -> Dataset:
    """Reads one user per line. Keys that are no column are ignored. Raises `BadInput` that names the line."""
    users: dict[str, dict[tuple[str, str], Any]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = load(line)
        except InvalidRule as error:
            raise BadInput(f"Data line {number}: {error}") from None
        user = row.get("user_id") if isinstance(row, dict) else None
        if type(user) is not str or not user:
            raise BadInput(f"Data line {number}: 'user_id' must be a non-empty string.")
        if user in users:
            raise BadInput(f"Data line {number}: user {user} is there twice.")
        try:
            users[user] = {("", name): stored_value(kind, row.get(name)) for name, kind in columns.items()}
        except ValueError as error:
            raise BadInput(f"Data line {number}: {error}") from None
    return Dataset(columns, list(users.items()))


def stored_value(kind: ColumnType, value: Any) -> Any:
    """A JSON value as a column of that type stores it. Raises `ValueError` for one that it cannot hold."""
    if value is None:
        return None
    if kind.base == "array":
        assert kind.element is not None
        if not isinstance(value, list):
            raise ValueError(f"found {shown(value)}, {kind.name} is a list")
        return [stored_value(kind.element, member) for member in value]
    if kind.is_number and isinstance(value, str):
        return _number(kind, value)
    plain = type(value) is str
    if kind.base == "string" and plain:
        return value
    if kind.base == "boolean" and isinstance(value, bool):
        return value
    if kind.base == "date" and plain and (day := values.parse_date(value)):
        return day
    if kind.base in ("timestamp", "timestamp_ntz") and plain:
        return _timestamp(value)
    raise ValueError(f"found {shown(value)}, which is no {kind.name}")


def _number(kind: ColumnType, text: str) -> Any:
    named = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}.get(text)
    if kind.base == "float" and named:
        return float(named)
    number = values.parse_number(text)
    if number is None:
        raise ValueError(f"found {shown(text)}, which is no {kind.name}")
    if kind.base == "float":
        near = values.nearest_float(kind.bits, number)
        return -near if near == 0 and text.startswith("-") else near  # as text, -0.0 is not 0.0
    limit = Decimal(2 ** (kind.bits - 1)) if kind.base == "int" else Decimal(10) ** (kind.precision - kind.scale)
    if not -limit <= number < limit or (kind.base == "int" and number != number.to_integral_value()):
        raise ValueError(f"{shown(text)} does not fit {kind.name}")
    if kind.base == "int":
        return int(number)
    return number.quantize(Decimal(1).scaleb(-kind.scale), ROUND_HALF_UP, values.EXACT_38)


def _timestamp(text: str) -> datetime:
    moment = values.read_text("datetime", text)
    if moment is None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"found {shown(text)}, which is no timestamp") from None
    assert isinstance(moment, datetime)
    return moment


@dataclass(frozen=True)
class RuleLine:
    """One line of a rules file. `rule` is what `parse_rule` takes; `problem` says why it cannot be read."""

    id: str | int
    rule: Any = None
    as_of: str | None = None
    problem: InvalidRule | None = None


_ID = re.compile(r'\s*\{\s*"id"\s*:\s*("(?:[^"\\]|\\.){0,1000}"|[0-9]{1,18})')


def parse_rule_line(line: str, number: int) -> RuleLine:
    """One line `{"id": …, "rule": …, "as_of"?: …}`. A rule that is not even JSON is a problem of that line if its id
    can be told; otherwise, and for a line of another form, raises `BadInput`."""
    from tag_platform.rules.strict_json import read_members

    try:
        members = read_members(line)
    except InvalidRule as error:
        match = _ID.match(line)
        if not match:
            raise BadInput(f"Rules line {number}: {error}") from None
        return RuleLine(json.loads(match[1]), problem=error)
    keys = [key for key, _ in members]
    if len(set(keys)) != len(keys) or not {"id", "rule"} <= set(keys) <= {"id", "rule", "as_of"}:
        raise BadInput(f"Rules line {number}: needs the keys id and rule, and may have as_of; found {', '.join(keys)}.")
    found = dict(members)
    identity = found["id"]
    if isinstance(identity, JsonNumber) and re.fullmatch("[0-9]{1,18}", identity):
        identity = int(identity)
    elif type(identity) is not str:
        raise BadInput(f"Rules line {number}: the id must be a string or a whole number.")
    as_of = found.get("as_of")
    if as_of is not None and (type(as_of) is not str or values.parse_date(as_of) is None):
        raise BadInput(f"Rules line {number}: as_of {shown(as_of)} is no date, such as 2026-01-31.")
    return RuleLine(identity, found["rule"], as_of)
