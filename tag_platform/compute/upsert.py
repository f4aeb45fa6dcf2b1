"""Writes changed rows into `user_tags`, from parallel tasks, in short transactions, so that running a batch again
changes nothing and nobody else's change is lost.

Each batch compares in the transaction that writes: a row that is no longer what the plan saw (somebody changed it in
between, or an earlier attempt had got through) is locked and merged anew from what it holds now. New rows are loaded
(`load_rows`); where not all of a load are new, it is rolled back and its rows are compared like any others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from tag_platform.compute.account import ROWS
from tag_platform.compute.load_rows import connect_to_load, load_rows
from tag_platform.compute.stored_tags import DetailsText, Task, parse_tag_ids, tag_ids_text
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, retrying
from tag_platform.shards import shard_of

if TYPE_CHECKING:
    from pymysql.cursors import Cursor
    from pyspark.sql import DataFrame

BATCH = 2_000  # rows a transaction: long enough for speed, short enough that a rival waits milliseconds
LOAD = 20_000  # new rows a transaction: nobody waits for them but who inserts the same users
WRITERS = 4
WRITTEN_SCHEMA = "shard int, what int, n long"

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
DELETE = "DELETE FROM user_tags WHERE user_id = %s"

Change = tuple[str, list[int] | None, list[int] | None]  # user_id, before (None: a new row), after (None: delete it)


Key = TypeVar("Key")


@dataclass(frozen=True)
class Written:
    """Rows written, per shard; `rivals` are the rows that had to be merged anew. `shifted` is, by (shard, tag), how
    much more these rows moved the counts than the changes say: what others did to them in between, and what was
    written on top of that."""

    inserted: dict[int, int] = field(default_factory=dict)
    updated: dict[int, int] = field(default_factory=dict)
    deleted: dict[int, int] = field(default_factory=dict)
    rivals: int = 0
    shifted: dict[tuple[int, int], int] = field(default_factory=dict)

    def __add__(self, other: Written) -> Written:
        """Both together; no row is in two of them."""

        def both(one: dict[Key, int], two: dict[Key, int]) -> dict[Key, int]:
            return {key: one.get(key, 0) + two.get(key, 0) for key in {**one, **two}}

        return Written(
            both(self.inserted, other.inserted),
            both(self.updated, other.updated),
            both(self.deleted, other.deleted),
            self.rivals + other.rivals,
            both(self.shifted, other.shifted),
        )


def write_changes(
    changes: DataFrame,
    database: Database,
    details: Mapping[int, Mapping[str, str]],
    removable: Mapping[int, Collection[int]],
    shard_count: int,
) -> Written:
    """Writes `changes` (`user_id, before, after, shard`) from parallel tasks. `details` are the entries of
    `tag_details`; `removable` are the tags that the plan may take away, by shard.

    The engine evaluates this once: its result is collected, and nothing else refers to it.
    """
    write = _writer(database, DetailsText(details), {k: frozenset(v) for k, v in removable.items()}, shard_count)
    counts: Counter[tuple[int, int]] = Counter()
    # In the order of the unique key, batches touch neighbouring index pages.
    ordered = changes.repartition(WRITERS).sortWithinPartitions("user_id")
    for row in ordered.mapInArrow(write, WRITTEN_SCHEMA).collect():
        counts[row["shard"], row["what"]] += row["n"]

    def by_shard(kind: int) -> dict[int, int]:
        return {shard: n for (shard, what), n in counts.items() if what == kind}

    shifted = {(shard, what): n for (shard, what), n in counts.items() if what >= ROWS and n}
    return Written(by_shard(INSERTED), by_shard(UPDATED), by_shard(DELETED), sum(by_shard(RIVAL).values()), shifted)


def _writer(
    database: Database, details: DetailsText, removable: Mapping[int, frozenset[int]], shard_count: int
) -> Task:
    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        connection: Any = None
        may_load = False
        counts: Counter[_Outcome] = Counter()

        def attempt(rows: pa.Table, new: bool) -> Counter[_Outcome]:
            nonlocal connection, may_load
            try:
                if connection is None:
                    connection, may_load = connect_to_load(database)
                if new and may_load:
                    if load_rows(connection, rows, details):
                        connection.commit()
                        return _inserted(rows)
                    connection.rollback()
                outcomes: Counter[_Outcome] = Counter()
                for changes in _batches(rows):
                    with connection.cursor() as cursor:
                        outcomes.update(_write_batch(cursor, changes, details, removable, shard_count))
                    connection.commit()
                return outcomes
            except BaseException:
                # Whatever state it is in, a fresh connection starts from what was committed.
                if connection is not None:
                    connection.close()
                    connection = None
                raise

        try:
            for rows, new in _portions(batches):
                counts.update(retrying(lambda rows=rows, new=new: attempt(rows, new), "writing user_tags"))  # type: ignore[misc]
        finally:
            if connection is not None:
                connection.close()
        columns = [[shard for shard, _ in counts], [what for _, what in counts], list(counts.values())]
        types = (pa.int32(), pa.int32(), pa.int64())
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, names=["shard", "what", "n"])

    return write


INSERTED, UPDATED, DELETED, RIVAL = -4, -3, -2, -1
_Outcome = tuple[int, int]  # shard, and one of these or (ROWS, or a tag id) an entry of the account


def _portions(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.Table, bool]]:
    """The rows in portions to write together; True where all of a portion are new."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        new = pc.and_(pc.is_null(batch.column("before")), pc.is_valid(batch.column("after")))
        if others := batch.num_rows - pc.sum(new, min_count=0).as_py():
            yield pa.Table.from_batches([batch.filter(pc.invert(new)) if others < batch.num_rows else batch]), False
        waiting.append(batch.filter(new))
        if sum(part.num_rows for part in waiting) >= LOAD:
            yield pa.Table.from_batches(waiting), True
            waiting = []
    if any(part.num_rows for part in waiting):
        yield pa.Table.from_batches(waiting), True


