"""Warehouse and lake in the S3 object store, through S3A: the client comes from Maven Central, in the parts it uses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tag_platform.catalog.migrate import migrate
from tag_platform.sample_data import warehouse
from tag_platform.settings import Settings
from tag_platform_tests.conftest import own_settings
from tag_platform_tests.engines.test_equality import job
from tag_platform_tests.platform import TODAY, run, tags_of

pytestmark = [pytest.mark.engine, pytest.mark.integration, pytest.mark.spark]


@pytest.fixture(scope="module")
def settings(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with own_settings(services, tmp_path_factory.mktemp("s3a"), TAG_PLATFORM_SHARDS="4") as made:
        migrate(made)
        warehouse.write(made, warehouse.Request(500, 7, 1, TODAY), lambda line: None)  # noqa: ARG005
        yield made


def test_s3a(settings: Settings) -> None:
    """What Spark reads from and writes to the object store is what the embedded engine does."""
    try:
        job(sys.executable, SPARK_MASTER_URL="local[2]", SPARK_REMOTE="")  # empty counts as unset
    except AssertionError as error:
        if "unresolved dependency" in str(error).lower():
            pytest.skip("Maven Central is not reached, from where Spark's S3 client comes")
        raise
    spark_tags = tags_of(settings)
    outcome = run(settings)  # the embedded engine finds nothing to change
    assert outcome["user_tags"] == {"inserted": 0, "updated": 0, "unchanged": len(spark_tags)}
    assert len(spark_tags) > 300


@pytest.mark.usefixtures("settings")
def test_without_maven_central(tmp_path: Path) -> None:
    """Where the client cannot be fetched, `run` says so in a sentence, and what to do about it."""
    nowhere = tmp_path / "ivysettings.xml"
    nowhere.write_text(
        f'<ivysettings><settings defaultResolver="none"/><resolvers><filesystem name="none">'
        f'<artifact pattern="{tmp_path}/none/[artifact].[ext]"/></filesystem></resolvers></ivysettings>'
    )
    defaults = f"spark.jars.ivySettings {nowhere}\nspark.jars.ivy {tmp_path}/ivy\n"
    (tmp_path / "spark-defaults.conf").write_text(defaults)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [Path(sys.executable).parent / "tag-platform", "run", "--tags", "1", "--as-of", TODAY.isoformat()],
        env={**environment, "SPARK_MASTER_URL": "local[2]", "SPARK_CONF_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "SPARK_MASTER_URL=local[2]) does not start" in done.stderr
    assert "fetched from Maven Central the first time" in done.stderr
    assert "TAG_PLATFORM_SPARK_PACKAGES=none" in done.stderr
    assert "Traceback" not in done.stderr
