"""Many back ends at once: `python -m infra.benchmarks.load` sends 200 triggers in a minute from 20 clients to a running
deployment, follows every task to its end, and checks that none was lost or doubled and how many ran at the same time.

Each trigger is for one tag of a few users and has an `Idempotency-Key`; every fifth is sent twice, as by a back end
that lost the answer. Prints percentiles of `trigger` and `status` in seconds; exit code 1 where a promise was broken.
Loopback only, and at most 1,000 triggers.
"""

from __future__ import annotations

import ipaddress
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import click
import httpx

from infra.benchmarks.latency import tagged_users, token
from infra.benchmarks.percentiles import table
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.settings import load_settings

ENDED = ("completed", "failed", "canceled")
USERS_EACH = 3
POLL_SECONDS = 2.0


@dataclass
class Tally:
    """What all clients saw: seconds of each answer, the tasks that each key got, how each task ended, other codes."""

    trigger: list[float] = field(default_factory=list)
    status: list[float] = field(default_factory=list)
    tasks: dict[str, set[str]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    codes: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


@click.command(help=__doc__)
@click.option("--triggers", default=200, type=click.IntRange(1, 1_000))
@click.option("--clients", default=20, type=click.IntRange(1, 100))
@click.option("--seconds", default=60.0, type=click.FloatRange(1, 600), help="Over which the triggers are spread.")
@click.option("--patience", default=1_800.0, type=click.FloatRange(1, 7_200), help="Seconds for all tasks to end.")
@click.option("--tag", default=1, type=int)
@click.option("--limit", default=3, type=int, help="Runs that may be at work at the same time.")
def main(triggers: int, clients: int, seconds: float, patience: float, tag: int, limit: int) -> None:
    settings = load_settings()
    if not all(ipaddress.ip_address(host).is_loopback for host in (settings.api_host, settings.ui_host)):
        raise click.UsageError("This loads a deployment on loopback only.")
    users = tagged_users(settings, tag, 1_000)
    tally, began = Tally(), time.time()
    shares = [range(client, triggers, clients) for client in range(clients)]

    def client(share: Iterable[int]) -> None:
        address = f"http://{settings.api_host}:{settings.api_port}"
        with httpx.Client(base_url=address, headers=token(settings), timeout=60) as api:
            one_client(api, share, seconds / triggers, began, began + patience, users, tag, tally)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, shares))
    took = time.time() - began
    keys, ids = len(tally.tasks), [task for found in tally.tasks.values() for task in found]
    dagster = DagsterClient(f"http://{settings.ui_host}:{settings.ui_port}")
    runs = dagster.runs({"createdAfter": began - 1, "pipelineName": "tag_users"}, None, 2_000)
    dagster.close()
    at_once = most_at_once([(run["startTime"], run["endTime"]) for run in runs if run["startTime"] and run["endTime"]])
    click.echo(table("seconds", {"trigger": tally.trigger, "status": tally.status}))
    click.echo(
        f"{keys} keys, {len(set(ids))} tasks, {len(runs)} runs in Dagster; ended: {dict(Counter(tally.ended.values()))}"
    )
    click.echo(f"all ended after {took:.0f} s, {len(runs) / took:.2f} runs a second; at once: {at_once}")
    click.echo(f"other answers: {dict(tally.codes) or 'none'}")
    completed = all(tally.ended.get(task) == "completed" for task in ids)
    whole = keys == triggers == len(ids) == len(set(ids)) == len(runs) and {run["runId"] for run in runs} == set(ids)
    if not (whole and completed and at_once <= limit):
        click.echo("A promise was broken: see the numbers above.")
        sys.exit(1)


def one_client(
    api: httpx.Client,
    share: Iterable[int],
    spacing: float,
    began: float,
    deadline: float,
    users: list[str],
    tag: int,
    tally: Tally,
) -> None:
    """Sends the triggers of its share on time, and between them asks for the state of its tasks in turn."""
    todo, following = list(share), list[str]()
    while (todo or following) and time.time() < deadline:
        if todo and time.time() >= began + todo[0] * spacing:
            number = todo.pop(0)
            key = str(uuid.uuid4())
            body = {"tag_ids": [tag], "user_ids": random.sample(users, USERS_EACH)}
            for _ in range(2 if number % 5 == 0 else 1):
                task = _trigger(api, key, body, tally)
            following.append(task)
        elif following:
            task = following.pop(0)
            if not _has_ended(api, task, tally):
                following.append(task)
            wait = POLL_SECONDS
            if todo:
                wait = min(wait, max(0.0, began + todo[0] * spacing - time.time()))
            time.sleep(wait)
        else:
            time.sleep(max(0.0, began + todo[0] * spacing - time.time()))


def _trigger(api: httpx.Client, key: str, body: dict[str, object], tally: Tally) -> str:
    """The task's id; asks again, with the same key, where it gets no answer or is asked to come back."""
    for _ in range(20):
        sent = time.monotonic()
        answer = api.post("/api/v1/tags/trigger", json=body, headers={"Idempotency-Key": key})
        with tally.lock:
            if answer.status_code == 202:
                tally.trigger.append(time.monotonic() - sent)
                task = str(answer.json()["task_id"])
                tally.tasks.setdefault(key, set()).add(task)
                return task
            tally.codes[answer.status_code] += 1
        time.sleep(float(answer.headers.get("Retry-After", 1)))
    raise click.ClickException(f"trigger was not answered: {answer.status_code} {answer.text[:300]}")


def _has_ended(api: httpx.Client, task: str, tally: Tally) -> bool:
    sent = time.monotonic()
    answer = api.get(f"/api/v1/tasks/{task}/status")
    with tally.lock:
        if answer.status_code != 200:
            tally.codes[answer.status_code] += 1
            return False
        tally.status.append(time.monotonic() - sent)
        word = answer.json()["status"]["status"]
        if word in ENDED:
            tally.ended[task] = word
        return word in ENDED


def most_at_once(intervals: Iterable[tuple[float, float]]) -> int:
    """The largest number of intervals (start, end) that overlap at any moment; touching ones do not."""
    changes = sorted([moment for start, end in intervals for moment in ((start, 1), (end, -1))])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


if __name__ == "__main__":
    main()
