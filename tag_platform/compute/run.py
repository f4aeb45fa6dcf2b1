"""Runs a plan: the one entry into the data plane, the same for the embedded engine, a cluster and a Glue job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from tag_platform.compute.plan import AnyPlan, CheckTable, EvaluateTags, Plan, ShardSource, UndoRun
from tag_platform.compute.report import Report
from tag_platform.mysql import Database
from tag_platform.stages import stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_PLAN: TypeAdapter[AnyPlan] = TypeAdapter(Plan)


def read_plan(text: str | bytes) -> AnyPlan:
    """The plan in a plan file. Raises pydantic's `ValidationError` for anything else."""
    return _PLAN.validate_json(text)


def run(plan: AnyPlan, spark: SparkSession, database: Database) -> Report:
    """Computes what the plan says and returns its report. `database` is used by merges and checks."""
    if isinstance(plan, ShardSource):
        from tag_platform.compute.shard_source import shard_source

        with stage(f"copy {plan.table}", len(plan.shards)) as current:
            source = shard_source(plan, spark)
            current.rows = sum(source.rows.values())
            current.note = f"{source.set_aside:,} rows set aside" if source.set_aside else ""
        return source
    if isinstance(plan, EvaluateTags):
        from tag_platform.compute.evaluate_tags import evaluate_tags

        with stage(f"evaluate {len(plan.tags)} tags", len(plan.shards)) as current:
            tags = evaluate_tags(plan, spark)
            current.rows = sum(tags.rows.values())
            current.note = f"of {sum(tags.users.values()):,} users"
        return tags
    if isinstance(plan, UndoRun):
        from tag_platform.compute.undo import undo_run

        with stage(f"put back run {plan.undone_run}", len(plan.shards)) as current:
            undone = undo_run(plan, spark, database)
            current.rows = sum(sum(n.values()) for n in (undone.inserted, undone.updated, undone.deleted))
            current.note = f"{sum(undone.left_alone.values()):,} changes left alone" if undone.left_alone else ""
        return undone
    if isinstance(plan, CheckTable):
        from tag_platform.compute.check_table import check_table

        with stage("check user_tags", sum(len(group.shards) for group in plan.groups)) as current:
            checked = check_table(plan, spark, database)
            current.rows = checked.pairs
            current.note = f"{len(checked.differences):,} differences" if checked.differences else "equal"
        return checked
    from tag_platform.compute.merge_tags import merge_tags

    with stage("merge into user_tags", sum(len(group.shards) for group in plan.groups)) as current:
        merged = merge_tags(plan, spark, database)
        current.rows = sum(merged.inserted.values()) + sum(merged.updated.values())
        current.note = f"written; {sum(merged.unchanged.values()):,} unchanged"
    return merged
