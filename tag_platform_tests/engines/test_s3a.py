"""Warehouse and lake in the S3 object store, through S3A: the client comes from Maven Central, in the parts it uses."""

from __future__ import annotations

import sys

import pytest

from tag_platform.catalog.migrate import migrate
from tag_platform.sample_data import warehouse
from tag_platform.settings import Settings
from tag_platform_tests.conftest import own_settings
from tag_platform_tests.engines.test_equality import job
from tag_platform_tests.platform import TODAY, run, tags_of

pytestmark = [pytest.mark.engine, pytest.mark.integration, pytest.mark.spark]


def test_s3a(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What Spark reads from and writes to the object store is what the embedded engine does."""
    with own_settings(services, tmp_path_factory.mktemp("s3a"), TAG_PLATFORM_SHARDS="4") as settings:
        migrate(settings)
        warehouse.write(settings, warehouse.Request(500, 7, 1, TODAY), lambda line: None)  # noqa: ARG005
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
