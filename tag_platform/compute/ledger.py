"""The ledger of merges, in MySQL: which run wrote which changes, in which order. It is written before the first row of
`user_tags` is, so the before-images of a run are found from its id even where the run was cut off."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tag_platform.errors import TagPlatformError
from tag_platform.lake.snapshots import shard_directory
from tag_platform.mysql import Database, retrying, transaction
from tag_platform.shards import SLOTS, shard_of


class StalePlan(TagPlatformError):
    """Another run has merged these shards since the plan was made: what it calls the latest tags may be old."""


@dataclass(frozen=True)
class Merge:
    """One entry: `path` is the snapshot of the changes, which holds rows of the shards `changed` alone; `finished` is
    None for a merge under way or cut off. Times are in UTC."""

    merge_id: int
    run_id: str
    undoes: str | None
    path: str
    shard_count: int
    shards: tuple[int, ...]
    changed: tuple[int, ...]
    started: datetime
    finished: datetime | None

    def directories(self, shards: Collection[int], shard_count: int) -> tuple[str, ...]:
        """Where the changes of these shards of `shard_count` lie; all of them where shards were divided differently
        then."""
        wanted = self.changed if self.shard_count != shard_count else sorted(set(self.changed) & set(shards))
        return tuple(shard_directory(self.path, shard) for shard in wanted)


_COLUMNS = (
    "merge_id, run_id, undoes, path, shard_count, shards, COALESCE(changed_shards, shards), started_time, finished_time"
)


def open_merge(
    database: Database,
    run_id: str,
    path: str,
    shards: Collection[int],
    changed: Collection[int],
    shard_count: int,
    undoes: str | None = None,
) -> None:
    """Enters a merge that is about to write. Ids of merges of one shard ascend in their order, since
    its lock is held."""

    def enter() -> None:
        with transaction(database) as cursor:
            cursor.execute(
                "INSERT INTO tag_merges (run_id, undoes, path, shard_count, shards, changed_shards)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (run_id, undoes, path, shard_count, json.dumps(sorted(shards)), json.dumps(sorted(changed))),
            )

    retrying(enter, "entering the merge")


def close_merges(database: Database, run_id: str) -> None:
    """Marks the merges of a run as finished: all is written, and the account came out even."""

    def close() -> None:
        with transaction(database) as cursor:
            cursor.execute(
                "UPDATE tag_merges SET finished_time = CURRENT_TIMESTAMP(6)"
                " WHERE run_id = %s AND finished_time IS NULL",
                (run_id,),
            )

    retrying(close, "closing the merge")


def merges_of(database: Database, run_id: str) -> list[Merge]:
    """The merges of a run, oldest first: one, or several where it was tried again or merged in parts."""
    return _read(database, "run_id = %s", (run_id,))


def merges_after(database: Database, merge_id: int) -> list[Merge]:
    return _read(database, "merge_id > %s", (merge_id,))


def newest_merge(database: Database) -> int:
    """The id of the newest merge, 0 where there is none."""
    return _newest(database, "SELECT COALESCE(MAX(merge_id), 0) FROM tag_merges")


def newest_decision(database: Database) -> int:
    """The id of the newest decision of a person on a user's tag (`tag_platform.overrides`), 0 where there is none."""
    return _newest(database, "SELECT COALESCE(MAX(override_id), 0) FROM user_tag_overrides")


def _newest(database: Database, statement: str) -> int:
    def read() -> int:
        with transaction(database) as cursor:
            cursor.execute(statement)
            return int(cursor.fetchone()[0])

    return retrying(read, "reading the ledger of merges")


def merges_that_changed(database: Database, user_id: str) -> list[Merge]:
    """The merges with changes in the user's shard, oldest first."""
    where = " OR ".join(
        f"(shard_count = {count} AND JSON_CONTAINS(COALESCE(changed_shards, shards), '{shard_of(user_id, count)}'))"
        for count in (2**power for power in range(SLOTS.bit_length()))
    )
    return _read(database, where, ())


def all_merges(database: Database) -> list[Merge]:
    return _read(database, "merge_id > %s", (0,))


def _read(database: Database, where: str, values: tuple[Any, ...]) -> list[Merge]:
    def read() -> list[Any]:
        with transaction(database) as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM tag_merges WHERE {where} ORDER BY merge_id", values)  # noqa: S608
            return list(cursor.fetchall())

    rows = retrying(read, "reading the ledger of merges")
    return [
        Merge(
            number,
            run_id,
            undoes,
            path,
            count,
            tuple(json.loads(shards)),
            tuple(json.loads(changed)),
            started,
            finished,
        )
        for number, run_id, undoes, path, count, shards, changed, started, finished in rows
    ]
