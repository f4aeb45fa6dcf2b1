"""User shards as Dagster partitions. A run is for one shard or for a range of them; the job `tag_all` is
for all of them where nothing else is said."""

from __future__ import annotations

from dagster import AssetExecutionContext, StaticPartitionsDefinition

from tag_platform.settings import Settings
from tag_platform.shards import shard_key, shard_keys

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def shards_definition(settings: Settings) -> StaticPartitionsDefinition:
    return StaticPartitionsDefinition(shard_keys(settings.shards))


def range_tags(shards: list[int]) -> dict[str, str]:
    """Run tags that select the shards `shards[0]` … `shards[-1]`."""
    return {RANGE_START: shard_key(shards[0]), RANGE_END: shard_key(shards[-1])}


def selected_shards(context: AssetExecutionContext) -> tuple[int, ...]:
    """The shard numbers that the run is for."""
    return tuple(int(key) for key in context.partition_keys)
