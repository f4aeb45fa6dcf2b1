"""First load, rerun and rerun after changes, each against the floor or its like, in pairs that run alternately."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector

from infra.benchmarks.deployment import AS_OF, DAY, Bench, Servers
from infra.benchmarks.processes import Took, measured
from infra.benchmarks.results import Result, ratio
from tag_platform.errors import TagPlatformError
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.mysql import Database, transaction

CHANGES = {  # table → column, value for the rich and active, value for the poor and idle
    "user_activity_summary": ("trade_count_30d", 900, 0),
    "user_asset_summary": ("cash_balance", 9e5, 1.0),
    "user_basic_info": ("age", 25, 50),
}
SCRIPT = str(Path(sys.executable).with_name("tag-platform"))
CHECKSUM = "SELECT COUNT(*), SUM(CRC32(user_id) ^ (CRC32(tag_ids) * 3) ^ (CRC32(tag_details) * 7)) FROM user_tags"


def run(bench: Bench, *options: str) -> Took:
    """The whole process `tag-platform run`."""
    command = [SCRIPT, "run", "--as-of", AS_OF.isoformat(), "--json", *options]
    return measured(command, bench.environment())


def stages(took: Took) -> dict[str, float]:
    """Seconds of the run's stages, as the run itself reports them."""
    outcome: dict[str, Any] = json.loads(took.output)
    copied = sum(sum(source["seconds"].values()) for source in outcome["sources"].values())
    return {"copy": copied, **outcome["stages"]}


def floor(bench: Bench, servers: Servers, what: str) -> Took:
    took = measured(
        ["-m", "infra.benchmarks.floor", what, bench.floor_database().name, str(servers.folder)], bench.environment()
    )
    if json.loads(took.output).get("differ"):
        raise TagPlatformError(f"The floor's rerun finds other rows than it had written: {took.output}")
    return took


def first_load(servers: Servers, bench: Bench, repeat: int, reach: float | None, cold: bool) -> Result:
    """Into an empty table, sources not copied yet."""

    def floors() -> Took:
        with transaction(bench.floor_database()) as cursor:
            cursor.execute("TRUNCATE TABLE user_tags")
        return floor(bench, servers, "load")

    def ours() -> Took:
        bench.forget()
        return run(bench)

    first = (_cold(servers, bench, ours), _cold(servers, bench, floors)) if cold else None
    pairs = [(floors(), ours()) for _ in range(repeat)]
    require_same_rows(bench)
    what = f"first load, {bench.users:,} users × 8 tags, whole process"
    result = ratio(what, reach, [b for _, b in pairs], [a for a, _ in pairs], "to the floor", first)
    return replace(result, stages=stages(pairs[-1][1]))


def rerun(servers: Servers, bench: Bench, repeat: int, reach: float | None, cold: bool) -> Result:
    """Nothing changed; both tables hold the result already."""

    def ours() -> Took:
        took = run(bench)
        written = json.loads(took.output)["user_tags"]
        if written["inserted"] or written["updated"]:
            raise TagPlatformError(f"An unchanged rerun wrote rows: {written}")
        return took

    def floors() -> Took:
        return floor(bench, servers, "compare")

    first = (_cold(servers, bench, ours), _cold(servers, bench, floors)) if cold else None
    pairs = [(floors(), ours()) for _ in range(repeat)]
    what = f"rerun, nothing changed, {bench.users:,} users"
    result = ratio(what, reach, [b for _, b in pairs], [a for a, _ in pairs], "to the floor", first)
    return replace(result, stages=stages(pairs[-1][1]))


def changed(bench: Bench, repeat: int, reach: float | None, tables: int) -> Result:
    """A new partition of so many tables, in which one user of a hundred has other values; then the same without
    news."""
    pairs, written = [], []
    for n in range(repeat):
        _change_one_percent(bench, n, tables)
        after = run(bench)
        written.append(json.loads(after.output)["user_tags"])
        pairs.append((after, run(bench)))
    moved = int(median(entry["updated"] + entry["inserted"] for entry in written))
    where = f"{tables} of {len(CHANGES)} tables"
    what = f"rerun after 1 % of users changed, {bench.users:,} users, new files in {where}"
    note = f"to the unchanged rerun; {moved:,} rows written"
    result = ratio(what, reach, [a for a, _ in pairs], [b for _, b in pairs], note)
    return replace(result, stages=stages(pairs[-1][0]))


def growth(small: Sequence[Result], large: Sequence[Result], times: float, reach: float) -> Result:
    """How the whole first run grows with the number of users."""
    ours, other = median(large[0].ours), median(small[0].ours)
    return Result(f"whole first run, {times:g} × the users", ours / other, "×", reach, "", (ours,), (other,))


def require_same_rows(bench: Bench) -> None:
    """Raises `TagPlatformError` unless platform and floor have written the same rows."""
    found = []
    for database in (Database.of(bench.settings), bench.floor_database()):
        with transaction(database) as cursor:
            cursor.execute(CHECKSUM)
            found.append(cursor.fetchone())
    if found[0] != found[1] or not found[0][0]:
        raise TagPlatformError(f"Platform and floor disagree (rows, checksum): {found[0]}, {found[1]}")


def _cold(servers: Servers, bench: Bench, measure: Any) -> Took:
    """With servers that were just started, and the raw files out of the page cache."""
    servers.restart()
    if bench.settings.warehouse.startswith("file://"):
        _, root = open_filesystem(bench.settings.warehouse, bench.settings)
        for folder, _, names in os.walk(root):
            for name in names:
                descriptor = os.open(f"{folder}/{name}", os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
    took: Took = measure()
    return took


def _change_one_percent(bench: Bench, n: int, tables: int) -> None:
    """Writes the partition of the day of the runs anew: the day before, with 1 % of the users rich and active, or the
    same ones poor and idle."""
    filesystem, root = open_filesystem(bench.settings.warehouse, bench.settings)
    for table, (column, *values) in list(CHANGES.items())[:tables]:
        target = f"{root}/{table}/dt={AS_OF}"
        filesystem.create_dir(target, recursive=True)
        for file in filesystem.get_file_info(FileSelector(f"{root}/{table}/dt={DAY}")):
            rows = pq.read_table(file.path, filesystem=filesystem, partitioning=None)
            chosen = pc.fill_null(pc.match_substring_regex(rows["user_id"], "77$"), False)
            at = rows.schema.get_field_index(column)
            new = pc.if_else(chosen, pa.scalar(values[n % 2], rows.schema.field(at).type), rows[column])
            path = f"{target}/{file.base_name}"
            pq.write_table(rows.set_column(at, column, new), path, filesystem=filesystem, compression="zstd")


def memory(results: Sequence[Result], users: int, reach: float) -> Result:
    """The most that the processes of a run held at once, in GiB."""
    held = max(result.memory or 0 for result in results) / 2**30
    return Result(f"memory, {users:,} users, all processes of the run", held, "GiB", reach)
