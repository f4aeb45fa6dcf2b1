"""The asset check `table_equals_lake`, and the job that runs it: does `user_tags` hold what the lake says?"""

from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetSelection,
    define_asset_job,
    in_process_executor,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from tag_platform.catalog.tags import Catalog
from tag_platform.compute.ledger import StalePlan, merges_after, newest_merge
from tag_platform.compute.plan import CheckShards, CheckTable, ComputedTags
from tag_platform.compute.report import CheckReport
from tag_platform.defs.history import MERGED_KEY, Materialized, latest, tag_key
from tag_platform.defs.resources import Context, StepLauncher
from tag_platform.lake.snapshots import present_shards, require_present, shard_directory, snapshot_id
from tag_platform.mysql import Database
from tag_platform.settings import Settings
from tag_platform.shards import shard_key

TABLE_EQUALS_LAKE = AssetCheckKey(MERGED_KEY, "table_equals_lake")
SHOWN = 20  # differences in the description
ATTEMPTS = 5  # plans that a merge may overtake, one after the other


def table_check_spec() -> AssetCheckSpec:
    return AssetCheckSpec(
        TABLE_EQUALS_LAKE.name,
        asset=MERGED_KEY,
        description="For every shard and tag, the users in user_tags are those that the lake says.",
    )


def table_equals_lake(
    context: Context, launcher: StepLauncher, catalog: Catalog, shards: tuple[int, ...], settings: Settings
) -> AssetCheckResult:
    """What it proves where it passes: for each of the shards, and each tag that the shard's last merge took and that is
    still computed, the set of users who have the tag in `user_tags` is the set that follows from the tag's merged
    snapshot, the changes that later merges (of some users, of an undo) kept in the lake, and the pins and exclusions in
    force. Equal by number, by 60 bits of SHA-256 and by CRC32 of the user ids: drift that happens by accident escapes
    with a chance of about 2^-60.

    What it does not look at: tags that no run computed (of other hands, manual ones), `tag_details`, time stamps, rows
    without a tag, and users on whom a person decided since the shard's last merge.
    """
    for attempt in range(1, ATTEMPTS + 1):
        plan = plan_check(context.instance, catalog, shards, settings)
        if plan is None:
            return _result(True, AssetCheckSeverity.WARN, "Nothing was merged yet.")
        directories = [d for group in plan.groups for taken in group.computed for d in taken.directories]
        require_present([*directories, *(d for group in plan.groups for m in group.later for d in m)], settings)
        try:
            report = launcher.launch(context, plan)
            break
        except StalePlan:
            if attempt == ATTEMPTS:
                raise
    if not isinstance(report, CheckReport):
        raise TypeError(f"a check plan ended with {report.kind}")
    facts = {"pairs": report.pairs, "differences": len(report.differences), "seconds": report.seconds}
    return _result(not report.differences, AssetCheckSeverity.ERROR, described(report), facts)


def _result(
    passed: bool, severity: AssetCheckSeverity, description: str, facts: dict[str, Any] | None = None
) -> AssetCheckResult:
    return AssetCheckResult(
        asset_key=MERGED_KEY,
        check_name=TABLE_EQUALS_LAKE.name,
        passed=passed,
        severity=severity,
        description=description,
        metadata=facts,
    )


def check_table_job() -> UnresolvedAssetJobDefinition:
    return define_asset_job(
        "check_table",
        selection=AssetSelection.checks(TABLE_EQUALS_LAKE),
        executor_def=in_process_executor,
        description="Compares user_tags with the lake, shard by shard, by digests. Repair: run --reconcile.",
    )


def described(report: CheckReport) -> str:
    """The result in words, with the exact numbers and what to do."""
    if not report.differences:
        return f"{report.pairs:,} pairs of user and tag are in both."
    lines = [
        f"shard {shard_key(shard)}, tag {tag_id}: {table:,} users in the table, {lake:,} by the lake"
        + (" (others)" if table == lake else "")
        for shard, tag_id, table, lake in report.differences[:SHOWN]
    ]
    more = len(report.differences) - SHOWN
    lines += [f"and {more:,} more"] if more > 0 else []
    return "\n".join(
        [*lines, "Somebody else changed them, or rows were lost: tag-platform run --reconcile repairs it."]
    )


def plan_check(instance: Any, catalog: Catalog, shards: tuple[int, ...], settings: Settings) -> CheckTable | None:
    """The plan for those of the shards that were merged; None where there is none."""
    database = Database.of(settings)
    ledger_at = newest_merge(database)
    merged = latest(instance, MERGED_KEY, shards)
    groups = _groups(merged, instance, catalog, settings, database)
    if not groups:
        return None
    giveable = {tag.tag_id for tag in catalog.tags} - catalog.retired_ids
    return CheckTable(groups=groups, giveable=tuple(sorted(giveable)), shard_count=settings.shards, ledger_at=ledger_at)


def _groups(
    merged: dict[int, Materialized], instance: Any, catalog: Catalog, settings: Settings, database: Database
) -> tuple[CheckShards, ...]:
    """Shards that took the same tags from the same snapshots, and were changed by the same merges since, together."""
    computed = {tag.tag_id: latest(instance, tag_key(tag.tag_id), merged) for tag in catalog.active}
    known = {shard: entry for shard, entry in merged.items() if "ledger_at" in entry.metadata}
    since = merges_after(database, min((entry.metadata["ledger_at"] for entry in known.values()), default=0))
    alike: dict[tuple[Any, ...], list[int]] = {}
    for shard, entry in sorted(known.items()):
        taken: dict[str, list[int]] = {}
        for tag_id, snapshot in sorted(entry.metadata["merged"][shard_key(shard)].items()):
            if int(tag_id) in computed:
                taken.setdefault(snapshot, []).append(int(tag_id))
        later = tuple(
            found
            for merge in since
            if merge.merge_id > entry.metadata["ledger_at"]
            and merge.run_id != entry.run_id
            and (found := merge.directories([shard], settings.shards))
        )
        snapshots = tuple((name, tuple(tag_ids)) for name, tag_ids in sorted(taken.items()))
        alike.setdefault((snapshots, later, entry.metadata["decided_at"]), []).append(shard)
    return tuple(
        CheckShards(
            shards=tuple(shards),
            computed=tuple(
                ComputedTags(directories=_directories(name, tag_ids[0], shards, computed, settings), tag_ids=tag_ids)
                for name, tag_ids in snapshots
            ),
            later=later,
            decided_at=decided_at,
        )
        for (snapshots, later, decided_at), shards in alike.items()
    )


def _directories(
    name: str, tag_id: int, shards: list[int], computed: dict[int, dict[int, Materialized]], settings: Settings
) -> tuple[str, ...]:
    """The shards' directories of the snapshot that hold rows. Of one that is no longer the tag's latest, Dagster does
    not tell quickly which they are: the lake does."""
    path = f"{settings.lake}/tags/{name}"
    entries = {shard: computed[tag_id].get(shard) for shard in shards}
    if all(entry is not None and snapshot_id(entry.path) == name for entry in entries.values()):
        rows = {shard: entry.metadata["rows_by_shard"] for shard, entry in entries.items() if entry is not None}
        return tuple(shard_directory(path, shard) for shard in shards if rows[shard].get(shard_key(shard), 0))
    return tuple(shard_directory(path, shard) for shard in present_shards(path, shards, settings))
