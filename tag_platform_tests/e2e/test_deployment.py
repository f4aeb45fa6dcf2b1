"""The local deployment as a person drives it: `up`, `status`, `down` on real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local.ports import answers
from tag_platform_tests.conftest import instance_environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
COMMAND = str(Path(sys.executable).parent / "tag-platform")


class Person:
    """Types commands with the variables of one deployment."""

    def __init__(self, home: Path) -> None:
        self.environment = {**os.environ, **instance_environment(home), "AWS_EC2_METADATA_DISABLED": "true"}
        for name in ("MYSQL_HOST", "S3_ENDPOINT", "DAGSTER_HOME"):
            self.environment.pop(name, None)

    def types(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments], env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )

    def status(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(self.types("status", "--json").stdout)}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path / "home")
    yield person
    person.types("down")


def test_up_status_and_down(person: Person) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=person.environment)
    try:
        assert {row["state"] for row in person.status().values()} == {"stopped"}
        prepared = person.types("init")
        assert prepared.returncode == 0, prepared.stderr
        assert "0001_tables" in prepared.stdout

        started = person.types("up")
        assert started.returncode == 0, started.stderr
        rows = person.status()
        assert {row["state"] for row in rows.values()} == {"running"}
        assert rows["webserver"]["address"] in started.stdout
        with urllib.request.urlopen(rows["webserver"]["address"] + "/server_info") as response:  # noqa: S310  (our own address)
            assert "dagster_webserver_version" in json.load(response)

        again = person.types("up")
        assert again.stderr.count("already running") == len(rows)
        assert {name: row["pid"] for name, row in person.status().items()} == {n: r["pid"] for n, r in rows.items()}

        refused = person.types("init", "--reset", "--yes")
        assert refused.returncode == 1
        assert "tag-platform down" in refused.stderr

        assert person.types("down").returncode == 0
        assert not any(psutil.pid_exists(row["pid"]) for row in rows.values())
        assert not any(answers(row["port"]) for row in rows.values() if row["port"])
        assert stranger.poll() is None, "a process that is not ours lives on"
    finally:
        stranger.kill()


def test_a_program_that_fails_shows_the_end_of_its_log(person: Person, tmp_path: Path) -> None:
    assert person.types("up", "--only", "database").returncode == 0
    assert person.types("down").returncode == 0
    (tmp_path / "home" / "mysql" / "data" / "ibdata1").write_bytes(b"damaged")
    failed = person.types("up", "--only", "database")
    assert failed.returncode == 1
    assert "database did not start" in failed.stderr
    assert "InnoDB" in failed.stderr


def test_an_unknown_program_and_a_bad_port_are_bad_input(person: Person) -> None:
    unknown = person.types("up", "--only", "databse")
    assert unknown.returncode == 2
    assert "object-store" in unknown.stderr
    person.environment["MYSQL_PORT"] = "90000"
    assert person.types("status").returncode == 2


def test_env_prints_what_plain_dagster_needs(person: Person) -> None:
    lines = person.types("env").stdout.splitlines()
    assert f"export TAG_PLATFORM_HOME={person.environment['TAG_PLATFORM_HOME']}" in lines
    assert any(line.startswith("export TAG_PLATFORM_DAGSTER_URL=") for line in lines)
