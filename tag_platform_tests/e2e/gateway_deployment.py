"""A deployment for the gateway's end-to-end tests: own database server, code server, webserver, daemon and gateway, on
free loopback ports and in one folder, ended with the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pymysql

from tag_platform.catalog.migrate import migrate
from tag_platform.mysql import Database
from tag_platform.settings import CHECKOUT, Settings

BIN = Path(sys.executable).parent
ENDED = ("completed", "failed", "canceled")
USERS = 200
TABLES = {
    "user_basic_info": "i%90 AS age, 'VIP2' AS user_level, 'verified' AS kyc_status, '' AS gender, '' AS country,"
    " DATE '2026-01-01' AS registration_date, (i%100)::DOUBLE AS risk_score",
    "user_asset_summary": "(i*1000)::DOUBLE AS total_asset_value, 0::DOUBLE AS cash_balance",
    "user_activity_summary": "(i%20)::INT AS trade_count_30d, 1.0::DOUBLE AS trade_amount_30d,"
    " 1::INT AS login_count_30d, DATE '2026-01-01' AS last_login_date",
}


class Deployment:
    """Addresses of the running services. `environment` is what each of their processes sees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(("mysql", "code", "ui", "api", "looking", "proxy"), _free_ports(6), strict=True))
        (folder / "dagster_home").mkdir()
        shutil.copy(CHECKOUT / "dagster.yaml", folder / "dagster_home")
        (folder / "workspace.yaml").write_text(
            "load_from: [{grpc_server: {host: 127.0.0.1, location_name: tag_platform, "
            f"port: {self.ports['code']}}}}}]\n"
        )
        values = {
            "MYSQL_HOST": "127.0.0.1",
            "MYSQL_PORT": str(self.ports["mysql"]),
            "TAG_PLATFORM_UI_PORT": str(self.ports["ui"]),
            "API_PORT": str(self.ports["api"]),
            "TAG_PLATFORM_HOME": str(folder / "home"),
            "TAG_PLATFORM_WAREHOUSE": str(folder / "warehouse"),
            "TAG_PLATFORM_LAKE": str(folder / "lake"),
            "TAG_PLATFORM_SHARDS": "4",
        }
        self.settings = Settings.model_validate(values)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TAG_PLATFORM_", "S3_"))},
            **values,
            **self.settings.environment(),
            "DAGSTER_HOME": str(folder / "dagster_home"),
        }

    @property
    def database(self) -> Database:
        return Database.of(self.settings)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def graphql(self) -> str:
        return f"http://127.0.0.1:{self.ports['ui']}/graphql"

    @contextmanager
    def process(self, name: str, *command: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{name}.log").open("ab") as log:
            running = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=self.environment | variables
            )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()

    @contextmanager
    def gateway(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        with self.process("gateway", str(BIN / "python"), "-m", "tag_platform.gateway", **variables) as running:
            until(
                lambda: httpx.get(f"{self.api}/health").status_code == 200, "the gateway", self.folder / "gateway.log"
            )
            yield running


@contextmanager
def deployment(folder: Path) -> Iterator[Deployment]:
    """All services but the gateway, with the eight first tags and `USERS` users (`u0` has total_asset_value 0, `u1`
    1,000, and so on)."""
    made = Deployment(folder)
    for table, columns in TABLES.items():
        directory = folder / "warehouse" / table / "dt=2026-11-01"
        directory.mkdir(parents=True)
        users = f"SELECT 'u' || i AS user_id, {columns} FROM range({USERS}) t(i)"
        duckdb.sql(f"COPY ({users}) TO '{directory / 'part-0.parquet'}'")
    with ExitStack() as stack:
        stack.enter_context(_database(made))
        migrate(made.settings)
        workspace = ("-w", str(folder / "workspace.yaml"))
        code = ("code-server", "start", "-m", "tag_platform", "-h", "127.0.0.1", "-p", str(made.ports["code"]))
        stack.enter_context(made.process("code", str(BIN / "dagster"), *code))
        until(lambda: _answers(made.ports["code"]), "the code server", folder / "code.log")
        web = ("-h", "127.0.0.1", "-p", str(made.ports["ui"]), *workspace)
        stack.enter_context(made.process("web", str(BIN / "dagster-webserver"), *web))
        loaded = {"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"}

        def is_loaded() -> bool:
            return bool(httpx.post(made.graphql, json=loaded).json()["data"]["repositoriesOrError"]["nodes"])

        until(is_loaded, "the webserver", folder / "web.log")
        _stop_sensors(made)
        stack.enter_context(made.process("daemon", str(BIN / "dagster-daemon"), "run", *workspace))
        yield made


def _stop_sensors(made: Deployment) -> None:
    """No run but those that a test asks for: tests count them."""
    of = '(repositorySelector: {repositoryLocationName: "tag_platform", repositoryName: "__repository__"})'
    query = f"{{ sensorsOrError{of} {{ ... on Sensors {{ results {{ id }} }} }} }}"
    stop = "mutation ($id: String) { stopSensor(id: $id) { __typename } }"

    def ask(document: str, **variables: str) -> Any:
        return httpx.post(made.graphql, json={"query": document, "variables": variables}).json()["data"]

    for found in ask(query)["sensorsOrError"]["results"]:
        assert ask(stop, id=found["id"])["stopSensor"]["__typename"] == "StopSensorMutationResult"


@contextmanager
def _database(made: Deployment) -> Iterator[None]:
    data = made.folder / "mysql"
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if not server or not install:
        raise RuntimeError("mariadbd is not installed; `make test` installs what the tests need")
    who = ("--user=root",) if os.geteuid() == 0 else ()
    options = ("--no-defaults", *who, f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db")
    subprocess.run((install, *options), check=True, capture_output=True)
    (made.folder / "mysql-tmp").mkdir()  # a server that starts removes temporary tables, those of others included
    at = (
        f"--tmpdir={made.folder / 'mysql-tmp'}",
        f"--port={made.ports['mysql']}",
        "--bind-address=127.0.0.1",
        f"--socket={data}/s.sock",
    )
    with made.process("mysql", server, "--no-defaults", *who, f"--datadir={data}", *at):
        until(lambda: _answers(made.ports["mysql"]), "the database", made.folder / "mysql.log")
        connection = pymysql.connect(unix_socket=f"{data}/s.sock", user="root", autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE tag_system CHARACTER SET utf8mb4")
            cursor.execute("CREATE DATABASE tag_dagster CHARACTER SET utf8mb4")
            cursor.execute("GRANT ALL ON *.* TO tag_user@'%' IDENTIFIED BY 'tag_pass'")
        yield


def until(ready: Callable[[], bool], what: str, log: Path | None = None, seconds: float = 240) -> None:
    """Waits until `ready` says so. Raises with the end of the log where it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ready():
                return
        except (httpx.HTTPError, OSError):
            pass
        time.sleep(0.2)
    tail = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
    raise AssertionError(f"{what} did not come about within {seconds:.0f} s\n{tail}")


def trigger(api: httpx.Client, body: dict[str, Any], key: str | None = None) -> str:
    """Triggers and returns the task's id."""
    answer = api.post("/api/v1/tags/trigger", json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def finished(api: httpx.Client, task_id: str) -> dict[str, Any]:
    """Follows the task to its end and returns what the API says of it."""
    latest: dict[str, Any] = {}

    def ended() -> bool:
        latest.update(api.get(f"/api/v1/tasks/{task_id}/status").json()["status"])
        return latest["status"] in ENDED

    until(ended, f"the end of task {task_id}")
    return latest


def runs_of(deployed: Deployment) -> list[str]:
    """Ids of all runs that Dagster knows."""
    query = "{ runsOrError { ... on Runs { results { runId } } } }"
    answer = httpx.post(deployed.graphql, json={"query": query}).json()
    return [run["runId"] for run in answer["data"]["runsOrError"]["results"]]


def _answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
