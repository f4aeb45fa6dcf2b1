"""Reading and writing snapshots with the engine: one new directory per snapshot, one sub-directory per shard.

Nothing is ever overwritten: engines differ in what an overwrite deletes, and a reader may still be at work.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.shuffles import gathered_by_shard
from tag_platform.errors import TagPlatformError
from tag_platform.shards import shard_key

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

SET_ASIDE = "set_aside"
NO_ROOM = "No space left on device"


def shard_number(user_id: Column, shard_count: int) -> Column:
    """The user's shard as int, the same number as `tag_platform.shards.shard_of`."""
    return (F.crc32(user_id.cast("binary")) % F.lit(shard_count)).cast("int")


def shard_name(user_id: Column, shard_count: int) -> Column:
    """The user's shard as its partition key, "000" …"""
    return F.lpad(shard_number(user_id, shard_count).cast("string"), len(shard_key(0)), "0")


def write_by_shard(rows: DataFrame, path: str) -> None:
    """Writes `rows` (with their column `shard`) below `path`, one directory per shard that has rows.

    Raises `TagPlatformError` where the lake has no room: a query that reads and writes at once would otherwise put it
    down to its source."""
    try:
        gathered_by_shard(rows).write.mode("error").partitionBy("shard").parquet(path)
    except Exception as error:  # each engine has its own class for it, and for some it is Java's
        if NO_ROOM in str(error):
            raise TagPlatformError(
                f"The lake is full, the snapshot {path} was not written ({NO_ROOM}). Make room there, or remove old "
                "snapshots; then start the run again."
            ) from error
        raise


def read_snapshot(spark: SparkSession, schema: str, directories: Collection[str]) -> DataFrame:
    """Rows of the given shard directories. `schema` is given, since engines guess partition columns differently;
    no directory at all gives no rows."""
    if not directories:
        return spark.createDataFrame([], schema)
    return spark.read.schema(schema).parquet(*sorted(directories))


def read_all(spark: SparkSession, schema: str, path: str) -> DataFrame:
    """A whole snapshot that was just written; `schema` has the column `shard`."""
    return spark.read.schema(schema).parquet(path)


def count_by_shard(rows: DataFrame) -> dict[str, int]:
    """Rows per value of the column `shard`."""
    return {str(row["shard"]): int(row["n"]) for row in rows.groupBy("shard").agg(F.count("*").alias("n")).collect()}
