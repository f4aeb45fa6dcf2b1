"""Exactly once: the same `Idempotency-Key` is the same task, under simultaneous retries and across restarts.

`launchRun` starts a new run each time, so the promise is kept in MySQL. A row of `gateway_request` is written before
the run is launched and completed with the run's id after it. Where a gateway died in between, the next request looks
for the run by its tag, and launches only when the first launch can no longer be under way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tag_platform.gateway.errors import Refusal, unavailable
from tag_platform.mysql import Database, connect

# A launch that has not been seen for this long is not coming any more: the webserver answers, or fails, within 30 s.
LAUNCH_SECONDS = 60
LOCK_SECONDS = 40

Launch = Callable[[], str]
Find = Callable[[], str | None]


def key_digest(caller: str, key: str) -> str:
    """What is stored of a key: 64 hex digits, also the value of the run's tag."""
    return hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()


def body_digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def once(database: Database, key: str, body: str, find: Find, launch: Launch) -> tuple[str, bool]:
    """The task id for `key`, and whether this call started it. `find` looks for a run that was launched for the key.

    Raises `Refusal` 409 where the key was used with another body, 503 where an earlier launch is still undecided.
    """
    with _exclusive(database, key) as cursor:
        cursor.execute(
            "SELECT body_digest, task_id, TIMESTAMPDIFF(SECOND, launched_at, UTC_TIMESTAMP())"
            " FROM gateway_request WHERE request_key = %s",
            (key,),
        )
        row = cursor.fetchone()
        if row is not None:
            stored_body, task_id, age = row
            if stored_body != body:
                raise Refusal(409, "key_reused", "This Idempotency-Key was used with another request before.")
            if task_id is not None:
                return str(task_id), False
            task_id = find()
            if task_id is None and age < LAUNCH_SECONDS:
                raise unavailable("The first request with this Idempotency-Key is still being started; ask again.")
            if task_id is not None:
                _finish(cursor, key, task_id)
                return task_id, False
        cursor.execute(
            "REPLACE INTO gateway_request (request_key, body_digest, launched_at) VALUES (%s, %s, UTC_TIMESTAMP())",
            (key, body),
        )
        task_id = launch()
        _finish(cursor, key, task_id)
        return task_id, True


def _finish(cursor: Any, key: str, task_id: str) -> None:
    cursor.execute("UPDATE gateway_request SET task_id = %s WHERE request_key = %s", (task_id, key))


@contextmanager
def _exclusive(database: Database, key: str) -> Iterator[Any]:
    """A cursor that holds the key's lock on the database server: one request of a key at a time, over all gateways.

    The lock goes with the connection, so a gateway that dies leaves none behind.
    """
    connection = connect(database, autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, %s)", (f"tag_platform.{key[:48]}", LOCK_SECONDS))
            if cursor.fetchone()[0] != 1:
                raise unavailable("Another request with this Idempotency-Key is still being answered; ask again.")
            yield cursor
    finally:
        connection.close()
