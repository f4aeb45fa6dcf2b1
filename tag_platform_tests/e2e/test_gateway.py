"""The gateway on real services: webserver, daemon, code server and database, as a back end sees them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tag_platform.mysql import transaction
from tag_platform.settings import CHECKOUT
from tag_platform_tests.e2e.gateway_deployment import Deployment, finished, runs_of, trigger, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_some_tags_for_everybody_then_for_one_user(deployed: Deployment, api: httpx.Client) -> None:
    """The way of a back end: trigger, follow, read the totals, read a user's tags."""
    with transaction(deployed.database) as cursor:
        cursor.execute("DELETE FROM user_tags")  # whatever the tests before have left
    task = finished(api, trigger(api, {"tag_ids": [2, 1], "mode": "full"}))
    assert (task["status"], task["tag_ids"]) == ("completed", [1, 2])
    assert set(task["result"]["tags"]) == {"1", "2"}
    assert task["result"]["tags"]["1"] == {"hits": 100, "users": 200, "coverage": 0.5}
    assert task["result"]["total_users"] == 200
    assert task["result"]["rows"]["inserted"] > 0
    row = api.get("/api/v1/users/u199/tags").json()
    assert row["tag_ids"] == [1, 2]
    assert row["tag_details"]["1"]["tag_name"] == "高净值用户"
    assert api.get("/api/v1/users/nobody/tags").status_code == 404

    with transaction(deployed.database) as cursor:
        cursor.execute("UPDATE user_tags SET tag_ids = '[]', tag_details = '{}' WHERE user_id IN ('u198', 'u199')")
    some = finished(api, trigger(api, {"tag_ids": [1], "user_ids": ["u199"]}))
    assert (some["status"], some["mode"]) == ("completed", "full")
    assert some["result"]["tags"]["1"]["hits"] == 1
    assert some["result"]["rows"]["updated"] == 1
    assert api.get("/api/v1/users/u199/tags").json()["tag_ids"] == [1]
    assert api.get("/api/v1/users/u198/tags").json()["tag_ids"] == []


