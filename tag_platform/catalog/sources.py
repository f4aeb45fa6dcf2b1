"""The source catalog: which Hive tables hold user data, read from one YAML file that users extend without code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tag_platform.errors import BadInput

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
_SCALAR = r"(tinyint|smallint|int|bigint|float|double|decimal\(\d{1,2},\s?\d{1,2}\)|string|boolean|date|timestamp)"
TypeName = Annotated[str, StringConstraints(pattern=rf"^({_SCALAR}|array<{_SCALAR}>)$")]


class SourceTable(BaseModel):
    """One source table, as the catalog file describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    path: str | None = None
    catalog: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,2}$")] | None = None
    user_id: Name = "user_id"
    partition: Name | None = None
    columns: dict[Name, TypeName] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.catalog is None):
            raise ValueError("needs either 'path' (files) or 'catalog' (a table of the metastore), not both")
        if self.user_id in self.columns:
            raise ValueError(f"'columns' must not list the user's own column {self.user_id!r}")
        return self

    def uri(self, warehouse: str) -> str:
        """Root of the table's files: `path` below `warehouse`, or `path` itself where it is a full URI."""
        if self.path is None:
            raise BadInput(f"Source table {self.name} is a table of the metastore ({self.catalog}) and has no path.")
        if re.match(r"^[a-z][a-z0-9+.-]*://", self.path):
            return self.path.replace("s3a://", "s3://", 1).rstrip("/")
        return f"{warehouse}/{self.path.strip('/')}"


def load_sources(file: Path) -> dict[str, SourceTable]:
    """Reads the catalog file: table name → table, in the file's order.

    Raises `BadInput` that names the file, the table and the key for anything that is not understood.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"The source catalog {file} does not exist. TAG_PLATFORM_SOURCES names the file.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"The source catalog {file} cannot be read: {error}") from error
    tables = content.get("tables") if isinstance(content, dict) else None
    if not isinstance(tables, dict) or not tables or set(content) != {"tables"}:
        raise BadInput(f"The source catalog {file} must hold one key, 'tables', with at least one table below it.")
    result: dict[str, SourceTable] = {}
    for name, description in tables.items():
        if not isinstance(description, dict):
            raise BadInput(f"{file}: tables.{name} must be a mapping with 'path' or 'catalog'.")
        try:
            result[str(name)] = SourceTable.model_validate({**description, "name": str(name)})
        except ValidationError as error:
            reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'table'}: {e['msg']}" for e in error.errors())
            raise BadInput(f"{file}: tables.{name} cannot be used: {reasons}") from error
    return result
