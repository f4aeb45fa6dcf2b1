"""Finds the column that a rule names, and the rule type it is read as."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tag_platform.errors import BadInput
from tag_platform.rules.errors import shown
from tag_platform.rules.model import Field
from tag_platform.rules.schema import ColumnType, RuleSchema, parse_type

_RULE_TYPES = {
    "int": "number",
    "decimal": "number",
    "float": "number",
    "timestamp": "datetime",
    "timestamp_ntz": "datetime",
    "array": "list",
}


class BadField(Exception):
    """The field or its type cannot be used; `key` is the member of the leaf that is to blame."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def rule_type(column: ColumnType) -> str:
    """The rule type that a column type stands for."""
    return _RULE_TYPES.get(column.base, column.base)


def find_field(schema: RuleSchema, name: Any, table: Any, key: str, table_hint: str | None = None) -> Field:
    """The field that `name` and `table` name. `table_hint` settles a bare name if that table has it.

    Raises `BadField`.
    """
    if not isinstance(name, str) or not name or type(name) is not str:
        raise BadField(key, f"found {shown(name)}; the name of a field is allowed")
    *qualifier, column = name.split(".")
    if len(qualifier) > 2 or not all(name.split(".")):
        raise BadField(key, f"found {shown(name)}; allowed are column, table.column and database.table.column")
    if table is not None:
        if type(table) is not str or not table or not all(table.split(".")) or table.count(".") > 1:
            raise BadField("table", f"found {shown(table)}; the name of a table is allowed")
        if qualifier and not schema.any_table and qualifier[-1] != table.split(".")[-1]:
            raise BadField("table", f"{shown(table)} is not the table that {shown(name)} names")
        qualifier = qualifier or table.split(".")
    return _column(
        schema, _table(schema, qualifier, column, key if table is None else "table", key, table_hint), column
    )


def _table(schema: RuleSchema, qualifier: list[str], column: str, table_key: str, key: str, hint: str | None) -> str:
    if qualifier and not schema.any_table:
        if qualifier[-1] not in schema.tables:
            raise BadField(table_key, f"unknown table {shown(qualifier[-1])}{_near(qualifier[-1], schema.tables)}")
        candidates = [qualifier[-1]] if column in schema.tables[qualifier[-1]] else []
    else:
        candidates = schema.tables_with(column)
        if hint in candidates:
            candidates = [hint] if hint is not None else candidates
    if len(candidates) > 1:
        named = ", ".join(f"{table}.{column}" for table in candidates)
        raise BadField(key, f"field {shown(column)} is in several tables; write one of {named}")
    if not candidates:
        place = f" in table {qualifier[-1]}" if qualifier and not schema.any_table else ""
        tables = [qualifier[-1]] if place else list(schema.tables)
        columns = [known for table in tables for known in schema.tables[table]]
        raise BadField(key, f"unknown field {shown(column)}{place}{_near(column, columns)}")
    return candidates[0]


def _column(schema: RuleSchema, table: str, column: str) -> Field:
    try:
        return Field(table, column, parse_type(schema.tables[table][column].stored))
    except BadInput as error:
        raise BadField("field", str(error)) from None


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    near = difflib.get_close_matches(name[:100], names, n=3)
    if near:
        return f"; near it {'is' if len(near) == 1 else 'are'} {', '.join(near)}"
    return f"; known are {', '.join(names[:30])}{', …' if len(names) > 30 else ''}" if names else ""


def decided_type(schema: RuleSchema, field: Field) -> str:
    """The rule type of a field for which the rule gives no `type`: that of the declared or else the stored type."""
    column = schema.tables[field.table][field.column]
    try:
        return rule_type(parse_type(column.means))
    except BadInput as error:
        raise BadField("field", str(error)) from None


def readable(schema: RuleSchema, field: Field, kind: str) -> Field:
    """The field as it is read for rule type `kind`; a list gets the rule type of its elements. Raises `BadField`."""
    stored = field.stored
    if kind == "list" and stored.element is not None:
        means = parse_type(schema.tables[field.table][field.column].means)
        kind_of = rule_type(means.element or stored.element)
        _check(field, stored.element, kind_of, "elements of field")
        return replace(field, element=kind_of)
    _check(field, stored, kind, "field")
    return field


def _check(field: Field, stored: ColumnType, kind: str, what: str) -> None:
    own = rule_type(stored)
    as_text = stored.is_number or stored.base in ("date", "boolean")
    if stored.base == "string":
        allowed = ["string", "enum", "number", "date", "datetime", "boolean"]
    else:
        allowed = [own, "string"] if as_text else [own]
    if kind not in allowed:
        raise BadField(
            "type",
            f"{what} {shown(field.column)}: stored as {stored.name}, which cannot be read as {kind}; "
            f"allowed: {', '.join(allowed)}",
        )
