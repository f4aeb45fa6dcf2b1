"""How Apache Spark divides its work: shuffle partitions from the size of the data, and few files per shard.

Sail divides its work by itself, so none of this concerns it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION_BYTES = 64 << 20  # Spark's own advice for one partition (spark.sql.adaptive.advisoryPartitionSizeInBytes)
PACKED = 4  # Parquet takes about a quarter of the room that its rows take in a shuffle
# Fewer would leave cores idle; what turns out too small is put together again by adaptive execution.
FEWEST, MOST = 16, 20_000


def shuffle_partitions(packed_bytes: int) -> int:
    """Partitions for a shuffle of so many bytes of Parquet."""
    return min(max(FEWEST, math.ceil(packed_bytes * PACKED / PARTITION_BYTES)), MOST)


def size_shuffles(spark: SparkSession, packed_bytes: int) -> None:
    """Sets the session's shuffle partitions. Spark's fixed 200 are as many files for each task of a small run, and
    gigabytes for each partition of a large one."""
    if _is_apache_spark(spark):
        spark.conf.set("spark.sql.shuffle.partitions", str(shuffle_partitions(packed_bytes)))


def gathered_by_shard(rows: DataFrame) -> DataFrame:
    """The same rows, those of a shard together (column `shard`), so that a shard is written as one file, or as several
    large ones. Without it every task writes a file into every shard."""
    spark = rows.sparkSession
    if not _is_apache_spark(spark):
        return rows
    # As SQL, since `DataFrame.hint` of PySpark 3.5 takes no column.
    return spark.sql("SELECT /*+ REBALANCE(shard) */ * FROM {rows}", rows=rows)


def _is_apache_spark(spark: SparkSession) -> bool:
    """`tag_platform.compute.engine` sets adaptive execution for Apache Spark, and for no other engine."""
    return spark.conf.get("spark.sql.adaptive.enabled", "false") == "true"
