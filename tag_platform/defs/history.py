"""What Dagster remembers of the snapshots: the latest materialization of an (asset, shard) is the pointer into the
lake. Nothing else points there, so a crash leaves the old snapshots readable."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from dagster import AssetKey, AssetRecordsFilter, DagsterEventType, DagsterInstance

from tag_platform.shards import shard_key

MERGED_KEY = AssetKey("merged_user_tags")


def source_key(table: str) -> AssetKey:
    return AssetKey(["source", table])


def tag_key(tag_id: int) -> AssetKey:
    return AssetKey(["tag", f"tag_{tag_id}"])


def tag_id_of(key: AssetKey) -> int | None:
    """The tag id in a tag's asset key, None for any other asset."""
    if len(key.path) == 2 and key.path[0] == "tag":
        return int(key.path[1].removeprefix("tag_"))
    return None


@dataclass(frozen=True)
class Materialized:
    """The latest materialization of one shard of an asset: its metadata as plain values."""

    storage_id: int
    run_id: str
    metadata: dict[str, Any]

    @property
    def path(self) -> str:
        return str(self.metadata["path"])


def latest(instance: DagsterInstance, key: AssetKey, shards: Iterable[int]) -> dict[int, Materialized]:
    """The latest materialization of each of the shards; shards that never had one are left out."""
    keys = {shard_key(shard) for shard in shards}
    by_shard = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION, keys
    )
    storage_ids = [storage_id for shard, storage_id in by_shard.items() if shard in keys]
    if not storage_ids:
        return {}
    records = instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key, storage_ids=storage_ids), limit=len(storage_ids)
    ).records
    found: dict[int, Materialized] = {}
    for record in records:
        materialization = record.asset_materialization
        if materialization is not None and record.partition_key is not None:
            metadata = {name: value.value for name, value in materialization.metadata.items()}
            found[int(record.partition_key)] = Materialized(record.storage_id, record.run_id, metadata)
    return found


def directories(materialized: dict[int, Materialized], with_rows: Collection[int] | None = None) -> tuple[str, ...]:
    """Directories of the shards' snapshots, without the shards that hold no row (their directory does not exist)."""
    from tag_platform.lake.snapshots import shard_directory

    found = []
    for shard, entry in sorted(materialized.items()):
        rows = entry.metadata.get("rows_by_shard", {})
        if rows.get(shard_key(shard), 0) and (with_rows is None or shard in with_rows):
            found.append(shard_directory(entry.path, shard))
    return tuple(found)
