"""The jobs that back ends, schedules and people start by name."""

from collections.abc import Mapping

from dagster import (
    AssetSelection,
    Config,
    JobDefinition,
    OpExecutionContext,
    define_asset_job,
    in_process_executor,
    job,
    op,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from tag_platform.catalog.rulebook import check_tag_ids
from tag_platform.catalog.sources import SourceTable
from tag_platform.catalog.tags import Catalog
from tag_platform.compute.gate import source_closed
from tag_platform.compute.plan import ComputedTags, MergeShards, MergeTags
from tag_platform.compute.planning import MAX_USERS, check_users, gate_bounds
from tag_platform.defs.history import source_key
from tag_platform.defs.merging import merge_metadata, run_merge
from tag_platform.defs.partitions import in_process_for_all_shards
from tag_platform.defs.priorities import USER_REQUEST, priority
from tag_platform.defs.resources import RunOptions, StepLauncher
from tag_platform.defs.source_assets import refresh_source
from tag_platform.defs.table_check import TABLE_EQUALS_LAKE
from tag_platform.defs.tagging import compute_tags
from tag_platform.errors import BadInput
from tag_platform.lake.snapshots import new_snapshot, shard_directory
from tag_platform.settings import Settings
from tag_platform.shards import shard_key, shard_of


class TagUsersConfig(Config):
    """Which tags to compute for which users."""

    tag_ids: list[int] = Field(description="Tag ids; an empty list is refused.")
    user_ids: list[str] = Field(description=f"1 to {MAX_USERS:,} user ids.")


def tag_all_job(checks_table: bool = True) -> UnresolvedAssetJobDefinition:
    # The check of the whole table is a job of its own: a merge counts what it wrote anyway.
    selection = AssetSelection.all()
    return define_asset_job(
        "tag_all",
        selection=selection - AssetSelection.checks(TABLE_EQUALS_LAKE) if checks_table else selection,
        executor_def=in_process_for_all_shards,
        description="Sources, tags and the merge. Select some tag assets, with merged_user_tags, for only these.",
    )


def tag_users_job(catalog: Catalog, sources: Mapping[str, SourceTable], settings: Settings) -> JobDefinition:
    # Dagster refuses an op and a job of one name in a code location; the alias keeps `ops.tag_users.config`.
    @op(
        name="tag_some_users",
        description="Computes the tags for the users alone, and merges them: reads only the shards of these users.",
    )
    def tag_users(
        context: OpExecutionContext, config: TagUsersConfig, launcher: StepLauncher, options: RunOptions
    ) -> None:
        check_users(config.user_ids)
        if not config.tag_ids:
            raise BadInput("tag_ids is empty; name at least one tag.")
        check_tag_ids(catalog, config.tag_ids)
        users = tuple(sorted(set(config.user_ids)))
        shards = tuple(sorted({shard_of(user, settings.shards) for user in users}))
        as_of = options.date(context, settings)
        for table in sources.values():
            _refresh(context, launcher, options, table, settings)
        tag_ids = sorted(set(config.tag_ids))
        computed = compute_tags(context, launcher, catalog, sources, tag_ids, shards, as_of, settings, options, users)
        if computed.broken:
            raise BadInput("; ".join(f"tag {tag_id}: {reason}" for tag_id, reason in computed.broken.items()))
        assert computed.report is not None  # noqa: S101 (there are tags, and none is broken)
        rows = computed.report.rows
        directories = tuple(shard_directory(computed.report.path, shard) for shard in shards if rows[shard])
        plan = MergeTags(
            groups=(
                MergeShards(shards=shards, computed=(ComputedTags(directories=directories, tag_ids=tuple(tag_ids)),)),
            ),
            retired=tuple(sorted(catalog.retired_ids)),
            details={tag.tag_id: tag.details for tag in catalog.tags},
            check_details=True,
            users=users,
            shard_count=settings.shards,
            output=new_snapshot(settings.lake, "merged_user_tags", context.run.run_id),
            run_id=context.run.run_id,
            bounds=None if options.allow_large_change else gate_bounds(settings, catalog),
            dry_run=options.dry_run,
        )
        report = run_merge(context, launcher, plan, settings)
        context.add_output_metadata(
            {
                **merge_metadata(report),
                "closed": list(computed.closed),
                "users": sum(computed.report.users.values()),
                "hits": {str(t): sum(n.values()) for t, n in computed.report.hits.items()},
            }
        )

    @job(
        name="tag_users",
        executor_def=in_process_executor,
        tags=priority(USER_REQUEST),
        description="Some tags for some users, from the sources as they are now to updated rows in seconds.",
    )
    def tag_users_of_some() -> None:
        tag_users.alias("tag_users")()

    return tag_users_of_some


def _refresh(
    context: OpExecutionContext,
    launcher: StepLauncher,
    options: RunOptions,
    table: SourceTable,
    settings: Settings,
) -> None:
    """Copies the table where its files have changed since the last copy, and records the copy."""
    from dagster import AssetMaterialization
    from dagster._core.definitions.data_version import DATA_VERSION_TAG

    shards = tuple(range(settings.shards))
    version, metadata = refresh_source(
        context, launcher, table, options.date(context, settings), shards, settings, options
    )
    if metadata["gate"] and not options.dry_run:
        raise source_closed([metadata["gate"]])
    if metadata["copied"]:
        for shard in shards:
            context.log_event(
                AssetMaterialization(
                    source_key(table.name),
                    partition=shard_key(shard),
                    metadata=metadata,
                    tags={DATA_VERSION_TAG: version},
                )
            )
