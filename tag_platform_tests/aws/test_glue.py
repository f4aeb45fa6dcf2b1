"""Dagster runs whose plans are Glue job runs: the same rows, and the right end whatever happens to the job run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tag_platform.catalog.migrate import migrate
from tag_platform.errors import TagPlatformError
from tag_platform.settings import Settings, load_settings
from tag_platform_tests.aws.conftest import deploy, glue_settings, make_account
from tag_platform_tests.aws.fake_glue import FakeGlue
from tag_platform_tests.conftest import own_settings
from tag_platform_tests.engines.main_path import prepare_database, snapshots, stored, write_input
from tag_platform_tests.platform import TODAY, run

pytestmark = [pytest.mark.integration, pytest.mark.spark]


@pytest.fixture(scope="module")
def glue(aws: FakeGlue, services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:  # noqa: ARG001
    """A deployed environment with input, whose lake is a folder that job runs reach."""
    folder = tmp_path_factory.mktemp("glue")
    variables = {
        "TAG_PLATFORM_WAREHOUSE": str(folder / "warehouse"),
        "TAG_PLATFORM_LAKE": str(folder / "lake"),
        "TAG_PLATFORM_SHARDS": "4",
        "TAG_PLATFORM_GLUE_POLL_SECONDS": "0.3",
        "DEV_MYSQL_HOST": services.mysql_host,
    }
    with own_settings(services, folder, **variables) as local, pytest.MonkeyPatch.context() as patch:
        patch.delenv("S3_ENDPOINT")
        migrate(local)
        prepare_database(local)
        patch.setenv("TAG_PLATFORM_SOURCES", str(write_input(folder, local)))
        settings = glue_settings(patch)
        make_account(settings)
        deploy(settings)
        yield settings


@pytest.fixture(scope="module")
def expected(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the embedded engine writes over the same input."""
    folder = tmp_path_factory.mktemp("sail")
    variables = {
        "TAG_PLATFORM_WAREHOUSE": str(folder / "warehouse"),
        "TAG_PLATFORM_LAKE": str(folder / "lake"),
        "TAG_PLATFORM_SHARDS": "4",
    }
    with own_settings(services, folder, **variables) as local, pytest.MonkeyPatch.context() as patch:
        migrate(local)
        prepare_database(local)
        patch.setenv("TAG_PLATFORM_SOURCES", str(write_input(folder, local)))
        run(load_settings())
        return stored(local), snapshots(folder / "lake")


def test_main_path(expected: Any, aws: FakeGlue, glue: Settings) -> None:
    """The first start is throttled, the second finds Glue busy, the first run dies without a word, and the messages of
    the last one are cut off: the rows are the embedded engine's, and the run says what it cost."""
    aws.faults.extend(["throttle", "busy", "die", "", "", "", "", "cut"])
    outcome = run(glue)
    assert not outcome["broken"]
    assert stored(glue) == expected[0]
    lake = Path(glue.lake.removeprefix("file://"))
    assert snapshots(lake) == expected[1]
    assert not aws.faults
    states = [job_run.state for job_run in aws.runs.values()]
    assert states == ["FAILED", *["SUCCEEDED"] * 6], "four sources (one twice), tags, merge"


def test_every_asset_says_where_it_ran(glue: Settings, expected: Any) -> None:  # noqa: ARG001 (the run before)
    """Job run, console link, DPU seconds and cost are in the metadata of each materialization."""
    from dagster import AssetKey, DagsterInstance

    with DagsterInstance.get() as instance:
        for key in (["source", "user_edge"], ["tag", "tag_1"], ["merged_user_tags"]):
            event = instance.get_latest_materialization_event(AssetKey(key))
            assert event is not None
            assert event.asset_materialization is not None
            metadata = {name: value.value for name, value in event.asset_materialization.metadata.items()}
            assert str(metadata["glue_job_run"]).startswith("jr_")
            assert str(metadata["glue_console"]).endswith(f"/run/{metadata['glue_job_run']}")
            assert float(str(metadata["glue_dpu_seconds"])) > 0
            assert float(str(metadata["glue_cost_usd"])) > 0


def test_log_lines_come_live(aws: FakeGlue, glue: Settings, expected: Any) -> None:  # noqa: ARG001 (the run before)
    """What the job says is in the run's log while the job runs, and not when it has ended."""
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        found = instance.get_run_records(limit=1)[0]
        logged = [(entry.timestamp, entry.user_message) for entry in instance.all_logs(found.dagster_run.run_id)]
    source = next(job_run for job_run in aws.runs.values() if job_run.state == "SUCCEEDED")
    assert source.ended is not None
    first = next(moment for moment, words in logged if "Glue job run" in words and source.run_id in words)
    assert first < source.ended
    assert any("copy user_" in words and "rows" in words for _, words in logged)


