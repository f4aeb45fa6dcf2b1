"""`tag/tag_<id>` and `merged_user_tags`: one step computes any chosen subset of tags in one pass, and merges them.

They share a step because Dagster skips whatever lies behind an output that was not produced: with the merge in a step
of its own, one tag with a broken rule would keep all the others from MySQL. Each tag still has its own asset, checks,
metadata and history, and the merge alone can be chosen as well.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    multi_asset,
)

from tag_platform.catalog.rulebook import Rulebook, declared_schema, parse_catalog
from tag_platform.catalog.sources import SourceTable
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.defs.history import MERGED_KEY, source_key, tag_id_of, tag_key
from tag_platform.defs.merging import merge
from tag_platform.defs.partitions import selected_shards, shards_definition
from tag_platform.defs.resources import InlineStepLauncher, RunOptions
from tag_platform.defs.tagging import compute_tags
from tag_platform.settings import Settings

# The business domains of the shipped categories; Dagster's group names are ASCII.
GROUPS = {
    "财富管理": "wealth",
    "行为分析": "behavior",
    "风险管理": "risk",
    "生命周期": "lifecycle",
    "价值管理": "value",
    "人口特征": "demographic",
}
RULE_VALID = "rule_valid"
Event = MaterializeResult[Any] | AssetCheckResult


def tag_assets(catalog: Catalog, sources: Mapping[str, SourceTable], settings: Settings) -> AssetsDefinition:
    rulebook = parse_catalog(catalog, declared_schema(sources))
    specs = [_tag_spec(tag, rulebook, sources) for tag in catalog.active]
    checks = [
        AssetCheckSpec(RULE_VALID, asset=spec.key, description="The tag's rule is valid and fits the source tables.")
        for spec in specs
    ]
    specs.append(
        AssetSpec(
            MERGED_KEY,
            deps=[spec.key for spec in specs],
            group_name="user_tags",
            kinds={"mysql"},
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
        backfill_policy=BackfillPolicy.single_run(),
    )
    def tags(context: AssetExecutionContext, launcher: InlineStepLauncher, options: RunOptions) -> Iterator[Event]:
        shards = selected_shards(context)
        as_of = options.date(context, settings)
        tag_ids = sorted(tag_id for key in context.selected_asset_keys if (tag_id := tag_id_of(key)) is not None)
        if tag_ids:
            computed = compute_tags(context, launcher, catalog, sources, tag_ids, shards, as_of, settings)
            for tag_id in tag_ids:
                key = tag_key(tag_id)
                if RULE_VALID in {check.name for check in context.selected_asset_check_keys if check.asset_key == key}:
                    yield _rule_check(key, computed.broken.get(tag_id))
                if tag_id not in computed.broken:
                    metadata = computed.metadata(tag_id)
                    version = computed.data_versions[tag_id]
                    yield MaterializeResult(asset_key=key, metadata=metadata, data_version=DataVersion(version))
        if MERGED_KEY in context.selected_asset_keys:
            result = merge(context, launcher, catalog, shards, settings)
            yield MaterializeResult(asset_key=MERGED_KEY, metadata=result, data_version=DataVersion(context.run.run_id))

    return tags


def _rule_check(key: AssetKey, reason: str | None) -> AssetCheckResult:
    return AssetCheckResult(
        passed=reason is None,
        asset_key=key,
        check_name=RULE_VALID,
        severity=AssetCheckSeverity.ERROR,
        description=None if reason is None else f"Not computed; users keep this tag as they have it. {reason}",
    )


def _tag_spec(tag: Tag, rulebook: Rulebook, sources: Mapping[str, SourceTable]) -> AssetSpec:
    rule = rulebook.rules.get(tag.tag_id)
    # What cannot be told from the declared columns alone depends on every source.
    tables = {table for table, _ in rule.fields} if rule and not rule.true_for_unknown else set(sources)
    words = rule.describe() if rule else rulebook.broken.get(tag.tag_id, "")
    lines = [f"**{tag.name}** · {tag.category}", tag.description, words]
    lines += [f"```json\n{text}\n```" for text in tag.rules]
    return AssetSpec(
        tag_key(tag.tag_id),
        deps=[source_key(table) for table in sorted(tables)],
        description="\n\n".join(line for line in lines if line),
        group_name=GROUPS.get(tag.category, "other_tags"),
        kinds={"pyspark"},
        code_version=rule.digest[:16] if rule else None,
        skippable=True,
        metadata={
            "tag_id": tag.tag_id,
            "tag_name": tag.name,
            "tag_category": tag.category,
            "rule": MetadataValue.text("\n".join(tag.rules)),
        },
    )
