"""Tries a tag class on a few users, on the embedded engine: for the tests of whoever writes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from tag_platform.catalog.rulebook import declared_schema
from tag_platform.catalog.sources import load_sources
from tag_platform.compute.plan import EvaluateTags, TagRule
from tag_platform.errors import BadInput
from tag_platform.settings import load_settings
from tag_platform.tags.base import TagClass

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def users_with_tag(
    tag_class: type[TagClass],
    rule: Mapping[str, Any],
    users: Mapping[str, Mapping[str, Any]],
    as_of: date,
    spark: SparkSession | None = None,
) -> list[str]:
    """The ids of those `users` (user id → `{"table.column": value}`, what is left out is NULL) who have the tag,
    sorted. Columns have the types that the source catalog declares.

    Raises `BadInput` where the class or the rule cannot be used, with the reason that the tag's check would show.
    """
    from tag_platform.compute.engine import session
    from tag_platform.compute.tag_columns import alias, decisions, planned_tags

    settings = load_settings()
    schema = declared_schema(load_sources(settings.sources))
    tag = TagRule(
        tag_id=tag_class.tag_id,
        rule=dict(rule),
        version="",
        tag_class=tag_class.path() if tag_class.takes_part() else None,
        class_digest=tag_class.source_digest(),
    )
    plan = EvaluateTags(
        as_of=as_of,
        timezone=settings.timezone,
        tags=(tag,),
        rule_schema=schema.to_json(),
        sources={},
        shards=(0,),
        shard_count=1,
        output="",
    )
    columns = [
        (f"{table}.{name}", column.means) for table, found in schema.tables.items() for name, column in found.items()
    ]
    rows = [_row(user, values, columns) for user, values in users.items()]

    def decide(engine: SparkSession) -> list[str]:
        tags, broken = planned_tags(plan)
        typed = ", ".join(["user_id string", *(f"{alias(*name.split('.'))} {kind}" for name, kind in columns)])
        joined = engine.createDataFrame(rows, typed)
        found, without = decisions(plan, tags, joined)
        if broken or without:
            raise BadInput("; ".join({**broken, **without}.values()))
        having = joined.where(found[tag_class.tag_id]).select("user_id").collect()
        return sorted(str(row["user_id"]) for row in having)

    if spark is not None:
        return decide(spark)
    with session(settings) as started:
        return decide(started)


def _row(user: str, values: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> tuple[Any, ...]:
    unknown = sorted(set(values) - {name for name, _ in columns})
    if unknown:
        raise BadInput(f"user {user!r}: no such column: {', '.join(unknown)}; write table.column")
    return (user, *(values.get(name) for name, _ in columns))
