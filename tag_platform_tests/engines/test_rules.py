"""The evaluators agree: for the same rules and users every engine gives the oracle's TRUE, FALSE and UNKNOWN.

Every engine gets the hand-written cases of each operator and generated batches, many rules over many users in one
query. Sail and SQL get new batches in each run, and hypothesis shrinks what they disagree about.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings

from tag_platform.mysql import Database, connect
from tag_platform.settings import CHECKOUT, Settings
from tag_platform_tests import operator_cases
from tag_platform_tests.rule_engines import Batch, Truths, by_duckdb, by_mysql, by_spark, check_same, storable
from tag_platform_tests.rule_strategies import batches, generated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.engine
SPARK35 = CHECKOUT / ".venv-spark35" / "bin" / "python"
ENGINE = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def sail() -> Iterator[SparkSession]:
    from tag_platform.cli.rules_engines import engine_session

    with engine_session("sail", "UTC") as spark:
        yield spark


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.mark.parametrize("batch", operator_cases.batches(), ids=lambda batch: str(batch.as_of))
def test_cases_on_sail(sail: SparkSession, batch: Batch) -> None:
    """Every operator over every type, on the embedded engine."""
    check_same(batch, by_spark(sail, batch))


@settings(ENGINE, max_examples=25)
@given(batches(30, 10))
def test_generated_on_sail(sail: SparkSession, batch: Batch) -> None:
    """Generated rules over awkward values, on the embedded engine."""
    check_same(batch, by_spark(sail, batch))


@pytest.mark.parametrize("batch", operator_cases.batches(), ids=lambda batch: str(batch.as_of))
def test_cases_on_duckdb(duck: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    """Every operator over every type, as SQL in DuckDB."""
    check_same(batch, by_duckdb(duck, batch))


@settings(ENGINE, max_examples=10)
@given(batches(10, 10))
def test_generated_on_duckdb(duck: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    """Generated rules over awkward values, as SQL in DuckDB."""
    check_same(batch, by_duckdb(duck, batch))


@pytest.mark.integration
@pytest.mark.parametrize("batch", operator_cases.batches(), ids=lambda batch: str(batch.as_of))
def test_cases_on_mysql(services: Settings, batch: Batch) -> None:
    """Every operator over every type, as SQL in the platform's own database server."""
    with connect(Database.of(services)) as connection:
        check_same(storable(batch), by_mysql(connection, storable(batch)))


@pytest.mark.integration
@settings(ENGINE, max_examples=10)
@given(batches(10, 10))
def test_generated_on_mysql(services: Settings, batch: Batch) -> None:
    """Generated rules over awkward values, as SQL in the platform's own database server."""
    with connect(Database.of(services)) as connection:
        check_same(storable(batch), by_mysql(connection, storable(batch)))


@pytest.mark.spark
@pytest.mark.parametrize("version", ["4", "3.5"])
def test_on_apache_spark(version: str, tmp_path: Path) -> None:
    """Cases and generated batches on Apache Spark: on 4 with ANSI mode on and on 3.5 with it off, the defaults."""
    several = [*operator_cases.batches(), *generated(batches(30, 12), 2, seed=int(version[0]))]
    python, ansi = (sys.executable, "true") if version == "4" else (str(SPARK35), "false")
    for batch, truths in zip(several, ask_spark(python, several, ansi, tmp_path), strict=True):
        check_same(batch, truths)


def ask_spark(python: str, several: list[Batch], ansi: str, folder: Path) -> list[Truths]:
    """The truths of each batch, from a process of its own."""
    file = folder / "batches.jsonl"
    file.write_text("".join(batch.to_json() + "\n" for batch in several))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [python, "-m", "tag_platform_tests.engines.ask_rules", str(file), ansi],
        env={**environment, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line.removeprefix("truths ")) for line in done.stdout.splitlines() if line.startswith("truths ")]
