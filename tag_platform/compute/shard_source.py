"""Copies a raw table into a snapshot divided by user shard, and refuses what cannot be right.

Stored types stay as they are (a number kept as text stays text): what a rule makes of them is the rule language's
business. Rows without a usable `user_id` go to a directory of their own, `shard=set_aside`, kept for inspection.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from tag_platform.compute.metastore import Found, open_table
from tag_platform.compute.plan import ShardSource
from tag_platform.compute.report import SourceReport
from tag_platform.compute.shuffles import size_shuffles
from tag_platform.compute.snapshots import SET_ASIDE, count_by_shard, shard_name, write_by_shard
from tag_platform.lake.raw import DuplicateUsers, SourceUnusable
from tag_platform.shards import shard_key

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

USER_ID_LENGTH = 100  # as in user_tags.user_id


def usable_user_id(user_id: Column) -> Column:
    """TRUE for a user id that can be kept: not NULL or empty, at most 100 characters, not ending in a blank."""
    fits = (F.length(user_id) > 0) & (F.length(user_id) <= USER_ID_LENGTH) & ~user_id.endswith(" ")
    return F.coalesce(fits, F.lit(False))


def shard_source(plan: ShardSource, spark: SparkSession) -> SourceReport:
    """Writes the snapshot at `plan.output`: `user_id` as string and every other column as it is stored.

    Raises `SourceUnusable` where the table cannot be read, lacks its user column, holds no usable row, or
    (`DuplicateUsers`) holds a user twice, with examples. The snapshot is then left without a reader and goes with the
    next clean-up.
    """
    started = time.monotonic()
    raw, found = _read(plan, spark)
    if plan.metastore is not None and found.digest is not None and found.digest == plan.metastore.known:
        return SourceReport(path=plan.output, columns={}, rows={}, set_aside=0, unchanged=True, **asdict(found))
    size_shuffles(spark, found.bytes)
    columns = _columns(plan, raw)
    user_id = F.col(f"`{plan.user_id}`").cast("string")
    wanted = [shard_key(shard) for shard in plan.shards]
    shard = F.when(usable_user_id(F.col("user_id")), shard_name(F.col("user_id"), plan.shard_count))
    rows = raw.select(user_id.alias("user_id"), *[F.col(f"`{name}`") for name in columns])
    rows = rows.withColumn("shard", F.coalesce(shard, F.lit(SET_ASIDE)))
    if len(plan.shards) < plan.shard_count:
        rows = rows.where(F.col("shard").isin([*wanted, SET_ASIDE]))
    try:
        write_by_shard(rows, plan.output)
        written = time.monotonic()
        snapshot = spark.read.schema("user_id string, shard string").parquet(plan.output)
        counts = count_by_shard(snapshot)
        _refuse_duplicates(plan, snapshot)
    except PySparkException as error:
        raise _unreadable(plan, error) from error
    if not any(counts.get(key) for key in wanted):
        raise SourceUnusable(f"Source table {plan.table} is empty: no row with a usable {plan.user_id}.")
    return SourceReport(
        path=plan.output,
        columns=columns,
        rows={shard: counts.get(shard_key(shard), 0) for shard in plan.shards},
        set_aside=counts.get(SET_ASIDE, 0),
        seconds={"write": written - started, "check": time.monotonic() - written},
        **asdict(found),
    )


def _read(plan: ShardSource, spark: SparkSession) -> tuple[DataFrame, Found]:
    if plan.metastore is None:
        return spark.read.parquet(*plan.files), Found(plan.partition, plan.bytes, None)
    try:
        return open_table(plan.metastore, plan.table, spark)
    except PySparkException as error:
        raise _unreadable(plan, error) from error


def _columns(plan: ShardSource, raw: DataFrame) -> dict[str, str]:
    try:
        fields = raw.schema.fields
    except PySparkException as error:
        raise _unreadable(plan, error) from error
    types = {field.name: field.dataType.simpleString() for field in fields}
    if plan.user_id not in types:
        raise SourceUnusable(
            f"Source table {plan.table} has no column {plan.user_id!r} for the user. It has: {', '.join(types)}."
        )
    partition = plan.metastore.partition if plan.metastore else None  # of files it is in the path, not in the rows
    return {name: kind for name, kind in types.items() if name not in (plan.user_id, partition, "shard")}


def _refuse_duplicates(plan: ShardSource, snapshot: DataFrame) -> None:
    twice = snapshot.where(F.col("shard") != SET_ASIDE).groupBy("user_id").agg(F.count("*").alias("n")).where("n > 1")
    examples = [str(row["user_id"]) for row in twice.orderBy("user_id").limit(3).collect()]
    if examples:
        raise DuplicateUsers(
            f"Source table {plan.table} holds some users more than once, for example {', '.join(examples)}. "
            f"Each user may have one row; nothing was computed from this table."
        )


def _unreadable(plan: ShardSource, error: PySparkException) -> SourceUnusable:
    reason = str(error).strip().splitlines()
    where = plan.metastore.name if plan.metastore else plan.files[0] if plan.files else "?"
    return SourceUnusable(f"Source table {plan.table} cannot be read ({where}): {reason[0] if reason else error!r}")
