"""Removes snapshots that nothing points to. What points there is told by the caller; this only lists and deletes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tag_platform.lake.filesystem import open_filesystem
from tag_platform.lake.snapshots import snapshot_id

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

    from tag_platform.settings import Settings

# As `new_snapshot` names them, with what a second attempt puts behind. Whatever else lies in the lake is not ours.
_NAME = re.compile(r"(\d{8}T\d{6})-[0-9a-f]{1,8}-[0-9a-f]{6}(-again)?")


@dataclass(frozen=True)
class Stored:
    """A snapshot in the lake; `created` is in UTC."""

    path: str
    created: datetime


def list_snapshots(settings: Settings) -> list[Stored]:
    """All snapshots, by path."""
    filesystem, root = open_filesystem(settings.lake, settings)
    prefix = settings.lake[: -len(root)] if settings.lake.endswith(root) else settings.lake.partition("://")[0] + "://"
    sources = _folders(filesystem, f"{root}/source")
    found = []
    for asset in (*sources, f"{root}/tags", f"{root}/merged_user_tags"):
        for folder in _folders(filesystem, asset):
            match = _NAME.fullmatch(folder.rsplit("/", 1)[-1])
            if match:
                created = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
                found.append(Stored(prefix + folder, created))
    return sorted(found, key=lambda snapshot: snapshot.path)


def removable(stored: Collection[Stored], referenced: Collection[str], before: datetime) -> list[Stored]:
    """The snapshots made before that moment that are not `referenced` (paths)."""
    kept = {snapshot_id(path) for path in referenced}
    return [entry for entry in stored if entry.created < before and snapshot_id(entry.path) not in kept]


def remove(snapshots: Collection[Stored], settings: Settings) -> Iterator[Stored]:
    """Deletes them one by one and yields each that is gone. Cut off anywhere, the next clean-up goes on."""
    for snapshot in snapshots:
        filesystem, path = open_filesystem(snapshot.path, settings)
        filesystem.delete_dir(path)
        yield snapshot


def _folders(filesystem: FileSystem, path: str) -> list[str]:
    from pyarrow.fs import FileSelector, FileType

    children = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return [str(info.path) for info in children if info.type == FileType.Directory]
