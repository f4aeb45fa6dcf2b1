"""`lake_gc`: which snapshots something still needs, and the job and schedule that remove all others.

Needed are: the latest materialization of every shard of every asset, tags that were retired included (they may come
back); what was the latest when the oldest run that is still under way began, since that run may have planned with it;
what `user_tags` was made from, which the check `table_equals_lake` compares it with; and everything younger than
`keep_days`, which is how long a run can be undone.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    Config,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    RunsFilter,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from tag_platform.compute.ledger import all_merges
from tag_platform.defs.history import MERGED_KEY, latest
from tag_platform.defs.priorities import FULL_REFRESH, priority
from tag_platform.lake.gc import list_snapshots, removable, remove
from tag_platform.mysql import Database
from tag_platform.settings import Settings
from tag_platform.shards import shard_key

log = logging.getLogger("tag_platform.run")
KEEP_DAYS = 30
UNDER_WAY = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


class LakeGcConfig(Config):
    """How long snapshots stay that nothing needs any more."""

    keep_days: int = Field(KEEP_DAYS, ge=0, description="Runs of the last so many days can be undone.")


@dataclass(frozen=True)
class Removed:
    """Numbers of snapshots."""

    removed: int
    kept: int


def collect_garbage(
    instance: DagsterInstance, settings: Settings, keep_days: int, own_run: str | None = None, dry_run: bool = False
) -> Removed:
    """Removes (or, in a dry run, counts) the snapshots that are older than `keep_days` and that nothing needs."""
    now = datetime.now(UTC)
    began = _oldest_under_way(instance, own_run)
    if began is not None:
        log.info("a run has been under way since %s: what it may have planned with stays", began.isoformat())
    before = min(now - timedelta(days=keep_days), began or now)
    # Listed before the references are read: what is made meanwhile is not in the list.
    stored = list_snapshots(settings)
    unneeded = removable(stored, referenced(instance, settings, began), before)
    if not dry_run:
        for snapshot in remove(unneeded, settings):
            log.info("removed %s", snapshot.path)
    return Removed(len(unneeded), len(stored) - len(unneeded))


def referenced(instance: DagsterInstance, settings: Settings, began: datetime | None) -> set[str]:
    """Paths, or ids, of snapshots that a reader may ask for: now, or (with `began`) since that moment."""
    merges = all_merges(Database.of(settings))
    found = {entry.path for entry in merges if entry.finished is None}
    shards = range(settings.shards)
    for key in instance.get_asset_keys():
        if key.path[0] not in ("source", "tag") and key != MERGED_KEY:
            continue
        for shard, entry in latest(instance, key, shards).items():
            found.add(entry.path)
            if began is not None:
                found |= _since(instance, key, shard, began)
    merged = latest(instance, MERGED_KEY, shards)
    for shard, entry in merged.items():
        found |= set(entry.metadata["merged"].get(shard_key(shard), {}).values())
    last = [entry.metadata["ledger_at"] for entry in merged.values() if "ledger_at" in entry.metadata]
    return found | {entry.path for entry in merges if last and entry.merge_id > min(last)}


def _oldest_under_way(instance: DagsterInstance, own_run: str | None) -> datetime | None:
    records = instance.get_run_records(RunsFilter(statuses=UNDER_WAY))
    return min((r.create_timestamp for r in records if r.dagster_run.run_id != own_run), default=None)


def _since(instance: DagsterInstance, key: AssetKey, shard: int, began: datetime) -> set[str]:
    """What was the shard's latest snapshot at any time since `began`."""

    moment, shards = began.timestamp(), [shard_key(shard)]
    since = AssetRecordsFilter(asset_key=key, asset_partitions=shards, after_timestamp=moment)
    until = AssetRecordsFilter(asset_key=key, asset_partitions=shards, before_timestamp=moment)
    records = [
        *instance.fetch_materializations(since, limit=1_000).records,
        *instance.fetch_materializations(until, limit=1).records,
    ]
    events = [record.asset_materialization for record in records]
    return {str(event.metadata["path"].value) for event in events if event is not None}


def lake_gc_job(settings: Settings) -> JobDefinition:
    # Dagster refuses an op and a job of one name in a code location; the alias keeps `ops.lake_gc.config`.
    @op(name="remove_snapshots", description="Removes the snapshots that nothing needs any more.")
    def remove_snapshots(context: OpExecutionContext, config: LakeGcConfig) -> None:
        done = collect_garbage(context.instance, settings, config.keep_days, context.run.run_id)
        context.log.info(f"{done.removed:,} snapshots removed, {done.kept:,} kept")
        context.add_output_metadata({"removed": done.removed, "kept": done.kept})

    @job(
        name="lake_gc",
        executor_def=in_process_executor,
        description="Removes snapshots that are older than keep_days and that nothing needs: not the latest ones, not "
        "those that a run under way may read.",
    )
    def remove_unneeded() -> None:
        remove_snapshots.alias("lake_gc")()

    return remove_unneeded


def weekly_lake_gc(gc: JobDefinition, settings: Settings) -> ScheduleDefinition:
    """Every Sunday at 04:00 in the platform's zone, after the daily refresh."""
    return ScheduleDefinition(
        name="weekly_lake_gc",
        job=gc,
        cron_schedule="0 4 * * 0",
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        tags={**priority(FULL_REFRESH), "tag_platform/trigger": "weekly clean-up"},
        description=f"Removes snapshots older than {KEEP_DAYS} days that nothing needs.",
    )
