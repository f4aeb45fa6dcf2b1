"""A code server, a webserver and a daemon of our own, on free ports, over an own database server: for tests that need
to see what people would see."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from tag_platform.settings import CHECKOUT

SCRIPTS = Path(sys.executable).parent


@dataclass
class Processes:
    """The running processes: their settings as variables, the addresses of GraphQL and of the database."""

    environment: dict[str, str]
    ui_port: int
    mysql_port: int
    database: subprocess.Popen[bytes]

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def _connect(self) -> pymysql.connections.Connection[Any]:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.mysql_port,
            user="tag_user",
            password="tag_pass",
            database="tag_system",
            autocommit=True,
            charset="utf8mb4",
            ssl_disabled=True,
        )

    def graphql(self, query: str, **variables: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ui_port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 (our own loopback address)
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def launch(self, job: str, config: Any = None, assets: Sequence[Sequence[str]] = (), **tags: str) -> str:
        """Submits a run to the queue and returns its id. `tags` are run tags, written with __ for /."""
        selection = [{"path": list(path)} for path in assets] or None
        answer = self.graphql(
            LAUNCH,
            params={
                "selector": {**REPOSITORY, "jobName": job, "assetSelection": selection},
                "runConfigData": config or {},
                "executionMetadata": {"tags": [{"key": k.replace("__", "/"), "value": v} for k, v in tags.items()]},
            },
        )["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def runs(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest runs first, with `tags` as a dict."""
        found = self.graphql(RUNS, limit=limit)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]


LAUNCH = """
mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }
"""
RUNS = """
query ($limit: Int!) { runsOrError(limit: $limit) { ... on Runs { results {
  runId jobName status startTime endTime parentRunId tags { key value } } } } }
"""
TICKS = """
query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
  sensorState { ticks(limit: 1) { status skipReason } } } } }
"""
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "tag_platform"}


def last_tick(running: Processes) -> str | None:
    """What the sensor `live_tags` said last."""
    selector = {**REPOSITORY, "sensorName": "live_tags"}
    ticks = running.graphql(TICKS, selector=selector)["sensorOrError"]["sensorState"]["ticks"]
    return str(ticks[0]["skipReason"]) if ticks else None


def eventually(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Waits until the condition holds; fails with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def dagster_processes(folder: Path, warehouse: Path, **variables: str) -> Iterator[Processes]:
    """Starts everything below `folder`, with more `variables`; ends everything at exit."""
    mysql_port, code_port, ui_port = free_port(), free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TAG_", "MYSQL_", "DAGSTER_"))},
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_PORT": str(mysql_port),
        "TAG_PLATFORM_HOME": str(folder / "home"),
        "TAG_PLATFORM_WAREHOUSE": str(warehouse),
        "TAG_PLATFORM_LAKE": str(folder / "lake"),
        "TAG_PLATFORM_DAGSTER_STATE": str(folder / "state"),
        "TAG_PLATFORM_SHARDS": "2",
        "TAG_PLATFORM_CODE_SERVER_PORT": str(code_port),
        "TAG_PLATFORM_UI_PORT": str(ui_port),
        "TAG_PLATFORM_DAGSTER_URL": f"mysql+pymysql://tag_user:tag_pass@127.0.0.1:{mysql_port}/tag_dagster"
        "?ssl_disabled=true",
        "DAGSTER_HOME": str(folder),
        **variables,
    }
    shutil.copy(CHECKOUT / "dagster.yaml", folder)
    (folder / "home").mkdir()
    with ExitStack() as stack:
        database = stack.enter_context(_database(folder, mysql_port))
        subprocess.run([sys.executable, "-c", _MIGRATE], env=environment, check=True, cwd=CHECKOUT, capture_output=True)
        host = ("--host", "127.0.0.1", "--port", str(code_port))
        workspace = ("-w", str(CHECKOUT / "workspace.yaml"))
        stack.enter_context(
            _process(folder, environment, "dagster", "code-server", "start", "-m", "tag_platform", *host)
        )
        eventually(lambda: listens(code_port), "the code server listens", 60)
        stack.enter_context(
            _process(folder, environment, "dagster-webserver", "-h", "127.0.0.1", "-p", str(ui_port), *workspace)
        )
        stack.enter_context(_process(folder, environment, "dagster-daemon", "run", *workspace))
        eventually(lambda: listens(ui_port), "the webserver listens", 60)
        yield Processes(environment, ui_port, mysql_port, database)


_MIGRATE = "from tag_platform.catalog.migrate import migrate; from tag_platform.settings import load_settings; \
migrate(load_settings())"
_DATABASES = """
CREATE DATABASE tag_system CHARACTER SET utf8mb4; CREATE DATABASE tag_dagster CHARACTER SET utf8mb4;
CREATE USER tag_user@'%' IDENTIFIED BY 'tag_pass'; GRANT ALL ON *.* TO tag_user@'%'
"""


@contextmanager
def _database(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    data = folder / "mysql"
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    install += ["--auth-root-authentication-method=normal", "--user=root"]
    subprocess.run(install, check=True, capture_output=True)
    with _process(folder, dict(os.environ), *database_command(folder, port)) as process:
        eventually(lambda: listens(port), "the database listens", 60)
        connection = pymysql.connect(unix_socket=str(folder / "s.sock"), user="root")
        with connection, connection.cursor() as cursor:
            for statement in _DATABASES.split(";"):
                cursor.execute(statement)
        yield process


def database_command(folder: Path, port: int) -> list[str]:
    # A server that starts removes what looks like a temporary table, those of others included.
    (folder / "mysql-tmp").mkdir(exist_ok=True)
    command = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={folder / 'mysql'}", f"--port={port}"]
    return [*command, f"--tmpdir={folder / 'mysql-tmp'}", "--bind-address=127.0.0.1", f"--socket={folder / 's.sock'}"]


@contextmanager
def _process(folder: Path, environment: dict[str, str], *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    program = str(SCRIPTS / argv[0]) if (SCRIPTS / argv[0]).exists() else argv[0]
    with (folder / f"{argv[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [program, *argv[1:]], env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
