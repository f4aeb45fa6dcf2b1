"""The whole graph as one snapshot: assets, jobs, sensors, schedules, checks that come, go or move are seen in review.

After a change that is meant: `UPDATE_GRAPH=1 .venv/bin/pytest tag_platform_tests/unit/test_graph.py`, and commit
`graph.json`.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dagster import AssetSpec, Definitions, ScheduleDefinition, SensorDefinition

from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.defs.definitions import build_definitions
from tag_platform.settings import CHECKOUT, Settings

FILE = Path(__file__).with_name("graph.json")


def first_tags() -> Catalog:
    """The eight first tags as the migration writes them, and one whose rule is broken."""
    rows = importlib.import_module("tag_platform.catalog.migrations.versions.0002_first_tags").TAGS
    tags = []
    for tag_id, name, category, description, *leaves in rows:
        conditions = [dict(zip(("field", "operator", "value", "type"), leaf, strict=True)) for leaf in leaves]
        rule = json.dumps({"logic": "AND", "conditions": conditions}, ensure_ascii=False)
        tags.append(Tag(tag_id=tag_id, name=name, category=category, description=description, rules=(rule,)))
    return Catalog(tags=(*tags, Tag(tag_id=9, name="broken", category="其他")))


def graph(definitions: Definitions) -> dict[str, Any]:
    repository = definitions.get_repository_def()
    specs = sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string())
    checks = repository.asset_graph.asset_check_keys
    return {
        "assets": {spec.key.to_user_string(): asset(spec) for spec in specs},
        "checks": {
            f"{key.asset_key.to_user_string()}: {key.name}": (
                "blocking" if repository.asset_graph.get_check_spec(key).blocking else ""
            )
            for key in sorted(checks, key=str)
        },
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "sensors": {sensor.name: every(sensor) for sensor in repository.sensor_defs},
        "schedules": {schedule.name: every(schedule) for schedule in repository.schedule_defs},
    }


def asset(spec: AssetSpec) -> dict[str, Any]:
    return {
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "owners": list(spec.owners),
        "tags": {name: value for name, value in spec.tags.items() if not name.startswith("dagster/kind")},
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "code_version": spec.code_version,
        "partitions": len(spec.partitions_def.get_partition_keys()) if spec.partitions_def else None,
        "metadata": sorted(spec.metadata),
        "description": (spec.description or "").splitlines(),
    }


def every(started: SensorDefinition | ScheduleDefinition) -> list[Any]:
    """What it starts, when, and whether it is on from the start."""
    when = (
        started.minimum_interval_seconds
        if isinstance(started, SensorDefinition)
        else f"{started.cron_schedule} {started.execution_timezone}"
    )
    job = started.job_name if isinstance(started, ScheduleDefinition) or started.has_jobs else None
    return [job, when, started.default_status.value]


def test_the_graph_is_the_one_that_was_reviewed() -> None:
    settings = Settings(owners_given="team:growth, ann@example.com")
    found = graph(build_definitions(first_tags(), load_sources(settings.sources), settings))
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GRAPH"):
        FILE.write_text(text, encoding="utf-8")
    assert json.loads(text) == json.loads(FILE.read_text(encoding="utf-8"))


LOAD = """
import json, sys
import tag_platform
from dagster import Definitions
Definitions.validate_loadable(tag_platform.definitions)
keys = [spec.key.to_user_string() for spec in tag_platform.definitions.resolve_all_asset_specs()]
heavy = sorted({"pyspark", "pysail", "connectorx", "pandas", "boto3", "pyarrow"} & set(sys.modules))
print(json.dumps({"keys": keys, "heavy": heavy}))
"""


def load(home: Path) -> dict[str, Any]:
    """Loads the code location in a fresh interpreter to which no database answers."""
    environment = {"PATH": os.environ["PATH"], "TAG_PLATFORM_HOME": str(home), "MYSQL_HOST": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**environment, "MYSQL_PORT": "9"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_location_loads_without_a_database(tmp_path: Path) -> None:
    """A code server that starts while MySQL is away has the tags that it had; engines are imported by runs alone, so
    that loading stays quick (`python -m infra.benchmarks.load_time` measures it)."""
    without = load(tmp_path)
    assert "merged_user_tags" in without["keys"]
    assert not any(key.startswith("tag/") for key in without["keys"])
    (tmp_path / "catalog.json").write_text(first_tags().model_dump_json())
    found = load(tmp_path)
    assert {key for key in found["keys"] if key.startswith("tag/")} == {f"tag/tag_{n}" for n in range(1, 10)}
    assert found["heavy"] == []
