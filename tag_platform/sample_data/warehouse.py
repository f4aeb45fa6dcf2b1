"""Writes made-up users as Hive-style Parquet files: `<warehouse>/<table>/dt=YYYY-MM-DD/part-0000N.parquet`.

A day that exists is replaced: its new files are complete in a staging folder before the first old one goes. The same
request gives the same bytes under the same names.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from math import ceil

import pyarrow.parquet as pq
from pyarrow import fs

from tag_platform.errors import TagPlatformError
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.sample_data.users import TABLES, Chunk, SampleTable, days_of
from tag_platform.settings import Settings

FILES_A_DAY = 4  # at least, so that readers meet more than one
FILE_ROWS = 250_000  # at most: about 100 MB in memory while a file is made
STAGING = "_staging"


@dataclass(frozen=True)
class Request:
    """What to write: users 1 … `users`, `days` partitions that end at `newest`."""

    users: int
    seed: int
    days: int
    newest: date


@dataclass(frozen=True)
class Written:
    """What was written, for the closing line."""

    tables: int
    partitions: int
    files: int
    rows: int
    bytes: int
    seconds: float
    warehouse: str

    def closing_line(self) -> str:
        return (
            f"{self.tables} tables, {self.partitions} partitions, {self.files} files, {self.rows:,} rows, "
            f"{self.bytes / 1e6:,.1f} MB in {self.seconds:.1f} s → {self.warehouse}"
        )


def exist(settings: Settings) -> bool:
    """True where each of the three tables has a partition already."""
    filesystem, root = open_filesystem(settings.warehouse, settings)
    try:
        for table in TABLES:
            found = filesystem.get_file_info(fs.FileSelector(f"{root}/{table.name}", allow_not_found=True))
            if not any(info.base_name.startswith("dt=") for info in found):
                return False
    except OSError as error:
        raise _refused(settings, error) from error
    return True


def write(settings: Settings, request: Request, say: Callable[[str], None]) -> Written:
    """Writes the three tables and returns the totals. Raises `TagPlatformError` where that fails."""
    started = time.monotonic()
    filesystem, root = open_filesystem(settings.warehouse, settings)
    staging = f"{root}/{STAGING}/{uuid.uuid4().hex}"
    files = rows = size = done = 0
    days = days_of(request.newest, request.days)
    try:
        for day in days:
            for table in TABLES:
                new_files, new_rows, new_size = _write_day(filesystem, root, staging, table, day, request)
                files, rows, size, done = files + new_files, rows + new_rows, size + new_size, done + 1
                partition = f"{table.name} dt={day.isoformat()}"
                say(f"[{done}/{len(days) * len(TABLES)}] {partition}: {new_rows:,} rows, {new_files} files")
    except OSError as error:
        raise _refused(settings, error) from error
    finally:
        _delete_folder(filesystem, staging)
    seconds = time.monotonic() - started
    return Written(len(TABLES), len(days) * len(TABLES), files, rows, size, seconds, settings.warehouse)


def _refused(settings: Settings, error: OSError) -> TagPlatformError:
    return TagPlatformError(f"Warehouse {settings.warehouse} cannot be written: {error}")


def _write_day(
    filesystem: fs.FileSystem, root: str, staging: str, table: SampleTable, day: date, request: Request
) -> tuple[int, int, int]:
    """Files, rows and bytes of one partition."""
    count = max(min(FILES_A_DAY, request.users), ceil(request.users / FILE_ROWS))
    bounds = [request.users * n // count for n in range(count + 1)]
    partition = f"{table.name}/dt={day.isoformat()}"
    new, target = f"{staging}/{partition}", f"{root}/{partition}"
    filesystem.create_dir(new)

    def write_file(number: int) -> int:
        chunk = Chunk(
            request.seed, bounds[number] + 1, bounds[number + 1] - bounds[number], day=day, newest=request.newest
        )
        rows = table.chunk(chunk, unusable=number == count - 1)
        path = f"{new}/{_file_name(number)}"
        pq.write_table(rows, path, filesystem=filesystem, compression="zstd", use_dictionary=_repeating(rows.schema))
        return int(rows.num_rows)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        rows = sum(pool.map(write_file, range(count)))
    return count, rows, _replace(filesystem, new, target, count)


def _repeating(schema: object) -> list[str]:
    return [name for name in schema.names if name in ("gender", "country", "user_level", "kyc_status", "risk_score")]  # type: ignore[attr-defined]


def _file_name(number: int) -> str:
    return f"part-{number:05}.parquet"


def _replace(filesystem: fs.FileSystem, new: str, target: str, count: int) -> int:
    """Moves the new files over the old ones, deletes what is left of those, and returns the bytes of the new."""
    filesystem.create_dir(target)
    names = {_file_name(number) for number in range(count)}
    old = filesystem.get_file_info(fs.FileSelector(target))
    for name in sorted(names):
        filesystem.move(f"{new}/{name}", f"{target}/{name}")
    for info in old:
        if info.type == fs.FileType.File and info.base_name not in names:
            filesystem.delete_file(info.path)
    found = filesystem.get_file_info(fs.FileSelector(target))
    return sum(info.size or 0 for info in found if info.type == fs.FileType.File)


def _delete_folder(filesystem: fs.FileSystem, path: str) -> None:
    parent = path.rsplit("/", 1)[0]
    for folder in (path, parent):
        found = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
        if folder == path or not found:  # another command may be staging too
            with contextlib.suppress(FileNotFoundError):
                filesystem.delete_dir(folder)
