"""Brings `user_tags` to what was computed:  `new = (stored - owned - retired) ∪ computed`.

Tags that the plan does not own are never touched. The difference is found first and kept as a snapshot, user by user
with the tags before and after; only then are its rows written, and no others.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.account import ACCOUNT, ROWS, Difference, counts_of, differences, mismatch
from tag_platform.compute.ledger import close_merge, open_merge
from tag_platform.compute.locks import LockLost, ShardLocks, shard_locks
from tag_platform.compute.plan import ComputedTags, MergeShards, MergeTags
from tag_platform.compute.report import MergeReport
from tag_platform.compute.snapshots import count_by_shard, read_all, read_snapshot, shard_name, write_by_shard
from tag_platform.compute.stored_tags import read_stored
from tag_platform.compute.upsert import Written, write_changes
from tag_platform.mysql import Database
from tag_platform.shards import shard_key

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

log = logging.getLogger(__name__)
CHANGES_SCHEMA = "user_id string, before array<int>, after array<int>, entered array<int>, `left` array<int>"
TAGS_SCHEMA = "user_id string, tag_ids array<int>"


def merge_tags(plan: MergeTags, spark: SparkSession, database: Database) -> MergeReport:
    """Writes the changes `(user_id, before, after, entered, left)` at `plan.output` (`before` NULL for a new row), then
    the rows that differ into MySQL, and proves by counting that the table holds what the account says.

    Holds the locks of the plan's shards from the first reading to the last count. Where the count does not come out
    even, or the locks were lost, the merge is done once more (under `<output>-again`): somebody may have written in
    between. Raises `AccountMismatch` or `LockLost` where that did not help. A plan that was cut off anywhere is
    completed by running it again under a new output path.
    """
    shards = sorted(shard for group in plan.groups for shard in group.shards)
    with shard_locks(database, shards, plan.shard_count) as locks:
        try:
            report, uneven = _merge_once(plan, shards, spark, database, locks)
            if not uneven:
                return report
            log.warning("the account of user_tags is not even, merging once more:\n%s", "\n".join(map(str, uneven)))
            disturbed = tuple(map(str, uneven))
        except LockLost as error:
            log.warning("%s Merging once more.", error)
            disturbed = (str(error),)
    again = plan.model_copy(update={"output": f"{plan.output}-again"})
    with shard_locks(database, shards, plan.shard_count) as locks:
        report, uneven = _merge_once(again, shards, spark, database, locks)
    if uneven:
        raise mismatch(uneven)
    return report.model_copy(update={"disturbed": disturbed})


def _merge_once(
    plan: MergeTags, shards: list[int], spark: SparkSession, database: Database, locks: ShardLocks
) -> tuple[MergeReport, list[Difference]]:
    started = time.monotonic()
    changes = reduce(
        lambda left, right: left.union(right), [_changes(plan, group, spark, database) for group in plan.groups]
    )
    shard = F.when(F.col("user_id").isNull(), F.lit(ACCOUNT)).otherwise(shard_name(F.col("user_id"), plan.shard_count))
    write_by_shard(changes.withColumn("shard", shard), plan.output)
    compared = time.monotonic()
    kept = read_all(spark, f"{CHANGES_SCHEMA}, shard string", plan.output)
    before = counts_of(kept.where(F.col("shard") == ACCOUNT))
    kept = kept.where(F.col("shard") != ACCOUNT)
    entered, left, new_rows = _count_moves(kept)
    counted = time.monotonic()
    written, after = Written(), before
    touched = count_by_shard(kept)
    if touched:
        locks.check()
        merge_id = open_merge(database, plan.run_id, plan.output, shards, plan.shard_count)
        rows = kept.select("user_id", "before", "after")
        removable = {
            group_shard: group.owned | set(plan.retired) for group in plan.groups for group_shard in group.shards
        }
        written = write_changes(rows, database, plan.details, removable, plan.shard_count)
        locks.check()
        close_merge(database, merge_id)
        stored = read_stored(spark, database, shards, plan.shard_count, users=plan.users)
        after = counts_of(stored.where(F.col("user_id").isNull()))
    moved_in = {(shard, ROWS): n for shard, n in new_rows.items()} | _flat(entered)
    for key, n in written.shifted.items():
        moved_in[key] = moved_in.get(key, 0) + n
    report = MergeReport(
        path=plan.output,
        inserted={shard: written.inserted.get(shard, 0) for shard in shards},
        updated={shard: written.updated.get(shard, 0) for shard in shards},
        unchanged={shard: after[shard, ROWS] - touched.get(shard_key(shard), 0) for shard in shards},
        entered=entered,
        left=left,
        rivals=written.rivals,
        before=_by_tag(before),
        after=_by_tag(after),
        seconds={
            "compare": compared - started,
            "count": counted - compared,
            "write": time.monotonic() - counted,
        },
    )
    return report, differences(before, moved_in, _flat(left), after)


def _flat(moves: dict[int, dict[int, int]]) -> dict[tuple[int, int], int]:
    return {(shard, tag_id): n for tag_id, by_shard in moves.items() for shard, n in by_shard.items()}


def _by_tag(counts: Counter[tuple[int, int]]) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    for (shard, tag_id), n in sorted(counts.items()):
        found.setdefault(tag_id, {})[shard] = n
    return found


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
    counts = F.col("user_id").isNull()  # rows without a user: see `account`
    differs = counts | is_new | (F.col("before") != F.col("after")) | ~F.coalesce(F.col("as_written"), F.lit(True))
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


def _count_moves(
    changes: DataFrame,
) -> tuple[dict[int, dict[int, int]], dict[int, dict[int, int]], dict[int, int]]:
    """Users who entered and who left each tag, per shard, and new rows per shard, counted in the snapshot of the
    changes."""
    moves: list[dict[int, dict[int, int]]] = []
    for direction in ("entered", "left"):
        rows = changes.select("shard", F.explode(direction).alias("tag_id")).groupBy("shard", "tag_id")
        counts: dict[int, dict[int, int]] = {}
        for row in rows.agg(F.count("*").alias("n")).collect():
            counts.setdefault(row["tag_id"], {})[int(row["shard"])] = row["n"]
        moves.append(counts)
    new_rows = count_by_shard(changes.where(F.col("before").isNull()))
    return moves[0], moves[1], {int(shard): n for shard, n in new_rows.items()}
