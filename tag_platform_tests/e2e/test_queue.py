"""The run queue with a real daemon: how many runs at once, in which order, what a dead run leaves behind."""

from __future__ import annotations

import os
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tag_platform.defs.partitions import RANGE_END, RANGE_START
from tag_platform_tests.e2e.dagster_processes import Processes, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ACTIVE = {"STARTING", "STARTED", "CANCELING"}
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
EVENTS = """
query ($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection {
  events { __typename ... on MessageEvent { message } } } } }
"""
BACKFILL = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


def states(running: Processes, run_ids: list[str]) -> dict[str, dict[str, Any]]:
    return {run["runId"]: run for run in running.runs() if run["runId"] in run_ids}


def process_of(running: Processes, run_id: str) -> int | None:
    """The process that executes the steps of the run, once it does."""
    events = running.graphql(EVENTS, id=run_id)["logsForRun"]["events"]
    found = [re.search(r"Executing steps in process \(pid: (\d+)\)", e.get("message") or "") for e in events]
    return next((int(match[1]) for match in found if match), None)


def most_at_once(runs: list[dict[str, Any]]) -> int:
    """How many of the runs were under way at the same moment."""
    moments = [(run["startTime"], 1) for run in runs] + [(run["endTime"], -1) for run in runs]
    now = most = 0
    for _, step in sorted(moments):  # an end comes before a start of the same moment
        now += step
        most = max(most, now)
    return most


def test_twelve_runs_three_at_once_and_one_killed(running: Processes) -> None:
    """Eleven refreshes and a user's request: the request overtakes, a killed run frees its slot and is tried again,
    no two runs ever merge the same shard at once, and everything is done in the end."""
    low = {"dagster__priority": "-5"}
    submitted = []
    today = datetime.now(UTC).date()
    for number in range(11):
        one_shard = {} if number % 3 == 0 else {"dagster__partition": f"00{number % 2}"}
        # Two dates between which every user enters or leaves a tag: most runs have something to write.
        day = today + timedelta(days=100 * (number % 2))
        config: dict[str, Any] = {"resources": {"options": {"config": {"as_of": day.isoformat()}}}}
        submitted.append(running.launch("tag_all", config, **low, **one_shard))
    eventually(lambda: any(r["status"] == "STARTED" for r in states(running, submitted).values()), "a run", 120)
    config = {"ops": {"tag_users": {"config": {"tag_ids": [7], "user_ids": ["u1", "u2"]}}}}
    request = running.launch("tag_users", config)
    queued = [run_id for run_id, run in states(running, submitted).items() if run["status"] == "QUEUED"]
    assert len(queued) >= 5, "the queue was empty before the request came"
    submitted.append(request)

    victim, process = "", None

    def found() -> bool:
        nonlocal victim, process
        for run_id, run in states(running, submitted[:-1]).items():
            if run["status"] == "STARTED":
                victim, process = run_id, process_of(running, run_id)
                if process is not None:
                    return True
        return False

    eventually(found, "a process to kill", 120)
    assert process is not None
    os.kill(process, signal.SIGKILL)

    at_once = 0

    def done() -> bool:
        nonlocal at_once
        runs = running.runs()
        at_once = max(at_once, sum(run["status"] in ACTIVE for run in runs))
        again = [run for run in runs if run["parentRunId"] == victim]
        own = [run for run in runs if run["runId"] in submitted]
        return bool(again) and all(run["status"] in ENDED for run in own + again)

    eventually(done, "all runs have ended", 420)
    runs = states(running, submitted)
    retries = [run for run in running.runs() if run["parentRunId"] == victim]
    assert {run_id: run["status"] for run_id, run in runs.items() if run["status"] != "SUCCESS"} == {victim: "FAILURE"}
    assert [run["status"] for run in retries] == ["SUCCESS"]
    assert at_once == 3
    assert most_at_once([*runs.values(), *retries]) <= 3
    # At most those that were taken from the queue in the same moment were ready before the request was.
    assert sum(runs[run_id]["startTime"] < runs[request]["startTime"] for run_id in queued) <= 2
    for number, run_id in enumerate(submitted[:-1]):
        if number % 3 == 0:  # no shard was named: all of them
            assert runs[run_id]["tags"][RANGE_END] == "001"
    marks = ", ".join(["%s"] * len(submitted))
    assert running.sql(f"SELECT COUNT(*) FROM tag_merges WHERE run_id IN ({marks})", *submitted)[0][0] >= 3
    assert merges_that_overlap(running) == []


def merges_that_overlap(running: Processes) -> list[tuple[Any, ...]]:
    """Pairs of merges that wrote to the same shard at the same time, by the ledger."""
    return running.sql(
        "SELECT a.merge_id, b.merge_id FROM tag_merges a JOIN tag_merges b ON a.merge_id < b.merge_id"
        " WHERE JSON_OVERLAPS(a.shards, b.shards) AND b.started_time < a.finished_time"
    )


def test_a_backfill_makes_one_run_per_shard(running: Processes) -> None:
    """For clusters: the shards of a backfill from the UI go through the queue one by one, and each can be retried."""
    keys = [["source", "user_basic_info"], ["source", "user_asset_summary"], ["source", "user_activity_summary"]]
    keys += [["tag", "tag_7"], ["merged_user_tags"]]
    params = {"assetSelection": [{"path": key} for key in keys], "partitionNames": ["000", "001"]}
    answer = running.graphql(BACKFILL, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer

    def of_backfill() -> dict[str, str]:
        runs = [run for run in running.runs() if run["tags"].get("dagster/backfill") == answer["backfillId"]]
        return {
            run["tags"][RANGE_START]: run["status"]
            for run in runs
            if run["tags"][RANGE_END] == run["tags"][RANGE_START]
        }

    eventually(lambda: of_backfill() == {"000": "SUCCESS", "001": "SUCCESS"}, "both shards", 240)
