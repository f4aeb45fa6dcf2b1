"""Tables of a metastore (`catalog: db.table`) as sources: on real Spark with a Hive metastore; refused on Sail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tag_platform.catalog.migrate import migrate
from tag_platform.errors import TagPlatformError
from tag_platform.settings import CHECKOUT, PACKAGE, Settings
from tag_platform_tests.conftest import own_settings
from tag_platform_tests.platform import TODAY, run, tags_of

pytestmark = [pytest.mark.engine, pytest.mark.integration]
TABLES = ("user_basic_info", "user_asset_summary", "user_activity_summary")


@pytest.fixture
def settings(services: Settings, tmp_path: Path) -> Iterator[Settings]:
    """The three tables as tables of the database `tags`; the last one without partitions."""
    catalog = yaml.safe_load((PACKAGE / "catalog" / "sources.yaml").read_text())
    for name in TABLES:
        catalog["tables"][name]["catalog"] = f"tags.{catalog['tables'][name].pop('path')}"
    del catalog["tables"]["user_activity_summary"]["partition"]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False))
    variables = {
        "TAG_PLATFORM_WAREHOUSE": str(tmp_path / "warehouse"),
        "TAG_PLATFORM_LAKE": str(tmp_path / "lake"),
        "TAG_PLATFORM_SOURCES": str(tmp_path / "sources.yaml"),
        "TAG_PLATFORM_SHARDS": "1",
    }
    with own_settings(services, tmp_path, **variables) as made:
        migrate(made)
        yield made


def test_refused_without_a_metastore(settings: Settings) -> None:
    """The embedded engine has no metastore: that is said, and nothing is computed."""
    with pytest.raises(TagPlatformError, match=r"the metastore's table tags.user_\w+, and the embedded engine has"):
        run(settings)
    assert tags_of(settings) == {}


@pytest.mark.spark
@pytest.mark.usefixtures("settings")
def test_tables_of_a_hive_metastore() -> None:
    """The newest partition up to the run's date is read, of a table and of a view, beside a plain table. A second run
    sees the one file that changed, copies a view again since nothing tells whether it changed, and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tag_platform_tests.engines.metastore_case"],
        env={**environment, "SPARK_MASTER_URL": "local[2]", "SPARK_LOCAL_IP": "127.0.0.1"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["tags"] == [{"u1": [1, 7]}, {"u1": [1, 7], "u2": [1]}]
    first, second = told["sources"]
    assert {name: source["partition"] for name, source in first.items()} == {
        "user_basic_info": TODAY.isoformat(),
        "user_asset_summary": TODAY.isoformat(),
        "user_activity_summary": "",
    }
    assert {name: source["copied"] for name, source in first.items()} == dict.fromkeys(TABLES, True)
    assert {name: source["copied"] for name, source in second.items()} == {
        "user_basic_info": False,
        "user_asset_summary": True,
        "user_activity_summary": False,
    }
    assert {name: source["rows"] for name, source in second.items()} == dict.fromkeys(TABLES, 3)
