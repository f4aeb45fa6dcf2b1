"""Writes changed rows into `user_tags`, from parallel tasks, in short transactions, so that running a batch again
changes nothing and nobody else's change is lost.

Each batch compares in the transaction that writes: a row that is no longer what the plan saw (somebody changed it in
between, or an earlier attempt had got through) is locked and merged anew from what it holds now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tag_platform.compute.stored_tags import DetailsText, Task, parse_tag_ids, tag_ids_text
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, connect, retrying
from tag_platform.shards import shard_of

if TYPE_CHECKING:
    from pymysql.cursors import Cursor
    from pyspark.sql import DataFrame

BATCH = 2_000  # rows a transaction: long enough for speed, short enough that a rival waits milliseconds
WRITERS = 4
WRITTEN_SCHEMA = "shard int, inserted long, updated long, rivals long"

INSERT_NEW = (
    "INSERT INTO user_tags (user_id, tag_ids, tag_details) VALUES (%s, %s, %s)"
    " ON DUPLICATE KEY UPDATE id = id"  # no change: the row is looked at below
)
# created_time is never named. updated_time comes first: it compares with the columns before they are set. VALUES() is
# understood by MySQL and MariaDB alike; the alias that MySQL prefers is not.
UPSERT = (
    "INSERT INTO user_tags (user_id, tag_ids, tag_details) VALUES (%s, %s, %s)"
    " ON DUPLICATE KEY UPDATE"
    " updated_time = IF(tag_ids <=> VALUES(tag_ids) AND tag_details <=> VALUES(tag_details),"
    " updated_time, CURRENT_TIMESTAMP),"
    " tag_ids = VALUES(tag_ids), tag_details = VALUES(tag_details)"
)

Change = tuple[str, list[int] | None, list[int]]  # user_id, before, after


@dataclass(frozen=True)
class Written:
    """Rows written, per shard; `rivals` are the rows that had to be merged anew."""

    inserted: dict[int, int]
    updated: dict[int, int]
    rivals: int

    @classmethod
    def none(cls) -> Written:
        return cls({}, {}, 0)


def write_changes(
    changes: DataFrame,
    database: Database,
    details: Mapping[int, Mapping[str, str]],
    removable: Mapping[int, Collection[int]],
    shard_count: int,
) -> Written:
    """Writes `changes` (`user_id, before, after`) from parallel tasks. `details` are the entries of `tag_details`;
    `removable` are the tags that the plan may take away, by shard.

    The engine evaluates this once: its result is collected, and nothing else refers to it.
    """
    write = _writer(database, DetailsText(details), {k: frozenset(v) for k, v in removable.items()}, shard_count)
    inserted: dict[int, int] = {}
    updated: dict[int, int] = {}
    rivals = 0
    # In the order of the unique key, batches touch neighbouring index pages.
    ordered = changes.repartition(WRITERS).sortWithinPartitions("user_id")
    for row in ordered.mapInArrow(write, WRITTEN_SCHEMA).collect():
        inserted[row["shard"]] = inserted.get(row["shard"], 0) + row["inserted"]
        updated[row["shard"]] = updated.get(row["shard"], 0) + row["updated"]
        rivals += row["rivals"]
    return Written(inserted, updated, rivals)


def _writer(
    database: Database, details: DetailsText, removable: Mapping[int, frozenset[int]], shard_count: int
) -> Task:
    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        connection: Any = None
        counts: dict[int, list[int]] = {}

        def attempt(changes: list[Change]) -> list[_Outcome]:
            nonlocal connection
            try:
                if connection is None:
                    connection = connect(database)
                with connection.cursor() as cursor:
                    outcomes = _write_batch(cursor, changes, details, removable, shard_count)
                connection.commit()
                return outcomes
            except BaseException:
                # Whatever state it is in, a fresh connection starts from what was committed.
                if connection is not None:
                    connection.close()
                    connection = None
                raise

        try:
            for changes in _chunks(batches):
                for shard, kind in retrying(lambda changes=changes: attempt(changes), "writing user_tags"):  # type: ignore[misc]
                    counts.setdefault(shard, [0, 0, 0])[kind] += 1
        finally:
            if connection is not None:
                connection.close()
        columns = [list(counts), *([count[kind] for count in counts.values()] for kind in (INSERTED, UPDATED, RIVAL))]
        arrays = [pa.array(columns[0], pa.int32()), *(pa.array(column, pa.int64()) for column in columns[1:])]
        yield pa.RecordBatch.from_arrays(arrays, names=["shard", "inserted", "updated", "rivals"])

    return write


INSERTED, UPDATED, RIVAL = 0, 1, 2
_Outcome = tuple[int, int]  # shard, kind


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[list[Change]]:
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH):
            part = batch.slice(start, BATCH)
            yield list(zip(*(part.column(i).to_pylist() for i in range(3)), strict=True))


def _write_batch(
    cursor: Cursor,
    changes: list[Change],
    details: DetailsText,
    removable: Mapping[int, frozenset[int]],
    shard_count: int,
) -> list[_Outcome]:
    """Writes one batch inside the caller's transaction; returns what became of each row."""
    outcomes: list[_Outcome] = []
    new = [change for change in changes if change[1] is None]
    check = [change for change in changes if change[1] is not None]
    if new:
        rows = [(user, tag_ids_text(after), details(after)) for user, _, after in new]
        if cursor.executemany(INSERT_NEW, rows) == len(new):
            outcomes += [(shard_of(user, shard_count), INSERTED) for user, _, _ in new]
        else:  # some are there already, and the count does not tell which
            check += new
    if not check:
        return outcomes
    stored = _lock(cursor, [user for user, _, _ in check])
    rows = []
    for user, before, after in check:
        shard = shard_of(user, shard_count)
        now = stored.get(user)
        if now is None and before is not None:
            final, kind = [tag for tag in after if tag in removable[shard]], RIVAL  # the row was deleted
        elif now in (before, after):
            final, kind = after, INSERTED if before is None else UPDATED
        else:
            owned = removable[shard]
            kept = [tag for tag in now or [] if tag not in owned]
            final, kind = sorted({*kept, *(tag for tag in after if tag in owned)}), RIVAL
        rows.append((user, tag_ids_text(final), details(final)))
        outcomes.append((shard, kind))
    cursor.executemany(UPSERT, rows)
    return outcomes


def _lock(cursor: Cursor, users: list[str]) -> dict[str, list[int]]:
    """What the rows hold now; they stay locked until the transaction ends."""
    marks = ", ".join(["%s"] * len(users))
    cursor.execute(
        f"SELECT user_id, CAST(tag_ids AS CHAR) FROM user_tags WHERE user_id IN ({marks}) FOR UPDATE",  # noqa: S608
        users,
    )
    stored: dict[str, list[int]] = {}
    for user, text in cursor.fetchall():
        parsed = parse_tag_ids(text)
        if parsed is None:
            raise TagPlatformError(
                f"user_tags: the row of user {user!r} holds tag_ids that are no list of whole numbers."
            )
        stored[user] = parsed[0]
    return stored
