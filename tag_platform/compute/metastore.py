"""Source tables that the engine's own catalog knows: a Hive metastore, or the Glue Data Catalog.

Which partition is the newest, and whether its files have changed, only the engine can say; so it is asked while the
plan runs, and not before it is made.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from tag_platform.compute.plan import MetastoreTable
from tag_platform.lake.raw import SourceUnusable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = r"\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True)
class Found:
    """What is to be read: the value of its partition, the size of its files, and a digest of them (None where nothing
    tells whether they have changed)."""

    partition: str | None
    bytes: int
    digest: str | None


def open_table(table: MetastoreTable, name: str, spark: SparkSession) -> tuple[DataFrame, Found]:
    """The rows of the newest partition up to the plan's date, or of the whole of a plain table. Raises `SourceUnusable`
    where there is no such partition, and PySpark's own errors for a table that the catalog does not know."""
    rows = spark.read.table(table.name)
    partition = None
    if table.partition is not None:
        partition = _newest(table, name, rows, spark)
        rows = rows.where(F.col(f"`{table.partition}`").cast("string") == F.lit(partition))
    size, digest = _files(rows)
    return rows, Found(partition, size, digest)


def _newest(table: MetastoreTable, name: str, rows: DataFrame, spark: SparkSession) -> str:
    values = [value for value in _partitions(table, rows, spark) if re.fullmatch(DAY, value)]
    usable = [value for value in values if value <= table.as_of.isoformat()]
    if not usable:
        newest = f"; the oldest one is {min(values)}" if values else ""
        raise SourceUnusable(
            f"Source table {name}: {table.name} has no partition {table.partition}=YYYY-MM-DD up to {table.as_of}"
            f"{newest}."
        )
    return max(usable)


def _partitions(table: MetastoreTable, rows: DataFrame, spark: SparkSession) -> list[str]:
    """Values of the partition column: the catalog's list. A view, or a table format with a list of its own, has none
    there: then the column itself is read."""
    try:
        listed = spark.sql(f"SHOW PARTITIONS {table.name}").collect()
    except PySparkException:
        values = rows.select(F.col(f"`{table.partition}`").cast("string").alias("value")).distinct().collect()
        return [row["value"] for row in values if row["value"] is not None]
    found = (re.search(rf"(?:^|/){re.escape(table.partition or '')}=([^/]*)", row[0], re.IGNORECASE) for row in listed)
    return [match[1] for match in found if match]


def _files(rows: DataFrame) -> tuple[int, str | None]:
    """Size and digest of the files behind the rows: name, size and time of each, as in `tag_platform.lake.raw`."""
    names = ("file_path", "file_size", "file_modification_time")
    try:
        files = rows.select(*[F.col(f"_metadata.{name}").cast("string").alias(name) for name in names]).distinct()
        found = sorted(tuple(str(row[name]) for name in names) for row in files.collect())
    except PySparkException:  # a view, or a format that Spark does not read by file
        return 0, None
    digest = hashlib.sha256("\n".join("\0".join(file) for file in found).encode()).hexdigest()
    return sum(int(size) for _, size, _ in found), digest
