"""Puts back what a run changed in `user_tags`, from the before-images that it kept.

What a later run changed again is left alone, tag by tag. An undo is a change like any other: it is in the ledger, keeps
before-images of its own, and can be undone.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.apply_changes import CHANGES_SCHEMA, Change, apply_changes
from tag_platform.compute.columns import missing_from, no_tags
from tag_platform.compute.overrides import read_decisions
from tag_platform.compute.plan import UndoRun
from tag_platform.compute.report import MergeReport
from tag_platform.compute.snapshots import read_snapshot
from tag_platform.compute.stored_tags import read_stored
from tag_platform.mysql import Database

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


DIRECTORIES = 500  # read at once: there may be thousands of merges since


def undo_run(plan: UndoRun, spark: SparkSession, database: Database) -> MergeReport:
    """Writes the changes and the rows as `merge_tags` does. A row that the run inserted, and that is as the run left
    it, is deleted; one that the run deleted comes back. `left_alone` in the report counts, by tag, the users whose tag
    a later run changed again, or a person decided on since."""

    def find() -> DataFrame:
        stored = read_stored(spark, database, plan.shards, plan.shard_count)
        return _put_back(stored, _changed(plan, spark), _moved_since(plan, spark, database))

    change = Change(
        find=find,
        shards=plan.shards,
        shard_count=plan.shard_count,
        details=plan.details,
        removable=dict.fromkeys(plan.shards, ()),
        output=plan.output,
        run_id=plan.run_id,
        undoes=plan.undone_run,
        dry_run=plan.dry_run,
    )
    report = apply_changes(change, spark, database)
    return report.model_copy(update={"left_alone": _left_alone(plan, spark, database)})


def _changed(plan: UndoRun, spark: SparkSession) -> DataFrame:
    """What the run changed, user by user: `(user_id, was, became, given, taken)`. A run that was tried again left
    several snapshots: what was before the first of them, and what is after the last one, count."""

    def read(directories: tuple[str, ...]) -> DataFrame:
        rows = read_snapshot(spark, CHANGES_SCHEMA, directories)
        return rows.select(
            "user_id", F.col("before").alias("was"), F.col("after").alias("became"), F.lit(1).alias("one")
        )

    def compose(first: DataFrame, then: DataFrame) -> DataFrame:
        later = then.select(
            "user_id", F.col("was").alias("was2"), F.col("became").alias("became2"), F.col("one").alias("two")
        )
        both = first.join(later, "user_id", "full_outer")
        was = F.when(F.col("one").isNotNull(), F.col("was")).otherwise(F.col("was2"))
        became = F.when(F.col("two").isNotNull(), F.col("became2")).otherwise(F.col("became"))
        return both.select("user_id", was.alias("was"), became.alias("became"), F.lit(1).alias("one"))

    together = reduce(compose, map(read, plan.undone))
    given = missing_from("became", "was").alias("given")
    return together.select("user_id", "was", "became", given, missing_from("was", "became").alias("taken"))


def _moved_since(plan: UndoRun, spark: SparkSession, database: Database) -> DataFrame | None:
    """The tags of each user that later runs gave or took, or that people decided on since: `(user_id, moved)`; None
    where there is nothing."""
    parts = [
        read_snapshot(spark, CHANGES_SCHEMA, plan.later[start : start + DIRECTORIES]).select(
            "user_id", F.concat("entered", "left").alias("moved")
        )
        for start in range(0, len(plan.later), DIRECTORIES)
    ]
    if plan.since is not None:
        decided = read_decisions(spark, database, "made_time >= %s", (plan.since,), plan.shards, plan.shard_count)
        parts += [] if decided is None else [decided]
    if not parts:
        return None
    together = reduce(lambda left, right: left.union(right), parts)
    return together.groupBy("user_id").agg(F.flatten(F.collect_list("moved")).alias("moved"))


def _put_back(stored: DataFrame, changed: DataFrame, moved_since: DataFrame | None) -> DataFrame:
    """The rows to write, in `CHANGES_SCHEMA`, and the rows of the account."""
    if moved_since is None:
        run = changed.withColumn("moved", F.lit(None).cast("array<int>"))
    else:
        run = changed.join(moved_since, "user_id", "left")
    run = run.withColumn("of_run", F.lit(1))
    both = stored.select("user_id", "before").join(run, "user_id", "full_outer")
    counts = F.col("user_id").isNull()
    untouched = F.col("moved").isNull()
    as_left = F.coalesce(F.col("before") == F.col("became"), F.lit(False))
    delete = as_left & F.col("was").isNull() & untouched
    restore = F.col("before").isNull() & F.col("became").isNull() & F.col("was").isNotNull() & untouched
    kept = F.filter("before", lambda tag_id: ~_has("given", tag_id) | _has("moved", tag_id))
    back = F.filter("taken", lambda tag_id: ~_has("moved", tag_id) & ~_has("before", tag_id))
    patched = F.array_sort(F.concat(F.coalesce(kept, no_tags()), F.coalesce(back, no_tags())))
    # Somebody deleted the row: there is nothing to put back into.
    patched = F.when(F.col("before").isNotNull(), patched)
    after = F.when(restore, F.col("was")).when(~delete, patched)
    rows = both.where(counts | F.col("of_run").isNotNull())
    rows = rows.select("user_id", "before", after.alias("after"), (delete | restore).alias("whole"))
    differs = F.col("user_id").isNull() | F.col("whole") | (F.col("before") != F.col("after"))
    return rows.where(differs).select(
        "user_id",
        "before",
        "after",
        missing_from("after", "before").alias("entered"),
        missing_from("before", "after").alias("left"),
    )


def _has(tags: str, tag_id: Column) -> Column:
    return F.array_contains(F.coalesce(F.col(tags), no_tags()), tag_id)


def _left_alone(plan: UndoRun, spark: SparkSession, database: Database) -> dict[int, int]:
    """By tag, the users whose tag was changed by the run and again later."""
    moved_since = _moved_since(plan, spark, database)
    if moved_since is None:
        return {}
    both = _changed(plan, spark).join(moved_since, "user_id")
    again = F.filter(F.concat("given", "taken"), lambda tag_id: F.array_contains("moved", tag_id))
    rows = both.select(F.explode(again).alias("tag_id")).groupBy("tag_id").agg(F.count("*").alias("n"))
    return {row["tag_id"]: row["n"] for row in rows.collect()}
