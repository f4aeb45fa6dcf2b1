"""Where snapshots lie: `<lake>/<asset>/<time>-<run>/shard=000/*.parquet`. Every one is new and never changed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tag_platform.errors import TagPlatformError
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.shards import shard_key

if TYPE_CHECKING:
    from tag_platform.settings import Settings


def new_snapshot(lake: str, asset: str, run_id: str) -> str:
    """A path that no other snapshot has: a retry in the same run gets another one."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return f"{lake}/{asset}/{moment}-{run_id[:8]}-{uuid.uuid4().hex[:6]}"


def snapshot_id(path: str) -> str:
    """The last part of a snapshot's path, unique in the lake."""
    return path.rsplit("/", 1)[-1]


def shard_directory(path: str, shard: int) -> str:
    return f"{path}/shard={shard_key(shard)}"


def require_present(directories: Iterable[str], settings: Settings) -> None:
    """Raises `TagPlatformError` where a directory is gone: an engine may read a missing directory as "no users"."""
    by_parent: dict[str, set[str]] = {}
    for directory in directories:
        parent, _, name = directory.rpartition("/")
        by_parent.setdefault(parent, set()).add(name)
    for parent, names in by_parent.items():
        missing = names - _children(parent, settings)
        if missing:
            raise TagPlatformError(
                f"The snapshot {parent} lacks {', '.join(sorted(missing))}: it was removed from the lake. "
                "Materialize the asset again."
            )


def present_shards(path: str, shards: Iterable[int], settings: Settings) -> list[int]:
    """Those of the shards that the snapshot holds rows of. Raises `TagPlatformError` where it is gone."""
    found = _children(path, settings)
    if not found:
        raise TagPlatformError(f"The snapshot {path} was removed from the lake. Materialize the asset again.")
    return [shard for shard in shards if f"shard={shard_key(shard)}" in found]


def is_present(directories: Iterable[str], settings: Settings) -> bool:
    try:
        require_present(directories, settings)
    except TagPlatformError:
        return False
    return True


def _children(path: str, settings: Settings) -> set[str]:
    from pyarrow.fs import FileSelector

    filesystem, root = open_filesystem(path, settings)
    return {info.base_name for info in filesystem.get_file_info(FileSelector(root, allow_not_found=True))}
