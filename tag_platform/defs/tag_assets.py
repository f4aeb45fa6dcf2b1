"""`tag/tag_<id>` and `merged_user_tags`: one step computes any chosen subset of tags in one pass, and merges them.

They share a step because Dagster skips whatever lies behind an output that was not produced: with the merge in a step
of its own, one tag with a broken rule would keep all the others from MySQL. Each tag still has its own asset, checks,
metadata and history, and the merge alone can be chosen as well.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableSchema,
    multi_asset,
)

from tag_platform.catalog.rulebook import Rulebook, declared_schema, parse_catalog
from tag_platform.catalog.sources import SourceTable
from tag_platform.catalog.tag_files import rule_text
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.defs.checks import tag_check_specs, tag_checks
from tag_platform.defs.history import MERGED_KEY, Materialized, latest, source_key, tag_id_of, tag_key
from tag_platform.defs.merging import merge
from tag_platform.defs.partitions import backfill_policy, selected_shards, shards_definition
from tag_platform.defs.resources import RunOptions, StepLauncher
from tag_platform.defs.table_check import TABLE_EQUALS_LAKE, table_check_spec, table_equals_lake
from tag_platform.defs.tagging import compute_tags
from tag_platform.settings import Settings
from tag_platform.shards import shard_key
from tag_platform.tags.domains import domain_of

TAG_COLUMNS = TableSchema(
    columns=[
        TableColumn("user_id", "string", description="The user, byte by byte as the sources have it."),
        TableColumn("tag_ids", "array<int>", description="The tags of one pass that the user has, ascending."),
    ]
)
TABLE_COLUMNS = TableSchema(
    columns=[
        TableColumn("user_id", "varchar(100)", description="The user, compared byte by byte."),
        TableColumn("tag_ids", "json", description="The user's tags, ascending; [] for a user who has none left."),
        TableColumn("tag_details", "json", description="Name and category of each of them, by tag id."),
        TableColumn("created_time", "timestamp", description="When the row was made. Never changes."),
        TableColumn("updated_time", "timestamp", description="When tag_ids or tag_details changed last, in UTC."),
    ]
)
Event = MaterializeResult[Any] | AssetCheckResult


def tag_assets(
    catalog: Catalog,
    sources: Mapping[str, SourceTable],
    settings: Settings,
    pool: str | None = None,
    checks_table: bool = True,
) -> AssetsDefinition:
    rulebook = parse_catalog(catalog, declared_schema(sources))
    specs = [_tag_spec(tag, rulebook, sources, settings) for tag in catalog.active]
    checks = [check for spec in specs for check in tag_check_specs(spec.key)]
    checks += [table_check_spec()] if checks_table else []
    specs.append(
        AssetSpec(
            MERGED_KEY,
            deps=[spec.key for spec in specs],
            group_name="user_tags",
            kinds={"mysql"},
            owners=settings.owners,
            metadata={"dagster/column_schema": TABLE_COLUMNS},
            skippable=True,
            description="The table `user_tags`: what was computed since the last merge is written where it differs.",
        )
    )

    @multi_asset(
        name="tags",
        specs=specs,
        check_specs=checks,
        can_subset=True,
        partitions_def=shards_definition(settings),
        backfill_policy=backfill_policy(settings),
        pool=pool,
    )
    def tags(context: AssetExecutionContext, launcher: StepLauncher, options: RunOptions) -> Iterator[Event]:
        # A run of the check alone has no partitions: it is for all shards.
        shards = selected_shards(context) if context.selected_asset_keys else tuple(range(settings.shards))
        as_of = options.date(context, settings)
        tag_ids = sorted(tag_id for key in context.selected_asset_keys if (tag_id := tag_id_of(key)) is not None)
        unrecorded: Mapping[int, Mapping[int, Materialized]] = {}
        shown: dict[str, Any] = {}
        if tag_ids:
            computed = compute_tags(context, launcher, catalog, sources, tag_ids, shards, as_of, settings, options)
            if options.dry_run:
                unrecorded = computed.unrecorded(context.run.run_id)
                shown = {"closed": list(computed.closed), "broken": {str(t): why for t, why in computed.broken.items()}}
            for tag_id in [] if options.dry_run else tag_ids:
                key = tag_key(tag_id)
                selected = {check.name for check in context.selected_asset_check_keys if check.asset_key == key}
                broken = computed.broken.get(tag_id)
                hits = before = None
                if broken is None:
                    before = _hits_before(context, key, shards)
                    metadata, version = computed.metadata(tag_id, before), computed.data_versions[tag_id]
                    hits = int(metadata["hits"].value)
                    yield MaterializeResult(asset_key=key, metadata=metadata, data_version=DataVersion(version))
                yield from (c for c in tag_checks(key, broken, hits, before) if c.check_name in selected)
        if MERGED_KEY in context.selected_asset_keys:
            result = merge(context, launcher, catalog, shards, settings, options, unrecorded)
            if options.dry_run:  # an observation: nothing was merged that a later run could build on
                result.pop("merged")
                context.log_event(AssetObservation(MERGED_KEY, metadata={**result, **shown}))
                return
            yield MaterializeResult(asset_key=MERGED_KEY, metadata=result, data_version=DataVersion(context.run.run_id))
        if TABLE_EQUALS_LAKE in context.selected_asset_check_keys and not options.dry_run:
            yield table_equals_lake(context, launcher, catalog, shards, settings)

    return tags


def _hits_before(context: AssetExecutionContext, key: AssetKey, shards: tuple[int, ...]) -> int | None:
    """Users with the tag in these shards when it was last computed; None where one of them never was."""
    known = latest(context.instance, key, shards)
    counts = [entry.metadata.get("hits_by_shard", {}).get(shard_key(shard)) for shard, entry in known.items()]
    return None if len(counts) < len(shards) or None in counts else sum(counts)


def _tag_spec(tag: Tag, rulebook: Rulebook, sources: Mapping[str, SourceTable], settings: Settings) -> AssetSpec:
    rule = rulebook.rules.get(tag.tag_id)
    needs = rulebook.needs.get(tag.tag_id)
    # What cannot be told from the declared columns alone depends on every source.
    tables = {table for table, _ in needs.columns} if needs and not needs.everybody else set(sources)
    words = rule.describe() if rule else rulebook.broken.get(tag.tag_id, "")
    tag_class = rulebook.classes.get(tag.tag_id)
    lines = [f"**{tag.name}** · {tag.category}", tag.description, words]
    lines += [f"Python class: `{tag_class.path()}`"] if tag_class else []
    lines += [f"```json\n{rule_text(text)}\n```" for text in tag.rules]
    return AssetSpec(
        tag_key(tag.tag_id),
        deps=[source_key(table) for table in sorted(tables)],
        description="\n\n".join(line for line in lines if line),
        group_name=domain_of(tag.category),
        kinds={"pyspark", *(["python"] if tag_class else [])},
        owners=settings.owners,
        code_version=rulebook.version(tag.tag_id)[:16] if rule else None,
        skippable=True,
        tags={"domain": domain_of(tag.category)},
        metadata={
            "dagster/column_schema": TAG_COLUMNS,
            "tag_id": tag.tag_id,
            "tag_name": tag.name,
            "tag_category": tag.category,
            "rule": MetadataValue.text("\n".join(tag.rules)),
        },
    )
