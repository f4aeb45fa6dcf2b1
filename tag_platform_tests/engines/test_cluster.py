"""A standalone master and two workers on this machine: a worker that is killed in the middle of a run changes nothing
in what the run writes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.local import spark
from infra.local.ports import answers, free_block
from tag_platform.settings import Settings
from tag_platform_tests.engines.main_path import snapshots, stored
from tag_platform_tests.engines.test_equality import Written, expected, job, platform, prepared

__all__ = ["expected", "prepared"]  # fixtures
pytestmark = [pytest.mark.engine, pytest.mark.integration, pytest.mark.spark]


@contextmanager
def started(argv: tuple[str, ...], log: Path, port: int) -> Iterator[subprocess.Popen[Any]]:
    """One of Spark's programs, once it answers, in a process group of its own; ended with all it started."""
    with log.open("w") as output:
        process = subprocess.Popen(
            argv, env=spark.environment(), stdout=output, stderr=output, start_new_session=True, cwd=log.parent
        )
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, f"no answer on {port}"
            time.sleep(0.2)
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def test_a_worker_dies(
    expected: Written,
    services: Settings,
    prepared: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    first = free_block(4)
    with (
        started(spark.master(first, first + 1), tmp_path / "master.log", first),
        started(spark.worker(first, first + 2, tmp_path / "w1"), tmp_path / "w1.log", first + 2) as victim,
        started(spark.worker(first, first + 3, tmp_path / "w2"), tmp_path / "w2.log", first + 3) as survivor,
        platform(services, prepared, tmp_path) as settings,
    ):
        killed_at: list[str] = []

        def kill_in_the_middle() -> None:
            """As soon as the first source is written, while the others and everything after them are to come."""
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                if any((tmp_path / "lake").glob("source/*/*/_SUCCESS")):
                    killed_at.extend(str(path) for path in (tmp_path / "lake").glob("tags/*"))
                    kill(victim)
                    # Its executor is a process of its own, which dies with its worker's group.
                    return
                time.sleep(0.05)

        murderer = threading.Thread(target=kill_in_the_middle)
        murderer.start()
        job(spark.PYTHON, SPARK_MASTER_URL=f"spark://127.0.0.1:{first}")
        murderer.join()
        assert victim.poll() is not None, "no worker was killed"
        assert killed_at == [], "it was killed too late"
        assert survivor.poll() is None
        assert stored(settings) == expected[0]
        assert snapshots(tmp_path / "lake") == expected[1]
