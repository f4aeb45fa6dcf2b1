"""The whole main path gives the same rows on every engine: sources → tags → merge over one input, then `user_tags` and
every snapshot are compared row by row with what the embedded engine wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.local import spark
from infra.local.ports import answers, free_block
from tag_platform.catalog.migrate import migrate
from tag_platform.settings import CHECKOUT, Settings
from tag_platform_tests.conftest import own_settings
from tag_platform_tests.engines.main_path import USERS, prepare_database, snapshots, stored, write_input
from tag_platform_tests.platform import TODAY, run

pytestmark = [pytest.mark.engine, pytest.mark.integration]
SPARK35 = CHECKOUT / ".venv-spark35" / "bin" / "python"
Written = tuple[list[tuple[Any, ...]], dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def prepared(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Warehouse and source catalog."""
    folder = tmp_path_factory.mktemp("input")
    settings = services.model_copy(update={"warehouse_given": str(folder / "warehouse")})
    return folder / "warehouse", write_input(folder, settings)


@contextmanager
def platform(services: Settings, prepared: tuple[Path, Path], folder: Path) -> Iterator[Settings]:
    """An empty platform over the input, with a lake on the local disk, which every engine can reach."""
    variables = {
        "TAG_PLATFORM_WAREHOUSE": str(prepared[0]),
        "TAG_PLATFORM_SOURCES": str(prepared[1]),
        "TAG_PLATFORM_LAKE": str(folder / "lake"),
        "TAG_PLATFORM_SHARDS": "4",
    }
    with own_settings(services, folder, **variables) as settings:
        migrate(settings)
        prepare_database(settings)
        yield settings


@pytest.fixture(scope="module")
def expected(services: Settings, prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What the embedded engine writes, as a Dagster run."""
    folder = tmp_path_factory.mktemp("sail")
    with platform(services, prepared, folder) as settings:
        outcome = run(settings)
        assert not outcome["broken"]
        assert len([tag for tag in outcome["tags"] if tag["hits"]]) == len(outcome["tags"]), "a rule that no user meets"
        written = stored(settings), snapshots(folder / "lake")
    assert len(written[0]) >= USERS
    tags = {user: set(tag_ids) for user, tag_ids, _ in written[0]}
    assert tags["user_000003"] >= {1, 2, 3}
    assert not tags["user_000004"] & set(range(1, 9))
    assert tags["nobody"] == {5}
    return written


def job(python: str, **variables: str) -> dict[str, Any]:
    """The main path without Dagster, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [python, "-m", "tag_platform.glue.job", "--mode", "task-all", "--as-of", TODAY.isoformat()],
        env={**environment, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(CHECKOUT), **variables},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def connect_server(log: Path) -> Iterator[str]:
    port = free_block(1)
    argv = spark.connect_server(port, "local[2]", {"spark.sql.ansi.enabled": "true"})
    with log.open("w") as output:
        server = subprocess.Popen(argv, env=spark.environment(), stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not answers(port):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, "the Connect server does not answer"
            time.sleep(0.3)
        yield f"sc://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.mark.parametrize(
    "engine",
    [
        "sail",
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("connect", marks=pytest.mark.spark),
        pytest.param("spark 3.5", marks=pytest.mark.spark),
    ],
)
def test_same_rows(
    engine: str, expected: Written, services: Settings, prepared: tuple[Path, Path], tmp_path: Path
) -> None:
    """`spark 3.5` runs where Dagster is not installed: the data plane has to do without it. Every cluster here has
    ANSI mode on, as Spark 4 has by default and an administrator of Spark 3.5 may: runs do not depend on it."""
    (tmp_path / "spark-defaults.conf").write_text("spark.sql.ansi.enabled true\nspark.ui.showConsoleProgress false\n")
    with platform(services, prepared, tmp_path) as settings:
        if engine == "connect":
            with connect_server(tmp_path / "connect.log") as remote:
                job(sys.executable, SPARK_REMOTE=remote)
        elif engine == "sail":
            job(sys.executable)
        else:
            python = str(SPARK35) if engine == "spark 3.5" else sys.executable
            job(python, SPARK_MASTER_URL="local[2]", SPARK_CONF_DIR=str(tmp_path))
        rows, lake = stored(settings), snapshots(tmp_path / "lake")
    assert rows == expected[0]
    files = Counter(file.parent for file in (tmp_path / "lake").rglob("shard=*/*.parquet"))
    assert set(files.values()) == {1}, "a shard of this size is one file"
    assert lake.keys() == expected[1].keys()
    for asset, contents in lake.items():
        assert contents == expected[1][asset], asset
