"""Evaluates any number of tags in one pass: the tables and columns that the rules name, one join, one expression per
tag, one output."""

from __future__ import annotations

import time
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

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
from tag_platform.rules import Rule, RuleSchema, parse_rule
from tag_platform.rules.to_spark import compile_rule
from tag_platform.shards import shard_key

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

TAGS_SCHEMA = "user_id string, tag_ids array<int>"


def evaluate_tags(plan: EvaluateTags, spark: SparkSession) -> TagsReport:
    """Writes `(user_id string, tag_ids array<int> ascending)` at `plan.output`, one row per user with a tag.

    Raises `InvalidRule` for a rule that does not fit the plan's own schema; the control plane has refused those before.
    """
    started = time.monotonic()
    rules = parse_plan_rules(plan)
    size_shuffles(spark, sum(snapshot.bytes for snapshot in plan.sources.values()))
    users = _join(plan, spark, rules)
    hits = [F.when(rule_column(plan, rule), F.lit(tag_id)) for tag_id, rule in sorted(rules.items())]
    # One `when` per tag in ascending order: what is not NULL is the sorted list of the user's tags.
    tag_ids = F.filter(F.array(*hits), lambda tag_id: tag_id.isNotNull())
    tagged = users.select("user_id", tag_ids.alias("tag_ids")).where(F.size("tag_ids") > 0)
    write_by_shard(tagged.withColumn("shard", shard_name(F.col("user_id"), plan.shard_count)), plan.output)
    written = time.monotonic()
    rows, hits_by_tag = _count(plan, spark)
    users_by_shard = _count_users(plan, spark)
    return TagsReport(
        path=plan.output,
        users=users_by_shard,
        rows=rows,
        hits={tag_id: hits_by_tag.get(tag_id, {}) for tag_id in sorted(rules)},
        seconds={"evaluate": written - started, "count": time.monotonic() - written},
    )


def parse_plan_rules(plan: EvaluateTags) -> dict[int, Rule]:
    """The plan's rules by tag id, parsed against the plan's schema."""
    schema = RuleSchema.from_json(plan.rule_schema)
    return {
        tag.tag_id: parse_rule(tag.rule, schema, references=plan.references, tag_id=tag.tag_id) for tag in plan.tags
    }


def rule_column(plan: EvaluateTags, rule: Rule) -> Column:
    return compile_rule(rule, plan.as_of, lambda table, name: F.col(_alias(table, name)), plan.timezone)


def _alias(table: str, column: str) -> str:
    return f"`{table}.{column}`"


def _join(plan: EvaluateTags, spark: SparkSession, rules: dict[int, Rule]) -> DataFrame:
    """One row per user of the tables needed, with the columns needed as `table.column`.

    A rule that is TRUE for a user of whom nothing is known needs the users of every table in the catalog.
    """
    needed: dict[str, set[str]] = {}
    for rule in rules.values():
        for table, column in rule.fields:
            needed.setdefault(table, set()).add(column)
    if any(rule.true_for_unknown for rule in rules.values()):
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


def _count(plan: EvaluateTags, spark: SparkSession) -> tuple[dict[int, int], dict[int, dict[int, int]]]:
    """Rows per shard and hits per tag and shard, counted in what was written."""
    written = read_all(spark, f"{TAGS_SCHEMA}, shard string", plan.output)
    # A leading NULL element counts the row itself.
    elements = F.explode(F.concat(F.array(F.lit(None).cast("int")), F.col("tag_ids"))).alias("tag_id")
    counts = written.select("shard", elements).groupBy("shard", "tag_id").agg(F.count("*").alias("n")).collect()
    rows: dict[int, int] = dict.fromkeys(plan.shards, 0)
    hits: dict[int, dict[int, int]] = {}
    for row in counts:
        if row["tag_id"] is None:
            rows[int(row["shard"])] = row["n"]
        else:
            hits.setdefault(row["tag_id"], {})[int(row["shard"])] = row["n"]
    return rows, hits


def _count_users(plan: EvaluateTags, spark: SparkSession) -> dict[int, int]:
    """Users in any source table, per shard: what coverage is measured against."""

    def ids(snapshot: Snapshot) -> DataFrame:
        return _only(read_snapshot(spark, "user_id string", snapshot.directories), spark, plan.users)

    users = reduce(lambda left, right: left.union(right), map(ids, plan.sources.values())).distinct()
    counts = count_by_shard(users.select(shard_name(F.col("user_id"), plan.shard_count).alias("shard")))
    return {shard: counts.get(shard_key(shard), 0) for shard in plan.shards}
