"""Compares `user_tags` with what the lake says, shard by shard and tag by tag, by digests: no row leaves the database.

A digest of a tag in a shard is the number of its users, the XOR of 60 bits of the SHA-256 of each user id, and the sum
of their CRC32. It does not depend on the order of rows, and MySQL, MariaDB and every engine compute the same (there is
no MD5 in MySQL 9).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pymysql.cursors import SSCursor
from pyspark.sql import functions as F

from tag_platform.compute.apply_changes import CHANGES_SCHEMA
from tag_platform.compute.columns import no_tags
from tag_platform.compute.ledger import StalePlan, merges_after
from tag_platform.compute.locks import shard_locks
from tag_platform.compute.merge_tags import computed_tags, overridden
from tag_platform.compute.overrides import read_decisions, read_overrides
from tag_platform.compute.plan import CheckShards, CheckTable
from tag_platform.compute.report import CheckReport
from tag_platform.compute.snapshots import read_snapshot, shard_number
from tag_platform.compute.stored_tags import parse_tag_ids
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, retrying, transaction
from tag_platform.shards import SLOTS, slots_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEX_DIGITS = 15  # of a SHA-256: 60 bits, which a signed 64-bit number of an engine holds
Digests = dict[tuple[int, int], "Digest"]  # (shard, tag) → digest


@dataclass(frozen=True)
class Digest:
    """Of the users of one tag in one shard."""

    users: int = 0
    xor: int = 0
    total: int = 0

    def plus(self, other: Digest) -> Digest:
        return Digest(self.users + other.users, self.xor ^ other.xor, self.total + other.total)


def check_table(plan: CheckTable, spark: SparkSession, database: Database) -> CheckReport:
    """Holds the locks of the plan's shards, so that no merge is half done while it looks.

    Raises `StalePlan` where another run merged these shards since the plan was made.
    """
    started = time.monotonic()
    shards = sorted(shard for group in plan.groups for shard in group.shards)
    with shard_locks(database, shards, plan.shard_count):
        if any(
            entry.shard_count != plan.shard_count or set(entry.shards) & set(shards)
            for entry in merges_after(database, plan.ledger_at)
        ):
            raise StalePlan("Another run merged these shards while the check waited. Start it again.")
        table: Digests = {}
        for group in plan.groups:
            for shard in group.shards:
                table |= _of_table(database, shard, group, plan.shard_count)
        read = time.monotonic()
        lake: Digests = {}
        for group in plan.groups:
            lake |= _of_lake(plan, group, spark, database)
    differing = sorted(key for key in {*table, *lake} if table.get(key, Digest()) != lake.get(key, Digest()))
    return CheckReport(
        path="",
        differences=tuple(
            (shard, tag_id, table.get((shard, tag_id), Digest()).users, lake.get((shard, tag_id), Digest()).users)
            for shard, tag_id in differing
        ),
        pairs=sum(digest.users for digest in lake.values()),
        seconds={"table": read - started, "lake": time.monotonic() - read},
    )


def _of_table(database: Database, shard: int, group: CheckShards, shard_count: int) -> Digests:
    """Digests of one shard, by the index of its slots. Users share few sets of tags: the server adds up each set, and
    each is opened once here."""
    slots = slots_of([shard], shard_count)
    where = "" if len(slots) == SLOTS else f" AND shard_slot IN ({', '.join(str(int(slot)) for slot in slots)})"
    statement = (
        "SELECT CAST(tag_ids AS CHAR) AS tags, COUNT(*),"  # noqa: S608 (whole numbers)
        f" BIT_XOR(CAST(CONV(LEFT(SHA2(user_id, 256), {HEX_DIGITS}), 16, 10) AS UNSIGNED)), SUM(CRC32(user_id))"
        " FROM user_tags WHERE user_id NOT IN (SELECT user_id FROM user_tag_overrides WHERE override_id > %s)"
        f"{where} GROUP BY tags"
    )

    def read() -> Digests:
        found: Digests = {}
        with transaction(database, cursorclass=SSCursor) as cursor:
            cursor.execute(statement, (group.decided_at,))
            for text, users, xor, total in cursor:
                parsed = parse_tag_ids(text)
                if parsed is None:
                    raise TagPlatformError("user_tags holds tag_ids that are no list of whole numbers; correct them.")
                for tag_id in group.owned.intersection(parsed[0]):
                    known = found.get((shard, tag_id), Digest())
                    found[shard, tag_id] = known.plus(Digest(int(users), int(xor), int(total)))
        return found

    return retrying(read, "reading the digests of user_tags")


def _of_lake(plan: CheckTable, group: CheckShards, spark: SparkSession, database: Database) -> Digests:
    """What the group's shards must hold: the tags that were merged last, then what later merges changed, then what
    people decided."""
    owned = sorted(group.owned)
    rows = computed_tags(group.computed, spark).select("user_id", F.col("computed").alias("tags"))
    if group.later:
        changed = _changed_later(group, spark)
        rows = rows.join(changed, "user_id", "full_outer")
        tags = F.when(F.col("changed") == 1, F.col("after")).otherwise(F.col("tags"))
        rows = rows.select("user_id", F.coalesce(tags, no_tags()).alias("tags"))
    overrides = read_overrides(spark, database, group.shards, plan.shard_count)
    if overrides is not None:
        rows = overridden(rows, "tags", overrides, [t for t in owned if t in plan.giveable])
    decided = read_decisions(spark, database, "override_id > %s", (group.decided_at,), group.shards, plan.shard_count)
    if decided is not None:
        rows = rows.join(decided, "user_id", "left_anti")
    pairs = rows.select("user_id", F.explode("tags").alias("tag_id")).where(F.col("tag_id").isin(owned))
    text = F.col("user_id").cast("binary")
    pairs = pairs.select(
        shard_number(F.col("user_id"), plan.shard_count).alias("shard"),
        "tag_id",
        F.conv(F.substring(F.sha2(text, 256), 1, HEX_DIGITS), 16, 10).cast("long").alias("bits"),
        F.crc32(text).alias("crc"),
    )
    digests = pairs.where(F.col("shard").isin(list(group.shards))).groupBy("shard", "tag_id")
    found = digests.agg(F.count("*").alias("users"), F.expr("bit_xor(bits)").alias("xor"), F.sum("crc").alias("total"))
    return {(row["shard"], row["tag_id"]): Digest(row["users"], row["xor"], row["total"]) for row in found.collect()}


def _changed_later(group: CheckShards, spark: SparkSession) -> DataFrame:
    """`(user_id, after, changed)`: the row as the last of the later merges left it."""

    def read(place: int, directories: tuple[str, ...]) -> DataFrame:
        rows = read_snapshot(spark, CHANGES_SCHEMA, directories)
        return rows.select("user_id", "after", F.lit(place).alias("place"))

    parts = [read(place, directories) for place, directories in enumerate(group.later)]
    together = reduce(lambda left, right: left.union(right), parts)
    last = together.groupBy("user_id").agg(F.expr("max_by(after, place)").alias("after"))
    return last.withColumn("changed", F.lit(1))
