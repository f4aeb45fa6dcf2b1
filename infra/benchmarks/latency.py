"""How long a back end waits: from the request for one user to that user's changed row, through gateway, queue and run.

`python -m infra.benchmarks.latency --triggers 20` asks a running, idle deployment, one request after the other, and
prints percentiles of each part in seconds. Before each request the user's row loses its tags, so that the run has a row
to write; it is right again with the request's end. For local deployments only.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, fields

import click
import httpx
import pymysql

from infra.benchmarks.percentiles import table
from tag_platform.errors import TagPlatformError
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.mysql import Database, connect
from tag_platform.settings import Settings, load_settings

PATIENCE = 120  # seconds
STARTING = """
query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection {
  events { __typename ... on RunStartingEvent { timestamp } } } } }
"""


@dataclass(frozen=True)
class Waited:
    """Seconds of one request, each from the moment of the request: `answered` by the gateway, `dequeued`, `started`
    (the run's process), `row` (the row is right again), `ended` (the run)."""

    answered: float
    dequeued: float
    started: float
    row: float
    ended: float


@click.command(help=__doc__)
@click.option("--triggers", default=20, type=click.IntRange(1, 500), help="Requests, one after the other.")
@click.option("--tag", default=1, type=int, help="The tag to compute, for users that have it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(triggers: int, tag: int, as_json: bool) -> None:
    settings = load_settings()
    if settings.env != "local":
        raise click.UsageError("This takes tags from users' rows for a moment; it runs on a local deployment only.")
    waited = [_one(settings, tag, user) for user in tagged_users(settings, tag, triggers)]
    columns = {field.name: [getattr(one, field.name) for one in waited] for field in fields(Waited)}
    click.echo(json.dumps(columns) if as_json else table("seconds since the request", columns))


def tagged_users(settings: Settings, tag: int, count: int) -> list[str]:
    """So many users that have the tag, the same each time."""
    with connect(Database.of(settings)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT user_id FROM user_tags WHERE JSON_CONTAINS(tag_ids, %s) ORDER BY id LIMIT 10000", (str(tag),)
        )
        users = [row[0] for row in cursor.fetchall()]
    if len(users) < count:
        raise click.UsageError(f"Only {len(users)} users have tag {tag}; compute it first: `tag-platform run`.")
    return random.Random(7).sample(users, count)  # noqa: S311 (no secret)


def _one(settings: Settings, tag: int, user: str) -> Waited:
    with (
        connect(Database.of(settings), autocommit=True) as connection,
        httpx.Client(base_url=f"http://{settings.api_host}:{settings.api_port}", timeout=30) as api,
    ):
        with connection.cursor() as cursor:
            cursor.execute("SELECT tag_ids FROM user_tags WHERE user_id = %s", (user,))
            before = json.loads(cursor.fetchone()[0])
            without = json.dumps([other for other in before if other != tag])
            cursor.execute("UPDATE user_tags SET tag_ids = %s WHERE user_id = %s", (without, user))
        began = time.time()
        answer = api.post("/api/v1/tags/trigger", json={"tag_ids": [tag], "user_ids": [user]}, headers=token(settings))
        answer.raise_for_status()
        answered = time.time()
        row = _row_is(connection, user, before)
    return _waited(settings, answer.json()["task_id"], began, answered, row)


def token(settings: Settings) -> dict[str, str]:
    """The header with the last of the configured tokens, empty where there is none."""
    if settings.api_tokens is None:
        return {}
    last = settings.api_tokens.get_secret_value().split(",")[-1].strip()
    return {"Authorization": f"Bearer {last.rpartition(':')[2]}"}


def _row_is(connection: pymysql.connections.Connection[pymysql.cursors.Cursor], user: str, tags: list[int]) -> float:
    end = time.time() + PATIENCE
    while time.time() < end:
        with connection.cursor() as cursor:
            cursor.execute("SELECT tag_ids FROM user_tags WHERE user_id = %s", (user,))
            row = cursor.fetchone()
        if row is not None and json.loads(row[0]) == tags:
            return time.time()
        time.sleep(0.02)
    raise TagPlatformError(f"The row was not right again after {PATIENCE} s; see the newest run in the UI.")


def _waited(settings: Settings, run_id: str, began: float, answered: float, row: float) -> Waited:
    dagster = DagsterClient(f"http://{settings.ui_host}:{settings.ui_port}")
    try:
        end = time.time() + PATIENCE
        while time.time() < end:
            run = dagster.run(run_id)
            if run is not None and run["endTime"] is not None:
                events = dagster.ask(STARTING, {"id": run_id})["logsForRun"]["events"]
                dequeued = [e["timestamp"] for e in events if e["__typename"] == "RunStartingEvent"]
                return Waited(
                    answered=answered - began,
                    dequeued=float(dequeued[0]) / 1000 - began,
                    started=run["startTime"] - began,
                    row=row - began,
                    ended=run["endTime"] - began,
                )
            time.sleep(0.1)
    finally:
        dagster.close()
    raise TagPlatformError(f"Run {run_id} has not ended after {PATIENCE} s.")


if __name__ == "__main__":
    main()
