"""`up --with spark,notebook`: a standalone Spark cluster and JupyterLab beside the local deployment, on real processes;
and the example notebook, executed."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from infra.local.notebook import EXAMPLE
from infra.local.ports import answers, free_block
from tag_platform.catalog.migrate import migrate
from tag_platform.sample_data import warehouse
from tag_platform.settings import Settings
from tag_platform_tests.conftest import own_settings
from tag_platform_tests.e2e.test_deployment import Person
from tag_platform_tests.platform import TODAY, run

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CLUSTER = ["spark-master", "spark-worker-1", "spark-worker-2"]


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path / "home")
    first = free_block(5)
    for name, port in (("SPARK_UI", first), ("SPARK", first + 3), ("NOTEBOOK", first + 4)):
        person.environment[f"TAG_PLATFORM_{name}_PORT"] = str(port)
    yield person
    person.types("down")


@pytest.mark.spark
def test_cluster_and_notebook(person: Person) -> None:
    """They start beside the rest, are shown by `status`, refuse who has no token, and end with `down`."""
    assert person.types("up", "--with", "flink").returncode == 2
    only = ("--only", ",".join([*CLUSTER, "notebook"]))
    with socket.create_server(("127.0.0.1", int(person.environment["TAG_PLATFORM_NOTEBOOK_PORT"]))):
        taken = person.types("up", "--with", "notebook", "--only", "notebook")
    assert taken.returncode == 2
    assert "TAG_PLATFORM_NOTEBOOK_PORT" in taken.stderr

    started = person.types("up", "--with", "spark,notebook", *only)
    assert started.returncode == 0, started.stderr
    rows = {name: row for name, row in person.status().items() if row["state"] != "stopped"}
    assert sorted(rows) == sorted([*CLUSTER, "notebook"])
    assert {row["state"] for row in rows.values()} == {"running"}

    page = f"http://127.0.0.1:{person.environment['TAG_PLATFORM_SPARK_UI_PORT']}/json/"
    deadline = time.monotonic() + 60
    while (cluster := read_json(page))["aliveworkers"] < 2:
        assert time.monotonic() < deadline, "the workers do not find their master"
        time.sleep(0.2)
    assert cluster["url"] == f"spark://127.0.0.1:{person.environment['TAG_PLATFORM_SPARK_PORT']}"

    contents = f"http://127.0.0.1:{rows['notebook']['port']}/api/contents"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        read_json(contents)
    found = read_json(f"{contents}?token=tag_system_2024")["content"]
    assert [entry["name"] for entry in found] == [EXAMPLE.name]

    assert person.types("up", "--only", "notebook").returncode == 0
    assert {name: person.status()[name]["pid"] for name in rows} == {n: row["pid"] for n, row in rows.items()}
    for row in rows.values():
        listening = {c.laddr.ip for p in family(row["pid"]) for c in p.net_connections() if c.status == "LISTEN"}
        assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}, row["name"]
    assert person.types("down").returncode == 0
    assert not any(psutil.pid_exists(row["pid"]) for row in rows.values())
    assert not any(answers(row["port"]) for row in rows.values())
    assert "spark-master" not in person.status()


def test_the_example_notebook(services: Settings, tmp_path: Path) -> None:
    """Every cell of the example runs over a lake, rules and `user_tags` that a run has filled."""
    with own_settings(services, tmp_path, TAG_PLATFORM_SHARDS="4") as settings:
        migrate(settings)
        warehouse.write(settings, warehouse.Request(500, 7, 1, TODAY), lambda line: None)  # noqa: ARG005
        outcome = run(settings)
        read: Any = nbformat.reads
        notebook = read(EXAMPLE.read_text(), as_version=4)
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
        shown = json.dumps(notebook, ensure_ascii=False)
    assert f"{outcome['user_tags']['inserted']:,} rows" in shown
    assert "高净值用户" in shown
    assert settings.mysql_password.get_secret_value() not in shown


def read_json(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=30) as response:  # noqa: S310 (our own address)
        return json.load(response)


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
