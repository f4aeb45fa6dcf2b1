"""Pins and exclusions in the engine: what people decided for single users, as columns beside the stored and computed
tags. Read under the locks of the shards, since a decision takes the same lock (`tag_platform.overrides`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as F

from tag_platform.compute.stored_tags import Task
from tag_platform.mysql import Database, retrying, transaction
from tag_platform.shards import slots_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

OVERRIDES_SCHEMA = "user_id string, pinned array<int>, excluded array<int>"
DECISIONS_SCHEMA = "user_id string, moved array<int>"
ROWS_PER_TASK = 100_000


def read_overrides(
    spark: SparkSession,
    database: Database,
    shards: Collection[int],
    shard_count: int,
    users: Collection[str] | None = None,
) -> DataFrame | None:
    """What is in force for the shards (or of them for `users` alone), one row per user; None where there is nothing,
    so that a merge without overrides costs no join."""
    rows = _read(spark, database, "in_force = 1", (), shards, shard_count)
    if rows is None:
        return None
    if users is not None:
        rows = rows.join(spark.createDataFrame([(user,) for user in sorted(users)], "user_id string"), "user_id")

    def tags(kind: str) -> Any:
        return F.collect_list(F.when(F.col("kind") == kind, F.col("tag_id"))).alias(kind)

    both = rows.groupBy("user_id").agg(tags("pin"), tags("exclude"))
    return both.select("user_id", F.col("pin").alias("pinned"), F.col("exclude").alias("excluded"))


def read_decisions(
    spark: SparkSession,
    database: Database,
    where: str,
    values: tuple[Any, ...],
    shards: Collection[int],
    shard_count: int,
) -> DataFrame | None:
    """The tags that people decided on, user by user, in the decisions that `where` names: `DECISIONS_SCHEMA`; None
    where there is none."""
    rows = _read(spark, database, where, values, shards, shard_count)
    return None if rows is None else rows.groupBy("user_id").agg(F.collect_set("tag_id").alias("moved"))


def _read(
    spark: SparkSession,
    database: Database,
    where: str,
    values: tuple[Any, ...],
    shards: Collection[int],
    shard_count: int,
) -> DataFrame | None:
    """Rows `(user_id, tag_id, kind)`, read by the engine's tasks."""
    slots = slots_of(shards, shard_count)
    if len(slots) < 1024:
        where += f" AND shard_slot IN ({', '.join(str(int(slot)) for slot in slots)})"

    def bounds() -> tuple[int, int, int]:
        with transaction(database) as cursor:
            cursor.execute(
                "SELECT COUNT(*), COALESCE(MIN(override_id), 0), COALESCE(MAX(override_id), 0)"  # noqa: S608
                f" FROM user_tag_overrides WHERE {where}",
                values,
            )
            count, first, last = cursor.fetchone()
            return int(count), int(first), int(last)

    count, first, last = retrying(bounds, "counting overrides")
    if not count:
        return None
    tasks = -(-count // ROWS_PER_TASK)
    step = -(-(last - first + 1) // tasks)
    read = _reader(database, where, values, first, step)
    return spark.range(0, tasks, 1, tasks).mapInArrow(read, "user_id string, tag_id int, kind string")


def _reader(database: Database, where: str, values: tuple[Any, ...], first: int, step: int) -> Task:
    statement = (
        f"SELECT user_id, tag_id, kind FROM user_tag_overrides WHERE {where}"  # noqa: S608
        " AND override_id >= %s AND override_id < %s"
    )

    def read(tasks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in tasks:
            for task in batch.column(0).to_pylist():
                start = first + task * step

                def fetch(start: int = start) -> list[Any]:
                    with transaction(database) as cursor:
                        cursor.execute(statement, (*values, start, start + step))
                        return list(cursor.fetchall())

                rows = retrying(fetch, "reading overrides")
                columns = list(zip(*rows, strict=True)) or [(), (), ()]
                types = (pa.string(), pa.int32(), pa.string())
                arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, names=["user_id", "tag_id", "kind"])

    return read
