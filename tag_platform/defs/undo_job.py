"""The job `undo_run`: puts back what a run changed in `user_tags`."""

from dagster import Config, JobDefinition, OpExecutionContext, in_process_executor, job, op
from pydantic import Field

from tag_platform.catalog.tags import Catalog
from tag_platform.compute.ledger import Merge, merges_after, merges_of
from tag_platform.compute.plan import UndoRun
from tag_platform.compute.report import MergeReport
from tag_platform.defs.merging import merge_metadata
from tag_platform.defs.resources import RunOptions, StepLauncher
from tag_platform.errors import BadInput
from tag_platform.lake.snapshots import new_snapshot, require_present
from tag_platform.mysql import Database
from tag_platform.settings import Settings


class UndoRunConfig(Config):
    """Which run to undo."""

    run_id: str = Field(description="The run whose changes of user_tags are put back.")


def undo_run_job(catalog: Catalog, settings: Settings) -> JobDefinition:
    @op(description="Puts back what the run changed in user_tags, where no later run changed it again.")
    def undo(context: OpExecutionContext, config: UndoRunConfig, launcher: StepLauncher, options: RunOptions) -> None:
        plan = plan_undo(config.run_id, context.run.run_id, catalog, settings).model_copy(
            update={"dry_run": options.dry_run}
        )
        require_present([*(path for merge in plan.undone for path in merge), *plan.later], settings)
        report = launcher.launch(context, plan)
        if not isinstance(report, MergeReport):
            raise TypeError(f"an undo plan ended with {report.kind}")
        alone = sum(report.left_alone.values())
        context.log.info(
            f"run {config.run_id}: {sum(report.updated.values()):,} rows put back, {sum(report.inserted.values()):,} "
            f"inserted again, {sum(report.deleted.values()):,} deleted; {alone:,} changes left alone, since a later "
            "run changed them again"
        )
        context.add_output_metadata(
            {
                **merge_metadata(report),
                "undone_run": config.run_id,
                "deleted": sum(report.deleted.values()),
                "left_alone": {str(tag_id): n for tag_id, n in sorted(report.left_alone.items())},
            }
        )

    @job(
        name="undo_run",
        executor_def=in_process_executor,
        description="Puts back what a run changed in user_tags. The undo is a run like any other, and can be undone.",
    )
    def undo_of_a_run() -> None:
        undo()

    return undo_of_a_run


def plan_undo(undone_run: str, run_id: str, catalog: Catalog, settings: Settings) -> UndoRun:
    """The plan of an undo, from the ledger. Raises `BadInput` where the run changed nothing or does not exist."""
    database = Database.of(settings)
    undone = [entry for entry in merges_of(database, undone_run) if entry.changed]
    if not undone:
        raise BadInput(f"Run {undone_run} changed nothing in user_tags (by the ledger of merges).")
    own = {entry.merge_id for entry in undone}
    shards = _shards(undone, settings.shards)
    later = [entry for entry in merges_after(database, min(own)) if entry.merge_id not in own]
    return UndoRun(
        undone_run=undone_run,
        undone=tuple(entry.directories(shards, settings.shards) for entry in undone),
        later=tuple(path for entry in later for path in entry.directories(shards, settings.shards)),
        since=f"{undone[0].started:%Y-%m-%d %H:%M:%S.%f}",
        shards=tuple(sorted(shards)),
        shard_count=settings.shards,
        details={tag.tag_id: tag.details for tag in catalog.tags},
        output=new_snapshot(settings.lake, "merged_user_tags", run_id),
        run_id=run_id,
    )


def _shards(merges: list[Merge], shard_count: int) -> set[int]:
    """The shards that the merges changed; all of them where the number of shards was another one then."""
    if any(entry.shard_count != shard_count for entry in merges):
        return set(range(shard_count))
    return {shard for entry in merges for shard in entry.changed}