def test_nothing_waits_for_ever(aws: FakeGlue, glue: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that expired is tried again; one that hangs is stopped at the time limit; both end with a reason."""
    before = stored(glue)
    aws.faults.extend(["EXPIRED", "hang"])
    monkeypatch.setenv("TAG_PLATFORM_GLUE_TIMEOUT_MINUTES", "0.05")
    with pytest.raises(TagPlatformError, match=r"is RUNNING after 0.05 minutes .* it was stopped"):
        run(load_settings(), user_ids=["user_000001"], tag_ids=[1])
    assert [job_run.state for job_run in list(aws.runs.values())[-2:]] == ["EXPIRED", "STOPPED"]
    assert stored(glue) == before


@pytest.mark.parametrize(("state", "attempts"), [("TIMEOUT", 1), ("STOPPED", 1), ("ERROR", 2)])
def test_ends_otherwise(aws: FakeGlue, glue: Settings, state: str, attempts: int) -> None:
    """What Glue ended for its length, or a person stopped, is not begun again; what broke is. No state is waited for
    without end."""
    before, seen = stored(glue), len(aws.runs)
    aws.faults.extend([state] * attempts)
    with pytest.raises(TagPlatformError, match=state):
        run(glue, user_ids=["user_000001"], tag_ids=[1])
    assert [job_run.state for job_run in list(aws.runs.values())[seen:]] == [state] * attempts
    assert stored(glue) == before


def test_the_job_refuses(aws: FakeGlue, glue: Settings) -> None:
    """What the platform refuses inside the job ends the run with the words of a local run, at the first attempt."""
    before, seen = stored(glue), len(aws.runs)
    folder = Path(glue.warehouse.removeprefix("file://"), "user_asset_summary", f"dt={TODAY}")
    twice = folder / "part-twice.parquet"
    twice.write_bytes(next(folder.glob("part-0*.parquet")).read_bytes())
    try:
        with pytest.raises(TagPlatformError, match="user_asset_summary holds some users more than once, for example"):
            run(glue)
    finally:
        twice.unlink()
    assert [job_run.state for job_run in list(aws.runs.values())[seen:]] == ["FAILED"]
    assert stored(glue) == before


def test_dies_every_time(aws: FakeGlue, glue: Settings) -> None:
    """After the last attempt the run fails, with the job's own last words."""
    before = stored(glue)
    aws.faults.extend(["die", "die"])
    with pytest.raises(TagPlatformError, match=r"completed with status FAILED .*[\s\S]*Exit code -9"):
        run(glue, user_ids=["user_000001"], tag_ids=[1])
    assert stored(glue) == before


def test_cancelled(aws: FakeGlue, glue: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever interrupts the waiting run ends its Glue job run too."""
    aws.faults.append("hang")
    seen, stop_at = len(aws.requests), time.monotonic() + 2

    def interrupted(seconds: float) -> None:
        threading.Event().wait(seconds)
        waiting = threading.current_thread() is threading.main_thread() and "GetJobRun" in aws.requests[seen:]
        if waiting and time.monotonic() > stop_at and "BatchStopJobRun" not in aws.requests[seen:]:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    with pytest.raises(BaseException):  # noqa: B017, PT011 (Dagster's own word for it)
        run(glue, user_ids=["user_000001"], tag_ids=[1])
    assert "BatchStopJobRun" in aws.requests[seen:]
    assert list(aws.runs.values())[-1].state == "STOPPED"


@pytest.mark.parametrize(
    ("arguments", "state", "words"),
    [
        ({"--mode": "list-tasks"}, "SUCCEEDED", "高净值用户"),
        ({"--mode": "health"}, "SUCCEEDED", '"spark": "3.5.6"'),
        ({"--mode": "task-users", "--user-ids": "user_000002", "--tag-ids": "1,3"}, "SUCCEEDED", '"users": 1'),
        ({"--mode": "task-tags"}, "FAILED", "--mode task-tags needs --tag-ids"),
        ({"--mode": "task-tags", "--tag-ids": "4711"}, "FAILED", "unknown: 4711"),
    ],
)
def test_modes_without_dagster(
    aws: FakeGlue, glue: Settings, arguments: dict[str, str], state: str, words: str
) -> None:
    """`aws glue start-job-run --arguments …`, without Dagster: the modes, and how they refuse."""
    if "task" in arguments["--mode"]:
        arguments = {**arguments, "--as-of": TODAY.isoformat()}
    run_id = boto3.client("glue").start_job_run(JobName=glue.glue_job, Arguments=arguments)["JobRunId"]
    deadline = time.monotonic() + 300
    while aws.runs[run_id].ended is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    job_run = aws.runs[run_id]
    assert (job_run.state, words in job_run.output) == (state, True), job_run.output[-2000:]
    assert glue.mysql_password.get_secret_value() not in job_run.output + json.dumps(job_run.arguments)
