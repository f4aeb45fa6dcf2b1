"""Brings `user_tags` to what was computed:  `new = ((stored - owned - retired) ∪ computed) - excluded ∪ pinned`.

Tags that the plan does not own are never touched, but for what people pinned or excluded. The difference is found first
and kept as a snapshot, user by user with the tags before and after; only then are its rows written, and no others.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.apply_changes import Change, apply_changes
from tag_platform.compute.columns import missing_from, no_tags
from tag_platform.compute.ledger import StalePlan, merges_after
from tag_platform.compute.overrides import read_overrides
from tag_platform.compute.plan import ComputedTags, MergeShards, MergeTags
from tag_platform.compute.report import MergeReport
from tag_platform.compute.snapshots import read_snapshot
from tag_platform.compute.stored_tags import read_stored
from tag_platform.mysql import Database

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TAGS_SCHEMA = "user_id string, tag_ids array<int>"


def merge_tags(plan: MergeTags, spark: SparkSession, database: Database) -> MergeReport:
    """Writes the changes `(user_id, before, after, entered, left)` at `plan.output` (`before` NULL for a new row), then
    the rows that differ into MySQL, and proves by counting that the table holds what the account says.

    Raises what `apply_changes` raises, and `StalePlan`, before anything is written.
    """
    shards = tuple(sorted(shard for group in plan.groups for shard in group.shards))

    def find() -> DataFrame:
        parts = [_changes(plan, group, spark, database) for group in plan.groups]
        return reduce(lambda left, right: left.union(right), parts)

    def refuse_stale() -> None:
        if plan.ledger_at is not None and any(
            entry.shard_count != plan.shard_count or set(entry.shards) & set(shards)
            for entry in merges_after(database, plan.ledger_at)
        ):
            raise StalePlan("Another run merged the same shards while this one waited. Start the run again.")

    change = Change(
        find=find,
        shards=shards,
        shard_count=plan.shard_count,
        details=plan.details,
        removable={shard: group.owned | set(plan.retired) for group in plan.groups for shard in group.shards},
        output=plan.output,
        run_id=plan.run_id,
        users=plan.users,
        bounds=plan.bounds,
        dry_run=plan.dry_run,
        under_lock=refuse_stale,
    )
    return apply_changes(change, spark, database)


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
    removable = sorted(group.owned | set(plan.retired))
    kept = F.coalesce(F.filter("before", lambda tag_id: ~tag_id.isin(removable)), no_tags())
    ruled = F.concat(kept, F.coalesce(F.col("computed"), no_tags()))
    joined = stored.join(computed_tags(group.computed, spark), "user_id", "full_outer")
    overrides = read_overrides(spark, database, group.shards, plan.shard_count, plan.users)
    if overrides is None:
        merged = joined.select("user_id", "before", F.array_sort(ruled).alias("after"), "as_written")
    else:
        giveable = sorted(set(plan.details) - set(plan.retired))
        merged = overridden(joined.withColumn("after", ruled), "after", overrides, giveable)
        merged = merged.select("user_id", "before", F.array_sort("after").alias("after"), "as_written")
    is_new = F.col("before").isNull() & (F.size("after") > 0)
    counts = F.col("user_id").isNull()  # rows without a user: see `account`
    differs = counts | is_new | (F.col("before") != F.col("after")) | ~F.coalesce(F.col("as_written"), F.lit(True))
    entered = missing_from("after", "before").alias("entered")
    return merged.where(differs).select(
        "user_id", "before", "after", entered, missing_from("before", "after").alias("left")
    )


def overridden(rows: DataFrame, tags: str, overrides: DataFrame, giveable: list[int]) -> DataFrame:
    """`rows` with what people decided put over the column `tags`; users of whom nothing else is known are added. A pin
    of a tag that is not `giveable` (retired, or removed) has no effect until the tag is back."""
    pinned = F.filter("pinned", lambda tag_id: tag_id.isin(giveable)).alias("pinned")
    both = rows.join(overrides.select("user_id", pinned, "excluded"), "user_id", "full_outer")
    both = both.withColumn(tags, F.coalesce(F.col(tags), no_tags()))
    both = both.withColumn(tags, missing_from(tags, "excluded"))
    return both.withColumn(tags, F.concat(tags, missing_from("pinned", tags))).drop("pinned", "excluded")


def computed_tags(snapshots: tuple[ComputedTags, ...], spark: SparkSession) -> DataFrame:
    """The computed tags as `(user_id, computed)`, one row per user."""

    def read(computed: ComputedTags) -> DataFrame:
        rows = read_snapshot(spark, TAGS_SCHEMA, computed.directories)
        owned = F.filter("tag_ids", lambda tag_id: tag_id.isin(list(computed.tag_ids)))
        # Users left without a tag are dropped after the join: Sail cannot push a predicate over a lambda into the scan.
        return rows.select("user_id", owned.alias("computed"))

    parts = [read(computed) for computed in snapshots]
    if not parts:
        return spark.createDataFrame([], "user_id string, computed array<int>")
    if len(parts) == 1:
        return parts[0]
    together = reduce(lambda left, right: left.union(right), parts)
    return together.groupBy("user_id").agg(F.flatten(F.collect_list("computed")).alias("computed"))