def test_one_key_is_one_run_under_fifty_retries_and_a_restart(deployed: Deployment) -> None:
    """A back end whose request timed out retries; it must never start the work twice."""
    before = set(runs_of(deployed))
    with deployed.gateway(), httpx.Client(base_url=deployed.api, timeout=60) as api, ThreadPoolExecutor(50) as pool:
        asked = list(pool.map(lambda _: trigger(api, {"tag_ids": [1]}, "retry-1"), range(50)))
    with deployed.gateway(), httpx.Client(base_url=deployed.api, timeout=60) as api:
        asked.append(trigger(api, {"tag_ids": [1]}, "retry-1"))
        other = api.post("/api/v1/tags/trigger", json={"tag_ids": [2]}, headers={"Idempotency-Key": "retry-1"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")
        assert finished(api, asked[0])["status"] == "completed"
    assert len(set(asked)) == 1
    assert set(runs_of(deployed)) - before == {asked[0]}


def test_one_key_is_one_run_when_the_gateway_is_killed_among_the_retries(deployed: Deployment) -> None:
    """Nothing that a process remembers may be needed: the first gateway is killed with the requests under way."""
    before = set(runs_of(deployed))

    def ask(_: int) -> str | None:
        try:
            headers = {"Idempotency-Key": "killed"}
            answer = httpx.post(f"{deployed.api}/api/v1/tags/trigger", json={"tag_ids": [3]}, headers=headers)
            return str(answer.json()["task_id"]) if answer.status_code == 202 else None
        except httpx.HTTPError:
            return None

    with ThreadPoolExecutor(50) as pool:
        with deployed.gateway() as process:
            first = [pool.submit(ask, number) for number in range(50)]
            until(lambda: bool(set(runs_of(deployed)) - before), "the first launch")
            process.kill()
        answered = {future.result() for future in first} - {None}
        with deployed.gateway(), httpx.Client(base_url=deployed.api, timeout=60) as api:
            # Where the launch was not noted, its run is found by its tag.
            until(lambda: None not in set(pool.map(ask, range(50))), "an answer to every retry")
            [task_id] = set(pool.map(ask, range(50)))
            assert finished(api, str(task_id))["status"] == "completed"
    assert answered <= {task_id}
    assert set(runs_of(deployed)) - before == {task_id}


def test_a_gateway_that_died_after_launching_starts_nothing_twice(deployed: Deployment, api: httpx.Client) -> None:
    """Between the launch and the note of its id lies a moment; a retry after it finds the run by its tag."""
    task_id = trigger(api, {"tag_ids": [3]}, "died")
    with transaction(deployed.database) as cursor:
        cursor.execute("UPDATE gateway_request SET task_id = NULL WHERE task_id = %s", (task_id,))
        assert cursor.rowcount == 1
    assert trigger(api, {"tag_ids": [3]}, "died") == task_id
    assert finished(api, task_id)["status"] == "completed"


def test_tags_that_no_run_computes_start_nothing(deployed: Deployment, api: httpx.Client) -> None:
    """A task that can only fail is refused at once, with the ids that are wrong: unknown, retired, given by people."""
    before = runs_of(deployed)
    with transaction(deployed.database) as cursor:
        cursor.execute("UPDATE tag_definition SET is_active = FALSE WHERE tag_id = 8")
        cursor.execute("UPDATE tag_definition SET is_manual = TRUE WHERE tag_id = 7")
    try:
        answer = api.post("/api/v1/tags/trigger", json={"tag_ids": [1, 7, 8, 999]})
        available = [tag["tag_id"] for tag in api.get("/api/v1/tags/available").json()["tags"]]
    finally:
        with transaction(deployed.database) as cursor:
            cursor.execute("UPDATE tag_definition SET is_active = TRUE, is_manual = FALSE WHERE tag_id IN (7, 8)")
    assert answer.status_code == 422
    wrong = {detail["tag_id"]: detail["message"] for detail in answer.json()["error"]["details"]}
    assert wrong == {7: "manual", 8: "retired", 999: "unknown"}
    assert available == [1, 2, 3, 4, 5, 6]
    assert runs_of(deployed) == before


def test_cancel_list_and_cursor(api: httpx.Client) -> None:
    """A queued task can be taken back; the list shows each task once, page by page."""
    task_ids = [trigger(api, {"tag_ids": [1]}) for _ in range(5)]
    canceled = api.post(f"/api/v1/tasks/{task_ids[-1]}/cancel")
    assert canceled.status_code == 202, canceled.text
    states = [finished(api, task_id)["status"] for task_id in task_ids]
    assert states == ["completed"] * 4 + ["canceled"]
    assert api.post(f"/api/v1/tasks/{task_ids[0]}/cancel").status_code == 409
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get("/api/v1/tasks", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [task["task_id"] for task in page["tasks"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert set(task_ids) <= set(seen)
    filtered = api.get("/api/v1/tasks", params={"status": "canceled"}).json()["tasks"]
    assert task_ids[-1] in [task["task_id"] for task in filtered]
    assert {task["status"] for task in filtered} == {"canceled"}


def test_ids_of_nothing_are_404(api: httpx.Client) -> None:
    """An id that no task has is told apart from a task that failed."""
    for path in ("status", "cancel"):
        method = "GET" if path == "status" else "POST"
        answer = api.request(method, f"/api/v1/tasks/00000000-0000-0000-0000-000000000000/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert api.get("/api/v1/tasks", params={"cursor": "nothing"}).status_code == 422


def test_the_examples_of_the_docs_run(deployed: Deployment, api: httpx.Client) -> None:
    """What a reader copies works as it stands, but for the addresses. Both languages at once: most of it is waiting."""

    def run(page: str) -> list[str]:
        text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8").replace("http://127.0.0.1:5000", deployed.api)
        text = text.replace("http://127.0.0.1:3000", deployed.graphql.removesuffix("/graphql"))
        return [_example(api, kind, example) for kind, example in re.findall(r"```(bash|python)\n(.*?)```", text, re.S)]

    with ThreadPoolExecutor(2) as pool:
        for ends in pool.map(run, ("api.md", "api.zh-CN.md")):
            assert ends[0] == "completed"
            assert "'status': 'completed'" in ends[1]
            assert ends[2:] == ["", "", "", "", "SUCCESS\n"]


def _example(api: httpx.Client, kind: str, example: str) -> str:
    """What a Python example prints; how the task of a curl line ended, empty for one that starts none."""
    command = ("bash", "-ec", example) if kind == "bash" else (sys.executable, "-c", example)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    if kind == "python":
        return ran.stdout
    answer = json.loads(ran.stdout)
    assert answer.get("success", "data" in answer and "errors" not in answer), answer
    return str(finished(api, answer["task_id"])["status"]) if "task_id" in answer else ""


def test_the_graphql_of_the_docs_runs(deployed: Deployment, api: httpx.Client) -> None:
    """Each documented mutation and query, against the real webserver and daemon."""
    text = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
    every_tag, some_tags, some_users, state, cancel, runs = re.findall(r"```graphql\n(.*?)```", text, re.S)

    def ask(document: str, **variables: str) -> dict[str, Any]:
        body = httpx.post(deployed.graphql, json={"query": document, "variables": variables}, timeout=60).json()
        assert "errors" not in body, body
        return dict(next(iter(body["data"].values())))

    started = [ask(document) for document in (every_tag, some_tags, some_users)]
    assert [answer["__typename"] for answer in started] == ["LaunchRunSuccess"] * 3
    run_ids = [answer["run"]["runId"] for answer in started]
    # A task that was started by GraphQL is the gateway's as well.
    tasks = [finished(api, run_id) for run_id in run_ids]
    assert [task["tag_ids"] for task in tasks] == [[], [1], [1]]
    assert [sorted(task["result"]["tags"], key=int) for task in tasks] == [list("12345678"), ["1"], ["1"]]
    assert [ask(state, runId=run_id)["status"] for run_id in run_ids] == ["SUCCESS"] * 3
    assert ask(cancel, runId=run_ids[0])["__typename"] == "TerminateRunFailure"
    waiting = [ask(some_tags)["run"]["runId"] for _ in range(4)][-1]
    assert ask(cancel, runId=waiting)["__typename"] == "TerminateRunSuccess"
    assert ask(state, runId=waiting)["status"] in ("CANCELED", "CANCELING")
    assert {*run_ids, waiting} <= {run["runId"] for run in ask(runs)["results"]}


def test_schemathesis_finds_nothing(deployed: Deployment, tmp_path: Path) -> None:
    """The OpenAPI description is true: a client that is generated from it meets no surprise.

    One check is left out: an unknown tag id is of the right form and is refused all the same.
    """
    tool = Path(sys.executable).parent / "schemathesis"
    options: tuple[str, ...] = (
        "-n",
        "10",
        "--phases",
        "examples,coverage,fuzzing",
        "--rate-limit",
        "30/s",
        "--seed",
        "7",
    )
    options += (
        "--request-timeout",
        "90",
        "-H",
        "Authorization: Bearer t1",
        "--exclude-checks",
        "positive_data_acceptance",
    )
    with deployed.gateway(TAG_PLATFORM_API_TOKENS="admin:t1"):
        ran = subprocess.run(
            [str(tool), "run", f"{deployed.api}/openapi.json", *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert "Tested: 11" in ran.stdout