def _batches(rows: pa.Table) -> Iterator[list[Change]]:
    for start in range(0, rows.num_rows, BATCH):
        part = rows.slice(start, BATCH)
        yield list(zip(*(part.column(name).to_pylist() for name in ("user_id", "before", "after")), strict=True))


def _inserted(rows: pa.Table) -> Counter[_Outcome]:
    return Counter(
        {(int(entry["values"]), INSERTED): entry["counts"] for entry in rows["shard"].value_counts().to_pylist()}
    )


def _write_batch(
    cursor: Cursor,
    changes: list[Change],
    details: DetailsText,
    removable: Mapping[int, frozenset[int]],
    shard_count: int,
) -> Counter[_Outcome]:
    """Writes one batch inside the caller's transaction; returns how many rows had which outcome, and the shifts."""
    outcomes: Counter[_Outcome] = Counter()
    new = [change for change in changes if change[1] is None]
    check = [change for change in changes if change[1] is not None]
    if new:
        rows = [(user, tag_ids_text(after or []), details(after or [])) for user, _, after in new]
        if cursor.executemany(INSERT_NEW, rows) == len(new):
            outcomes.update((shard_of(user, shard_count), INSERTED) for user, _, _ in new)
        else:  # some are there already, and the count does not tell which
            check += new
    if not check:
        return outcomes
    stored = _lock(cursor, [user for user, _, _ in check])
    rows, gone = [], []
    final: list[int] | None
    for user, before, after in check:
        shard = shard_of(user, shard_count)
        now = stored.get(user)
        if now in (before, after):  # as it was read, or written by an earlier attempt
            final, kind = after, DELETED if after is None else INSERTED if before is None else UPDATED
        else:
            final, kind = _merge_anew(now, before or [], after or [], removable[shard]), RIVAL
            # `before` was counted, and (after - before) is in the account already.
            outcomes.update((shard, tag_id) for tag_id in final)
            outcomes.subtract((shard, tag_id) for tag_id in after or ())
            outcomes[shard, ROWS] += after is None
        if final is None:
            gone.append(user)
        else:
            rows.append((user, tag_ids_text(final), details(final)))
        outcomes[shard, kind] += 1
    if gone:
        cursor.executemany(DELETE, [(user,) for user in gone])
    cursor.executemany(UPSERT, rows)
    return outcomes


def _merge_anew(now: list[int] | None, before: list[int], after: list[int], owned: frozenset[int]) -> list[int]:
    """The tags of a row that somebody changed since it was read: ours as computed, all others as they left them, but
    for the changes of other tags that the plan makes (a pinned tag, say)."""
    kept = set(now or ()) - owned - (set(before) - set(after))
    return sorted(kept | (set(after) & owned) | (set(after) - set(before)))


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
