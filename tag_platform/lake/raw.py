"""What a raw Hive table holds right now: the files of the newest partition up to a date, and a digest of them.

Two listings with the same digest are the same data, so a source whose digest did not change is not copied again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from tag_platform.catalog.sources import SourceTable
from tag_platform.errors import TagPlatformError
from tag_platform.lake.filesystem import open_filesystem

if TYPE_CHECKING:
    from tag_platform.settings import Settings


class SourceUnusable(TagPlatformError):
    """A source table is missing, empty, unreadable, without its user column, or holds a user twice."""


class DuplicateUsers(SourceUnusable):
    """A source table holds a user twice: which of the rows is right, nobody can tell."""


@dataclass(frozen=True)
class RawFiles:
    """The Parquet files to read, as URIs; `partition` is the partition's value (None for a plain table)."""

    partition: str | None
    files: tuple[str, ...]
    bytes: int
    digest: str


def list_raw_files(table: SourceTable, as_of: date, settings: Settings) -> RawFiles:
    """Lists the newest partition ≤ `as_of`. Raises `SourceUnusable` where there is no such partition or no file."""
    from pyarrow.fs import FileSelector, FileType

    root = table.uri(settings.warehouse)
    filesystem, path = open_filesystem(root, settings)
    try:
        partition = _newest_partition(table, root, filesystem, path, as_of) if table.partition else None
        folder = f"{path}/{table.partition}={partition}" if partition else path
        found = filesystem.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
    except OSError as error:
        raise SourceUnusable(f"Source table {table.name}: {root} cannot be listed: {error}") from error
    where = f"{root}/{table.partition}={partition}" if partition else root
    # Names that start with _ or . are markers and unfinished writes, as everywhere in the Hive world.
    files = sorted(
        (info for info in found if info.type == FileType.File and info.size > 0 and info.base_name[0] not in "_."),
        key=lambda info: info.path,
    )
    if not files:
        raise SourceUnusable(f"Source table {table.name}: there is no file in {where}.")
    digest = hashlib.sha256()
    for info in files:
        digest.update(f"{info.path}\0{info.size}\0{info.mtime_ns}\n".encode())
    prefix = root[: -len(path)] if root.endswith(path) else root.partition("://")[0] + "://"
    return RawFiles(
        partition, tuple(prefix + info.path for info in files), sum(i.size for i in files), digest.hexdigest()
    )


def _newest_partition(table: SourceTable, root: str, filesystem: object, path: str, as_of: date) -> str:
    from pyarrow.fs import FileSelector

    pattern = re.compile(rf"{re.escape(table.partition or '')}=(\d{{4}}-\d{{2}}-\d{{2}})$")
    children = filesystem.get_file_info(FileSelector(path, allow_not_found=True))  # type: ignore[attr-defined]
    values = [match[1] for info in children if (match := pattern.match(info.base_name))]
    usable = [value for value in values if value <= as_of.isoformat()]
    if not usable:
        newest = f"; the oldest one is {min(values)}" if values else ""
        raise SourceUnusable(
            f"Source table {table.name}: {root} has no partition {table.partition}=YYYY-MM-DD up to {as_of}{newest}."
        )
    return max(usable)
