"""One session per engine for all engine tests: Sail in this process, and Apache Spark in a process of its own, since a
Python process can hold only one kind of Spark session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter

from tag_platform.compute.report import Report
from tag_platform.settings import CHECKOUT


class PlanRunner:
    """Runs plan files, in order, with the engine that `SPARK_MASTER_URL` asks for (none: Sail), as a launcher would:
    another process, a plan in, a report out."""

    def __init__(self, master: str | None, python: str = sys.executable) -> None:
        self.master = master
        self.python = python

    def run(self, folder: Path, *plans: str) -> list[Report]:
        names = []
        for number, plan in enumerate(plans):
            name = folder / f"plan-{number}.json"
            name.write_text(plan)
            names.append(str(name))
        # PySpark leaves marks in the environment of a process that had a session of another kind.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
        environment |= {
            "SPARK_MASTER_URL": self.master or "",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYTHONPATH": str(CHECKOUT),
        }
        environment |= {"TAG_PLATFORM_LAKE": str(folder), "TAG_PLATFORM_WAREHOUSE": str(folder)}  # no S3 client needed
        done = subprocess.run(
            [self.python, "-m", "tag_platform_tests.engines.run_plans", *names],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        read: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])
        return [read.validate_json(line) for line in done.stdout.splitlines() if line.startswith('{"path"')]


@pytest.fixture(params=["sail", pytest.param("spark", marks=pytest.mark.spark)])
def engine(request: pytest.FixtureRequest) -> PlanRunner:
    return PlanRunner("local[2]" if request.param == "spark" else None)
