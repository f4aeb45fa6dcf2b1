"""Fixtures on real parts: a private database server and object store, started once per session in a folder of their
own on free ports (or the ones that MYSQL_HOST and S3_ENDPOINT name), with fresh databases and prefixes per module."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tag_platform.catalog.migrate import migrate
from tag_platform.settings import Settings, load_settings

_numbers = itertools.count(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables that lead to the session's database server and object store."""
    from infra.local import deployment

    home = tmp_path_factory.mktemp("home")
    environment = {"TAG_PLATFORM_HOME": str(home)}
    if "MYSQL_HOST" not in os.environ:
        environment["MYSQL_PORT"] = str(free_port())
    if "S3_ENDPOINT" not in os.environ:
        environment["TAG_PLATFORM_S3_PORT"] = str(free_port())
    for name in ("UI", "CODE_SERVER"):
        environment[f"TAG_PLATFORM_{name}_PORT"] = str(free_port())
    environment["API_PORT"] = str(free_port())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
        deployment.ensure_services(settings)
        yield environment
        deployment.down(settings)


@pytest.fixture(scope="module")
def module_settings(services: dict[str, str]) -> Iterator[Settings]:
    """Settings for an empty platform: fresh databases with the schema and the eight tags, an empty warehouse and lake.
    They are this process's environment while the module runs."""
    from infra.local import deployment

    number = next(_numbers)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in services.items():
            patch.setenv(name, value)
        patch.setenv("MYSQL_DATABASE", f"tag_system_{number}")
        patch.setenv("TAG_PLATFORM_DAGSTER_DATABASE", f"tag_dagster_{number}")
        patch.setenv("TAG_PLATFORM_SHARDS", "4")  # fewer events than by default: the tests are many runs
        bucket = load_settings().bucket
        patch.setenv("TAG_PLATFORM_WAREHOUSE", f"s3://{bucket}/test-{number}/warehouse")
        patch.setenv("TAG_PLATFORM_LAKE", f"s3://{bucket}/test-{number}/lake")
        settings = load_settings()
        for name, value in settings.environment().items():
            patch.setenv(name, value)
        deployment.ensure_services(settings)
        migrate(settings)
        yield settings
