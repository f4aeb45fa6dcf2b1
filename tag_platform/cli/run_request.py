"""What a person asks of `run`, as what Dagster is asked: job, asset selection, run configuration, tags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tag_platform.catalog.rulebook import check_tag_ids
from tag_platform.catalog.tags import Catalog
from tag_platform.errors import BadInput
from tag_platform.settings import Settings
from tag_platform.shards import shard_key


@dataclass(frozen=True)
class RunRequest:
    """`None` means all (tags, shards), no restriction (users), today (as_of)."""

    tag_ids: list[int] | None = None
    user_ids: list[str] | None = None
    shards: list[int] | None = None
    as_of: str | None = None
    dry_run: bool = False
    allow_large_change: bool = False
    reconcile: bool = False

    @property
    def job(self) -> str:
        return "tag_all" if self.user_ids is None else "tag_users"

    def chosen_tags(self, catalog: Catalog) -> list[int]:
        """The tags to compute. Raises `BadInput` for unknown or retired ones, and where there is none at all."""
        if self.tag_ids is not None:
            check_tag_ids(catalog, self.tag_ids)
            return self.tag_ids
        if not catalog.active:
            raise BadInput("There is no active tag in tag_definition; `tag-platform init` creates the first eight.")
        return [tag.tag_id for tag in catalog.active]

    def asset_selection(self, tag_ids: Iterable[int], tables: Iterable[str]) -> list[list[str]] | None:
        """Asset key paths, or None where the whole job is meant (or the job has no assets)."""
        if self.tag_ids is None or self.user_ids is not None:
            return None
        tags = [["tag", f"tag_{tag_id}"] for tag_id in tag_ids]
        return [*(["source", table] for table in tables), *tags, ["merged_user_tags"]]

    def run_config(self, tag_ids: list[int]) -> dict[str, Any]:
        config: dict[str, Any] = {}
        options: dict[str, Any] = {} if self.as_of is None else {"as_of": self.as_of}
        options |= {name: True for name in ("dry_run", "allow_large_change", "reconcile") if getattr(self, name)}
        if options:
            config["resources"] = {"options": {"config": options}}
        if self.user_ids is not None:
            config["ops"] = {"tag_users": {"config": {"tag_ids": tag_ids, "user_ids": self.user_ids}}}
        return config

    def run_tags(self, settings: Settings) -> dict[str, str]:
        if self.user_ids is not None:
            return {}
        shards = self.shards if self.shards is not None else list(range(settings.shards))
        return {
            "dagster/asset_partition_range_start": shard_key(shards[0]),
            "dagster/asset_partition_range_end": shard_key(shards[-1]),
        }
