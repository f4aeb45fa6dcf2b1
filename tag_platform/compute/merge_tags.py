"""Brings `user_tags` to what was computed:  `new = (stored - owned - retired) ∪ computed`.

Tags that the plan does not own are never touched. The difference is found first and kept as a snapshot, user by user
with the tags before and after; only then are its rows written, and no others.
"""

from __future__ import annotations

import time
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.plan import ComputedTags, MergeShards, MergeTags
from tag_platform.compute.report import MergeReport
from tag_platform.compute.snapshots import read_all, read_snapshot, shard_name, write_by_shard
from tag_platform.compute.stored_tags import read_stored
from tag_platform.compute.upsert import Written, write_changes
from tag_platform.mysql import Database, retrying, transaction
from tag_platform.shards import slots_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

CHANGES_SCHEMA = "user_id string, before array<int>, after array<int>, entered array<int>, `left` array<int>"
TAGS_SCHEMA = "user_id string, tag_ids array<int>"


def merge_tags(plan: MergeTags, spark: SparkSession, database: Database) -> MergeReport:
    """Writes the changes at `plan.output` (`CHANGES_SCHEMA`; `before` is NULL for a new row), then the rows that
    differ into MySQL. A plan that was cut off anywhere is completed by running it again under a new output path."""
    started = time.monotonic()
    changes = reduce(
        lambda left, right: left.union(right), [_changes(plan, group, spark, database) for group in plan.groups]
    )
    write_by_shard(changes.withColumn("shard", shard_name(F.col("user_id"), plan.shard_count)), plan.output)
    compared = time.monotonic()
    kept = read_all(spark, f"{CHANGES_SCHEMA}, shard string", plan.output)
    entered, left = _count_moves(kept)
    counted = time.monotonic()
    written = Written.none()
    if entered or left or not kept.isEmpty():
        rows = kept.select("user_id", "before", "after")
        removable = {
            group_shard: group.owned | set(plan.retired) for group in plan.groups for group_shard in group.shards
        }
        written = write_changes(rows, database, plan.details, removable, plan.shard_count)
    shards = sorted(shard for group in plan.groups for shard in group.shards)
    after = _rows_after(database, shards, plan)
    return MergeReport(
        path=plan.output,
        inserted={shard: written.inserted.get(shard, 0) for shard in shards},
        updated={shard: written.updated.get(shard, 0) for shard in shards},
        unchanged={
            shard: max(0, after.get(shard, 0) - written.inserted.get(shard, 0) - written.updated.get(shard, 0))
            for shard in shards
        },
        entered=entered,
        left=left,
        rivals=written.rivals,
        seconds={"compare": compared - started, "count": counted - compared, "write": time.monotonic() - counted},
    )


def _changes(plan: MergeTags, group: MergeShards, spark: SparkSession, database: Database) -> DataFrame:
    """Rows that differ, in `CHANGES_SCHEMA`."""
    stored = read_stored(
        spark,
        database,
        group.shards,
        plan.shard_count,
        users=plan.users,
        details=plan.details if plan.check_details else None,
    )
    computed = _computed(group, spark)
    removable = sorted(group.owned | set(plan.retired))
    kept = F.coalesce(F.filter("before", lambda tag_id: ~tag_id.isin(removable)), _no_tags())
    joined = stored.join(computed, "user_id", "full_outer")
    after = F.array_sort(F.concat(kept, F.coalesce(F.col("computed"), _no_tags()))).alias("after")
    merged = joined.select("user_id", "before", after, "as_written")
    is_new = F.col("before").isNull() & (F.size("after") > 0)
    differs = is_new | (F.col("before") != F.col("after")) | ~F.coalesce(F.col("as_written"), F.lit(True))
    entered = _missing_from("after", "before").alias("entered")
    return merged.where(differs).select(
        "user_id", "before", "after", entered, _missing_from("before", "after").alias("left")
    )


def _missing_from(tags: str, others: str) -> Column:
    """The tags of one list that the other lacks."""
    other = F.coalesce(F.col(others), _no_tags())
    return F.coalesce(F.filter(tags, lambda tag_id: ~F.array_contains(other, tag_id)), _no_tags())


def _no_tags() -> Column:
    return F.array().cast("array<int>")


def _computed(group: MergeShards, spark: SparkSession) -> DataFrame:
    """The computed tags of the group's shards as `(user_id, computed)`, one row per user."""

    def read(computed: ComputedTags) -> DataFrame:
        rows = read_snapshot(spark, TAGS_SCHEMA, computed.directories)
        owned = F.filter("tag_ids", lambda tag_id: tag_id.isin(list(computed.tag_ids)))
        # Users left without a tag are dropped after the join: Sail cannot push a predicate over a lambda into the scan.
        return rows.select("user_id", owned.alias("computed"))

    parts = [read(computed) for computed in group.computed]
    if not parts:
        return spark.createDataFrame([], "user_id string, computed array<int>")
    if len(parts) == 1:
        return parts[0]
    together = reduce(lambda left, right: left.union(right), parts)
    return together.groupBy("user_id").agg(F.flatten(F.collect_list("computed")).alias("computed"))


def _count_moves(changes: DataFrame) -> tuple[dict[int, dict[int, int]], dict[int, dict[int, int]]]:
    """Users who entered and who left each tag, per shard, counted in the snapshot of the changes."""
    moves: list[dict[int, dict[int, int]]] = []
    for direction in ("entered", "left"):
        rows = changes.select("shard", F.explode(direction).alias("tag_id")).groupBy("shard", "tag_id")
        counts: dict[int, dict[int, int]] = {}
        for row in rows.agg(F.count("*").alias("n")).collect():
            counts.setdefault(row["tag_id"], {})[int(row["shard"])] = row["n"]
        moves.append(counts)
    return moves[0], moves[1]


def _rows_after(database: Database, shards: list[int], plan: MergeTags) -> dict[int, int]:
    """Rows of `user_tags` per shard after the merge (of the plan's users alone, where it has users)."""

    def count() -> dict[int, int]:
        with transaction(database) as cursor:
            values: list[str] | list[int]
            if plan.users is not None:
                marks = ", ".join(["%s"] * len(plan.users))
                where, values = f"user_id IN ({marks})", list(plan.users)
            else:
                slots = slots_of(shards, plan.shard_count)
                where, values = f"shard_slot IN ({', '.join(['%s'] * len(slots))})", slots
            statement = f"SELECT shard_slot, COUNT(*) FROM user_tags WHERE {where} GROUP BY shard_slot"  # noqa: S608
            cursor.execute(statement, values)
            rows: dict[int, int] = {}
            for slot, n in cursor.fetchall():
                rows[slot % plan.shard_count] = rows.get(slot % plan.shard_count, 0) + n
            return rows

    return retrying(count, "counting user_tags")
