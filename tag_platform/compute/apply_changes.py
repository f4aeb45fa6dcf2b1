"""Brings `user_tags` from what it holds to what it should hold, for a merge and for an undo alike: find the difference,
keep it as a snapshot, let the gate look at it, write it, and prove by counting that the table holds what it should."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.account import ACCOUNT, ROWS, Difference, counts_of, differences, mismatch
from tag_platform.compute.gate import GateBounds, closed, moves_table, violations
from tag_platform.compute.ledger import close_merges, open_merge
from tag_platform.compute.locks import LockLost, ShardLocks, shard_locks
from tag_platform.compute.report import MergeReport
from tag_platform.compute.snapshots import count_by_shard, read_all, shard_name, write_by_shard
from tag_platform.compute.stored_tags import read_stored
from tag_platform.compute.upsert import Written, write_changes
from tag_platform.mysql import Database
from tag_platform.shards import shard_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
CHANGES_SCHEMA = "user_id string, before array<int>, after array<int>, entered array<int>, `left` array<int>"
WRITE_ROWS = 1_000_000  # sorted and written at once: a few hundred megabytes
ByShard = dict[int, dict[int, int]]  # tag id → shard → users


@dataclass(frozen=True)
class Change:
    """One change of the table. `find` gives the rows that differ, in `CHANGES_SCHEMA` and with the rows of the account;
    `removable` are the tags that the change decides alone, by shard (a row that somebody else changed in between keeps
    all others). `bounds` is None where no gate is asked for."""

    find: Callable[[], DataFrame]
    shards: tuple[int, ...]
    shard_count: int
    details: Mapping[int, Mapping[str, str]]
    removable: Mapping[int, Collection[int]]
    output: str
    run_id: str
    undoes: str | None = None
    users: tuple[str, ...] | None = None
    bounds: GateBounds | None = None
    dry_run: bool = False
    under_lock: Callable[[], None] = field(default=lambda: None)

    @property
    def names(self) -> dict[int, str]:
        return {tag_id: entry.get("tag_name", "") for tag_id, entry in self.details.items()}


def apply_changes(change: Change, spark: SparkSession, database: Database) -> MergeReport:
    """Holds the locks of the change's shards from the first reading to the last count.

    Where the count does not come out even, or the locks were lost, it is all done once more (under `<output>-again`):
    somebody may have written in between. Raises `AccountMismatch` or `LockLost` where that did not help, and
    `GateClosed` before anything is written. What was cut off anywhere is completed by doing it again.
    """
    if change.dry_run:
        return _once(change, spark, database, None)[0]
    with shard_locks(database, change.shards, change.shard_count) as locks:
        change.under_lock()
        try:
            report, uneven = _once(change, spark, database, locks)
            if not uneven:
                close_merges(database, change.run_id)
                return report
            log.warning("the account of user_tags is not even, merging once more:\n%s", "\n".join(map(str, uneven)))
            disturbed = tuple(map(str, uneven))
        except LockLost as error:
            log.warning("%s Merging once more.", error)
            disturbed = (str(error),)
    again = replace(change, output=f"{change.output}-again")
    with shard_locks(database, change.shards, change.shard_count) as locks:
        second, uneven = _once(again, spark, database, locks)
        if uneven:
            raise mismatch(uneven)
        close_merges(database, change.run_id)
    return second.model_copy(update={"disturbed": disturbed})


def _once(
    change: Change, spark: SparkSession, database: Database, locks: ShardLocks | None
) -> tuple[MergeReport, list[Difference]]:
    started = time.monotonic()
    shard = F.when(F.col("user_id").isNull(), F.lit(ACCOUNT)).otherwise(
        shard_name(F.col("user_id"), change.shard_count)
    )
    write_by_shard(change.find().withColumn("shard", shard), change.output)
    compared = time.monotonic()
    kept = read_all(spark, f"{CHANGES_SCHEMA}, shard string", change.output)
    before = counts_of(kept.where(F.col("shard") == ACCOUNT))
    kept = kept.where(F.col("shard") != ACCOUNT)
    entered, left = _moves(kept, "entered"), _moves(kept, "left")
    touched = {int(shard): n for shard, n in count_by_shard(kept).items()}
    counted = time.monotonic()
    reasons = _gate(change, kept, before, entered, left)
    written, after = Written(), before
    if not change.dry_run:
        written, after = _write(change, kept, before, touched, locks, spark, database)
    inflow, outflow = _flat(entered), _flat(left)
    for counts, column in ((inflow, "before"), (outflow, "after")):  # rows that are new, rows that go
        if touched:
            counts |= {(int(shard), ROWS): n for shard, n in count_by_shard(kept.where(F.col(column).isNull())).items()}
    deleted = {shard: n for (shard, tag_id), n in outflow.items() if tag_id == ROWS}
    for key, n in written.shifted.items():
        inflow[key] = inflow.get(key, 0) + n
    report = MergeReport(
        path=change.output,
        inserted={shard: written.inserted.get(shard, 0) for shard in change.shards},
        updated={shard: written.updated.get(shard, 0) for shard in change.shards},
        unchanged={
            s: after[s, ROWS] - touched.get(s, 0) + deleted.get(s, 0) * (not change.dry_run) for s in change.shards
        },
        deleted={shard: n for shard, n in written.deleted.items() if n},
        entered=entered,
        left=left,
        rivals=written.rivals,
        before=_by_tag(before),
        after=_by_tag(after),
        dry_run=change.dry_run,
        gate=tuple(reasons),
        seconds={
            "compare": compared - started,
            "count": counted - compared,
            "write": time.monotonic() - counted,
        },
    )
    return report, [] if change.dry_run else differences(before, inflow, outflow, after)


def _gate(
    change: Change, kept: DataFrame, before: Counter[tuple[int, int]], entered: ByShard, left: ByShard
) -> list[str]:
    """What the bounds forbid; raises `GateClosed` where it is more than a dry run that asks."""
    if change.bounds is None:
        return []
    totals = _totals(_by_tag(before)), _totals(entered), _totals(left)
    losing = kept.where(F.size("left") > 0).count() if left else 0
    reasons = violations(*totals, losing, change.bounds)
    if reasons and not change.dry_run:
        raise closed(reasons, moves_table(*totals, change.names))
    return reasons


def _write(
    change: Change,
    kept: DataFrame,
    before: Counter[tuple[int, int]],
    touched: Mapping[int, int],
    locks: ShardLocks | None,
    spark: SparkSession,
    database: Database,
) -> tuple[Written, Counter[tuple[int, int]]]:
    """Enters the merge into the ledger, also one without changes: plans made before it are stale all the same. Writes
    so many shards at once that the engine never sorts more than a bounded number of rows."""
    assert locks is not None  # noqa: S101 (only a dry run goes without)
    locks.check()
    open_merge(database, change.run_id, change.output, change.shards, touched, change.shard_count, change.undoes)
    if not touched:
        return Written(), before
    rows = kept.select("user_id", "before", "after", "shard")
    written = Written()
    for part in parts(touched, WRITE_ROWS):
        here = rows if len(part) == len(touched) else rows.where(F.col("shard").isin([shard_key(s) for s in part]))
        written += write_changes(here, database, change.details, change.removable, change.shard_count)
        locks.check()
    stored = read_stored(spark, database, change.shards, change.shard_count, users=change.users)
    return written, counts_of(stored.where(F.col("user_id").isNull()))


def parts(rows: Mapping[int, int], most: int) -> list[list[int]]:
    """The shards in ascending order, divided so that each part has at most `most` rows, or is a single shard."""
    found: list[list[int]] = []
    held = 0
    for shard, n in sorted(rows.items()):
        if not found or held + n > most:
            found.append([])
            held = 0
        found[-1].append(shard)
        held += n
    return found


def _moves(changes: DataFrame, direction: str) -> ByShard:
    """Users who entered or left each tag, per shard, counted in the snapshot of the changes."""
    rows = changes.select("shard", F.explode(direction).alias("tag_id")).groupBy("shard", "tag_id")
    counts: ByShard = {}
    for row in rows.agg(F.count("*").alias("n")).collect():
        counts.setdefault(row["tag_id"], {})[int(row["shard"])] = row["n"]
    return counts


def _flat(moves: ByShard) -> dict[tuple[int, int], int]:
    return {(shard, tag_id): n for tag_id, by_shard in moves.items() for shard, n in by_shard.items()}


def _by_tag(counts: Counter[tuple[int, int]]) -> ByShard:
    found: ByShard = {}
    for (shard, tag_id), n in sorted(counts.items()):
        found.setdefault(tag_id, {})[shard] = n
    return found


def _totals(counts: ByShard) -> dict[int, int]:
    return {tag_id: sum(by_shard.values()) for tag_id, by_shard in counts.items()}
