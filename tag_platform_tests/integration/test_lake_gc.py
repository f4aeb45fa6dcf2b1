"""`lake gc` removes what nothing needs, and nothing else."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRunStatus

from tag_platform.cli import cli
from tag_platform.cli.history import user_history
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.lake.gc import list_snapshots
from tag_platform.lake.snapshots import new_snapshot
from tag_platform.settings import Settings
from tag_platform_tests.platform import TODAY, query, run, tags_of, write_people

pytestmark = [pytest.mark.integration, pytest.mark.engine]
USERS = [f"u{n:02d}" for n in range(40)]


def gc(*options: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["--log-level", "ERROR", "lake", "gc", "--json", *options], catch_exceptions=False)
    return dict(json.loads(result.stdout))


def paths(settings: Settings) -> set[str]:
    return {snapshot.path for snapshot in list_snapshots(settings)}


def people(settings: Settings, day: date, age: int) -> None:
    write_people(settings, USERS, day, age=[age] * len(USERS))


def test_only_what_nothing_needs_is_removed(module_settings: Settings) -> None:
    """Runs go on after a clean-up, users keep their tags, and whatever may still be read stays."""
    settings = module_settings
    people(settings, TODAY - timedelta(days=1), 20)
    first = run(settings, as_of=(TODAY - timedelta(days=1)).isoformat())["run_id"]
    before = paths(settings)
    people(settings, TODAY, 50)
    run(settings)
    run(settings, tag_ids=[1])  # most tags are then older than the newest snapshot
    after = paths(settings)

    # Young enough to be undone.
    assert gc()["removed"] == 0
    # A run that is still under way may have planned with what was the latest when it began.
    with DagsterInstance.get() as instance:
        under_way = instance.create_run_for_job(_any_job(settings), status=DagsterRunStatus.STARTED)
        people(settings, TODAY + timedelta(days=1), 20)
        run(settings, as_of=(TODAY + timedelta(days=1)).isoformat())
        gc("--keep-days", "0")
        left = paths(settings)
        assert {path for path in after - before if "/source/" in path} <= left
        instance.report_run_failed(under_way)
    # A stranger's folder, and one that is too odd to be a snapshot, are nobody's to remove.
    filesystem, root = open_filesystem(settings.lake, settings)
    for folder in ("tags/notes", "elsewhere/20200101T000000-abcdef01-abcdef"):
        filesystem.create_dir(f"{root}/{folder}", recursive=True)
        with filesystem.open_output_stream(f"{root}/{folder}/file") as file:
            file.write(b"kept")

    gc("--keep-days", "0", "--dry-run")
    assert paths(settings) == left
    # A merge of some users since the last one of all: the table was made from both.
    run(settings, as_of=(TODAY + timedelta(days=1)).isoformat(), user_ids=["u01", "u02"], tag_ids=[1, 4])
    would = gc("--keep-days", "0", "--dry-run")
    done = gc("--keep-days", "0")
    assert table_equals_lake(settings)
    assert done["removed"] == would["removed"] > 0
    remaining = paths(settings)
    assert len(remaining) == done["kept"]
    assert len([path for path in remaining if "/source/" in path]) == 3
    assert gc("--keep-days", "0")["removed"] == 0
    for folder in ("tags/notes", "elsewhere/20200101T000000-abcdef01-abcdef"):
        assert filesystem.get_file_info(f"{root}/{folder}/file").size == 4

    tags = tags_of(settings)
    again = run(settings, as_of=(TODAY + timedelta(days=1)).isoformat(), reconcile=True)
    assert not any(source["copied"] for source in again["sources"].values())
    assert tags_of(settings) == tags
    assert first not in {change["run_id"] for change in user_history("u01", settings)}
    undone = CliRunner().invoke(cli, ["--log-level", "ERROR", "undo", first])
    assert undone.exception is not None
    assert "removed from the lake" in str(undone.exception)
    assert query(settings, "SELECT COUNT(*) FROM user_tags") == [(len(tags),)]


def test_the_jobs_run_as_any_other(module_settings: Settings) -> None:
    """`lake_gc` and `health`, as the schedule and people start them."""
    from tag_platform.defs.lake_gc import lake_gc_job

    people(module_settings, TODAY, 30)
    run(module_settings)
    before = paths(module_settings)
    with DagsterInstance.get() as instance:
        config = {"ops": {"lake_gc": {"config": {"keep_days": 0}}}}
        assert lake_gc_job(module_settings).execute_in_process(run_config=config, instance=instance).success
        result = _any_job(module_settings).execute_in_process(instance=instance)
    assert paths(module_settings) <= before
    (output,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    said = {name: str(value.value) for name, value in output.step_output_data.metadata.items()}
    assert said["database"].startswith("ok: ")
    assert said["engine"].startswith("ok: sail")
    assert said["gateway"].startswith("down: ")


def table_equals_lake(settings: Settings) -> bool:
    """Whether the check that compares the table with the lake passes."""
    from tag_platform.catalog.sources import load_sources
    from tag_platform.catalog.tags import load_catalog
    from tag_platform.defs.definitions import build_definitions
    from tag_platform.mysql import Database

    catalog = load_catalog(Database.of(settings))
    job = build_definitions(catalog, load_sources(settings.sources), settings).resolve_job_def("check_table")
    with DagsterInstance.get() as instance:
        result = job.execute_in_process(instance=instance)
    (check,) = result.get_asset_check_evaluations()
    assert check.description != "Nothing was merged yet."
    return check.passed


def _any_job(settings: Settings) -> Any:
    from tag_platform.defs.health_job import health_job

    return health_job(settings)


def test_names_tell_snapshots_from_everything_else(tmp_path: Path) -> None:
    """What `new_snapshot` makes is found, whatever the run's id; a path that is no snapshot is not."""
    settings = Settings(lake_given=str(tmp_path))
    made = [new_snapshot(settings.lake, name, "0a1b2c3d-rest") for name in ("source/a", "tags", "merged_user_tags")]
    made.append(new_snapshot(settings.lake, "tags", "0a1b2c3d") + "-again")
    for path in [*made, f"{settings.lake}/tags/other", f"{settings.lake}/20261101T000000-0a1b2c3d-aaaaaa"]:
        Path(path.removeprefix("file://")).mkdir(parents=True)
    assert paths(settings) == set(made)
