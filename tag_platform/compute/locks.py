"""Advisory locks on user shards, held in MySQL while a merge reads, compares and writes them.

The lock makes merges of the same shard wait for each other; the compare in the write itself (`upsert`) is what keeps
everybody else's changes safe. A lock belongs to a connection: when its owner dies, the server frees it at once.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql

from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, connect, retrying
from tag_platform.shards import shard_key

log = logging.getLogger(__name__)
WAIT_SECONDS = 1800  # longer than any merge of a shard should take
SLICE_SECONDS = 10  # how often a waiting merge says that it waits


class LockLost(TagPlatformError):
    """The connection that held the locks is gone, and the locks with it: somebody else may be merging by now."""


class LockBusy(TagPlatformError):
    """Somebody else holds a lock for longer than the caller wants to wait. Nothing was written."""


def lock_name(database: Database, shard: int, shard_count: int) -> str:
    """At most 64 characters, and different for every database: advisory locks are the whole server's."""
    scope = hashlib.sha256(database.name.encode()).hexdigest()[:16]
    return f"tag_platform.{scope}.shard.{shard_key(shard)}/{shard_count}"


class ShardLocks:
    """The locks that are held, on one connection."""

    def __init__(self, connection: Any, names: list[str]) -> None:
        self.connection = connection
        self.names = names

    def check(self) -> None:
        """Raises `LockLost` unless every lock is still ours."""
        try:
            with self.connection.cursor() as cursor:
                for name in self.names:
                    cursor.execute("SELECT IS_USED_LOCK(%s) = CONNECTION_ID()", (name,))
                    if cursor.fetchone()[0] != 1:
                        raise LockLost(f"The lock {name} was lost during the merge. Start the run again.")
        except pymysql.err.Error as error:
            raise LockLost(
                f"The connection that held the locks of the merge was lost ({error}). Start the run again."
            ) from error


@contextmanager
def shard_locks(
    database: Database, shards: Collection[int], shard_count: int, wait_seconds: int = WAIT_SECONDS
) -> Iterator[ShardLocks]:
    """Holds the locks of the shards, taken in ascending order so that two merges cannot wait for each other.

    Raises `LockBusy` where one of them is not free after `wait_seconds` in all.
    """
    names = [lock_name(database, shard, shard_count) for shard in sorted(shards)]
    connection = retrying(lambda: _take(database, names, wait_seconds), "locking shards of user_tags")
    try:
        yield ShardLocks(connection, names)
    finally:
        connection.close()  # frees the locks


def _take(database: Database, names: list[str], wait_seconds: int) -> Any:
    connection = connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION wait_timeout = 86400")  # idle while the engine works
            deadline = time.monotonic() + wait_seconds
            for name in names:
                _take_one(cursor, name, deadline, wait_seconds)
        connection.commit()
        return connection
    except BaseException:
        connection.close()
        raise


def _take_one(cursor: Any, name: str, deadline: float, wait_seconds: int) -> None:
    started = time.monotonic()
    cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
    while cursor.fetchone()[0] != 1:
        cursor.execute("SELECT IS_USED_LOCK(%s)", (name,))
        owner = cursor.fetchone()[0]
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockBusy(
                f"The lock {name} has been held by database connection {owner} for {wait_seconds} s: another merge is "
                "at work on these users. Try again when it has ended; nothing was written."
            )
        log.info("waiting for %s (held by connection %s, %.0f s so far)", name, owner, time.monotonic() - started)
        cursor.execute("SELECT GET_LOCK(%s, %s)", (name, max(1, int(min(SLICE_SECONDS, left)))))
