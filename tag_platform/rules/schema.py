"""What rules know about the data: tables, columns, and the type of each column as Spark names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tag_platform.errors import BadInput

Base = Literal["int", "decimal", "float", "string", "boolean", "date", "timestamp", "timestamp_ntz", "array"]

INTEGER_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
FLOAT_BITS = {"float": 32, "double": 64}
_SAME = {
    "byte": "tinyint",
    "short": "smallint",
    "integer": "int",
    "long": "bigint",
    "real": "float",
    "numeric": "decimal",
    "dec": "decimal",
    "bool": "boolean",
    "timestamp_ltz": "timestamp",
    "text": "string",
}


@dataclass(frozen=True)
class ColumnType:
    """A parsed type name. `bits` is the width of int and float types, `element` the type of a list's elements."""

    name: str
    base: Base
    bits: int = 0
    precision: int = 0
    scale: int = 0
    element: ColumnType | None = None

    @property
    def is_number(self) -> bool:
        return self.base in ("int", "decimal", "float")


def parse_type(name: str) -> ColumnType:
    """Parses `int`, `decimal(18,2)`, `array<string>`, … Raises `BadInput` for a type that rules cannot use."""
    text = re.sub(r"\s+", "", name).lower()
    text = _SAME.get(text, text)
    if text in INTEGER_BITS:
        return ColumnType(text, "int", bits=INTEGER_BITS[text])
    if text in FLOAT_BITS:
        return ColumnType(text, "float", bits=FLOAT_BITS[text])
    if text in ("string", "boolean", "date", "timestamp", "timestamp_ntz"):
        return ColumnType(text, text)  # type: ignore[arg-type]
    if re.fullmatch(r"(var)?char\(\d{1,9}\)", text):
        return ColumnType("string", "string")
    if match := re.fullmatch(r"(?:decimal|numeric|dec)(?:\((\d{1,2})(?:,(\d{1,2}))?\))?", text):
        precision, scale = int(match[1] or 10), int(match[2] or 0)
        if 1 <= precision <= 38 and scale <= precision:
            return ColumnType(f"decimal({precision},{scale})", "decimal", precision=precision, scale=scale)
    if match := re.fullmatch(r"array<(.*)>", text):
        element = parse_type(match[1])
        if element.base != "array":
            return ColumnType(f"array<{element.name}>", "array", element=element)
    raise BadInput(f"Type {name!r} cannot be used in rules: not a scalar type of Spark's, or a list of one.")


@dataclass(frozen=True)
class ColumnSchema:
    """A column: the Spark type that is `stored`, and the one that the source catalog declares for it, where it does.

    A number kept as text is `ColumnSchema("string", "int")`. The declared type decides what a rule that gives no
    `type` reads.
    """

    stored: str
    declared: str | None = None

    @property
    def means(self) -> str:
        return self.declared or self.stored


@dataclass(frozen=True)
class RuleSchema:
    """Tables by name, their columns by name. The columns that identify the user are not in it."""

    tables: Mapping[str, Mapping[str, ColumnSchema]]
    any_table: bool = False

    @classmethod
    def single(cls, columns: Mapping[str, ColumnSchema | str]) -> RuleSchema:
        """One unnamed table in which any `table` and any qualifier of a field is accepted."""
        table = {name: c if isinstance(c, ColumnSchema) else ColumnSchema(c) for name, c in columns.items()}
        return cls({"": table}, any_table=True)

    def tables_with(self, column: str) -> list[str]:
        return [name for name, columns in self.tables.items() if column in columns]

    def to_json(self) -> dict[str, Any]:
        tables = {
            name: {
                column: {"stored": schema.stored, **({"declared": schema.declared} if schema.declared else {})}
                for column, schema in columns.items()
            }
            for name, columns in self.tables.items()
        }
        return {"tables": tables, **({"any_table": True} if self.any_table else {})}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RuleSchema:
        """The schema that `to_json` wrote. Raises `BadInput`."""
        try:
            tables = {
                name: {column: ColumnSchema(**schema) for column, schema in columns.items()}
                for name, columns in content["tables"].items()
            }
            return cls(tables, bool(content.get("any_table", False)))
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"Not a rule schema: {error}") from error
