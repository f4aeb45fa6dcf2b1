"""Renders rules as SQL text with parameters. Values are parameters always; what is in the text is this package's own.

What the two dialects share is here; `duckdb_sql` and `mysql_sql` hold what they spell differently.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

from tag_platform.rules.duckdb_sql import DuckDbEngine
from tag_platform.rules.engine import Engine
from tag_platform.rules.lower import lower
from tag_platform.rules.model import Rule
from tag_platform.rules.mysql_sql import MySqlEngine
from tag_platform.rules.render import Renderer
from tag_platform.rules.sql import Sql

Dialect = Literal["mysql", "duckdb"]


def compile_sql(
    rule: Rule,
    as_of: date,
    dialect: Dialect,
    column: Callable[[str, str], str] | None = None,
    timezone: str = "UTC",
) -> tuple[str, tuple[object, ...]]:
    """The rule as one boolean SQL expression, and its parameters in order (`?` for DuckDB, `%s` for MySQL).

    `column(table, name)` gives the SQL of a field; otherwise it is the quoted name, qualified by the table's. Columns
    are of the types that the schema says are stored; in MySQL lists are JSON arrays and timestamps DATETIME(6) in UTC.
    """
    zone = ZoneInfo(timezone)
    engine: Engine[Sql] = MySqlEngine(column) if dialect == "mysql" else DuckDbEngine(column)
    rendered = Renderer(engine, zone).render(lower(rule.root, as_of, zone))
    return rendered.text, rendered.params
