"""Evaluates any number of tags in one pass: the tables and columns that the rules name, one join, one expression per
tag, one output."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.many_tags import MANY, counted, tagged_by_bits
from tag_platform.compute.plan import EvaluateTags, Snapshot
from tag_platform.compute.report import TagsReport
from tag_platform.compute.shuffles import size_shuffles
from tag_platform.compute.snapshots import (
    count_by_shard,
    read_all,
    read_snapshot,
    shard_name,
    write_by_shard,
)
from tag_platform.compute.tag_columns import PlannedTag, SharedColumns, decisions, failing, planned_tags
from tag_platform.errors import TagPlatformError
from tag_platform.shards import shard_key

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

SAMPLE = 5  # masked users per tag
ByTag = dict[int, dict[int, int]]  # tag id → shard → users
TAGS_SCHEMA = "user_id string, tag_ids array<int>"


def evaluate_tags(plan: EvaluateTags, spark: SparkSession) -> TagsReport:
    """Writes `(user_id string, tag_ids array<int> ascending)` at `plan.output`, one row per user with a tag.

    Where a tag's Python class makes the engine fail, the others are computed without it, at `<output>-again`. Raises
    `InvalidRule` for a rule that does not fit the plan's own schema; the control plane has refused those before.
    """
    started = time.monotonic()
    tags, broken = planned_tags(plan)
    size_shuffles(spark, sum(snapshot.bytes for snapshot in plan.sources.values()))
    users, columns, without = _decided(plan, spark, tags)
    broken |= without
    path = plan.output
    try:
        _write(plan, users, columns, path)
    except Exception:  # Spark 3.5 gives the failure of a task as an error of Py4J
        failed = failing(users, tags, columns)
        if not failed:
            raise
        broken |= failed
        columns = {tag_id: column for tag_id, column in columns.items() if tag_id not in failed}
        path = f"{plan.output}-again"
        _write(plan, users, columns, path)
    written = time.monotonic()
    rows, hits_by_tag, sample = _count(plan, spark, path) if columns else (dict.fromkeys(plan.shards, 0), {}, {})
    users_by_shard = count_users(plan, spark)
    return TagsReport(
        path=path,
        users=users_by_shard,
        rows=rows,
        hits={tag_id: hits_by_tag.get(tag_id, {}) for tag_id in columns},
        broken=broken,
        sample=sample,
        seconds={"evaluate": written - started, "count": time.monotonic() - written},
    )


def _write(plan: EvaluateTags, users: DataFrame, columns: Mapping[int, Column], path: str) -> None:
    if columns:
        tagged = _tagged(users, columns)
        write_by_shard(tagged.withColumn("shard", shard_name(F.col("user_id"), plan.shard_count)), path)


def tagged_users(plan: EvaluateTags, spark: SparkSession) -> DataFrame:
    """`(user_id string, tag_ids array<int> ascending)` of every user with one of the plan's tags, written nowhere.

    Raises `TagPlatformError` where one of them cannot be computed."""
    tags, broken = planned_tags(plan)
    users, columns, without = _decided(plan, spark, tags)
    if reasons := {**broken, **without}:
        raise TagPlatformError("; ".join(f"tag {tag_id}: {reason}" for tag_id, reason in reasons.items()))
    return _tagged(users, columns)


def _decided(
    plan: EvaluateTags, spark: SparkSession, tags: Mapping[int, PlannedTag]
) -> tuple[DataFrame, dict[int, Column], dict[int, str]]:
    """The joined rows, one boolean column over them per tag, and why a tag has none."""
    users = _join(plan, spark, tags)
    shared = SharedColumns()
    columns, without = decisions(plan, tags, users, shared)
    return shared.added_to(users), columns, without


def _tagged(users: DataFrame, columns: Mapping[int, Column]) -> DataFrame:
    if len(columns) > MANY:
        return tagged_by_bits(users, columns)
    hits = [F.when(column, F.lit(tag_id)) for tag_id, column in sorted(columns.items())]
    # One `when` per tag in ascending order: what is not NULL is the sorted list of the user's tags.
    tag_ids = F.filter(F.array(*hits), lambda tag_id: tag_id.isNotNull())
    return users.select("user_id", tag_ids.alias("tag_ids")).where(F.size("tag_ids") > 0)


def _join(plan: EvaluateTags, spark: SparkSession, tags: Mapping[int, PlannedTag]) -> DataFrame:
    """One row per user of the tables needed, with the columns needed as `table.column`.

    A tag that users may have of whom nothing is known needs the users of every table in the catalog.
    """
    needed: dict[str, set[str]] = {}
    for tag in tags.values():
        for table, column in tag.needs.columns:
            needed.setdefault(table, set()).add(column)
    if not needed or any(tag.needs.everybody for tag in tags.values()):
        needed = {table: needed.get(table, set()) for table in plan.sources}
    tables = [_read(plan, spark, table, columns) for table, columns in sorted(needed.items())]
    return reduce(lambda left, right: left.join(right, "user_id", "full_outer"), tables)


def _read(plan: EvaluateTags, spark: SparkSession, table: str, columns: set[str]) -> DataFrame:
    snapshot = plan.sources[table]
    ordered = sorted(columns)
    schema = ", ".join(["user_id string", *(f"`{name}` {snapshot.columns[name]}" for name in ordered)])
    rows = read_snapshot(spark, schema, snapshot.directories)
    rows = rows.select("user_id", *[F.col(f"`{name}`").alias(f"{table}.{name}") for name in ordered])
    return _only(rows, spark, plan.users)


def _only(rows: DataFrame, spark: SparkSession, users: tuple[str, ...] | None) -> DataFrame:
    if users is None:
        return rows
    return rows.join(spark.createDataFrame([(user,) for user in users], "user_id string"), "user_id", "left_semi")


def _count(plan: EvaluateTags, spark: SparkSession, path: str) -> tuple[dict[int, int], ByTag, dict[int, list[str]]]:
    """Rows per shard, hits per tag and shard, and a sample of masked users per tag, from what was written."""
    written = read_all(spark, f"{TAGS_SCHEMA}, shard string", path)
    if len(plan.tags) > MANY:
        parts = counted(written, [tag.tag_id for tag in plan.tags])
    else:
        # A leading NULL element counts the row itself.
        elements = F.explode(F.concat(F.array(F.lit(None).cast("int")), F.col("tag_ids"))).alias("tag_id")
        order = F.crc32(F.col("user_id").cast("binary")).alias("order")
        parts = written.select("shard", "user_id", order, elements, F.lit(1).alias("n"))
    some_user = F.min_by("user_id", "order").alias("user_id")  # the same one in every run
    grouped = parts.groupBy("shard", "tag_id").agg(F.sum("n").alias("n"), some_user)
    rows: dict[int, int] = dict.fromkeys(plan.shards, 0)
    hits: ByTag = {}
    sample: dict[int, list[str]] = {}
    for row in grouped.select("shard", "tag_id", "n", _masked(F.col("user_id")).alias("user")).collect():
        if row["tag_id"] is None:
            rows[int(row["shard"])] = row["n"]
        else:
            hits.setdefault(row["tag_id"], {})[int(row["shard"])] = row["n"]
            sample.setdefault(row["tag_id"], []).append(row["user"])
    return rows, hits, {tag_id: sorted(users)[:SAMPLE] for tag_id, users in sample.items()}


def _masked(user_id: Column) -> Column:
    """A quarter of the id at either end, two characters at most: enough to recognise a kind of id, not a user."""
    shown = F.least(F.lit(2), F.floor(F.length(user_id) / 4)).cast("int")
    return F.concat(F.left(user_id, shown), F.lit("***"), F.right(user_id, shown))


def count_users(plan: EvaluateTags, spark: SparkSession) -> dict[int, int]:
    """Users in any source table, per shard: what coverage is measured against."""

    def ids(snapshot: Snapshot) -> DataFrame:
        return _only(read_snapshot(spark, "user_id string", snapshot.directories), spark, plan.users)

    users = reduce(lambda left, right: left.union(right), map(ids, plan.sources.values())).distinct()
    counts = count_by_shard(users.select(shard_name(F.col("user_id"), plan.shard_count).alias("shard")))
    return {shard: counts.get(shard_key(shard), 0) for shard in plan.shards}
