"""The programs of the local deployment, in the order in which they start: the one list that `up`, `down`, `status` and
the commands that need a database read."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

from infra.local import database, notebook, object_store, spark, webserver
from infra.local.ports import ServicePort, answers
from infra.local.program import Program
from tag_platform.settings import CHECKOUT, Settings

WORKSPACE = CHECKOUT / "workspace.yaml"
# Variables of other software that the programs must see as the person sees them, whoever started supervisord first.
PASSED_ON = ("AWS_", "SPARK_", "JAVA_HOME", "DAGSTER_", "SSL_CERT_", "REQUESTS_CA_BUNDLE")


def programs(settings: Settings) -> list[Program]:
    """Every program that these settings ask for. An own database or object store is not among them."""
    return [*storage_programs(settings), *dagster_programs(settings), gateway_program(settings)]


def additions(settings: Settings) -> dict[str, list[Program]]:
    """What `up --with` adds, by the name that it goes by there."""
    return {"spark": spark.programs(settings), "notebook": [notebook.program(settings)]}


def require_installed(added: Collection[str]) -> None:
    """Raises `BadInput` that says what to install where one of the additions cannot run here."""
    if "spark" in added:
        spark.require_java()
    if "notebook" in added:
        notebook.require_jupyterlab()


def storage_programs(settings: Settings) -> list[Program]:
    """The services that computing alone needs."""
    own = []
    if settings.runs_own_database:
        own.append(database.program(settings))
    if settings.runs_own_object_store:
        own.append(object_store.program(settings))
    return own


def dagster_programs(settings: Settings) -> list[Program]:
    """Dagster's long-running processes. The code server is its own, so that the other two survive a defect in it."""
    environment = _environment(settings)
    workspace = ("-w", str(WORKSPACE))
    code_port, ui = settings.code_server_port, f"http://{settings.ui_host}:{settings.ui_port}"
    return [
        Program(
            name="code-server",
            argv=(
                *(_script("dagster"), "code-server", "start", "-m", "tag_platform"),
                *("--host", "127.0.0.1", "--port", str(code_port)),
            ),
            ports=(ServicePort(code_port, "TAG_PLATFORM_CODE_SERVER_PORT", "Dagster's code server"),),
            environment=environment,
            address=f"127.0.0.1:{code_port}",
            stage=1,
            stop_seconds=30,
            ready=lambda: None if answers(code_port) else "the code is still being loaded",
        ),
        Program(
            name="webserver",
            argv=(_script("dagster-webserver"), "-h", settings.ui_host, "-p", str(settings.ui_port), *workspace),
            ports=(ServicePort(settings.ui_port, "TAG_PLATFORM_UI_PORT", "Dagster's UI and GraphQL"),),
            environment=environment,
            address=ui,
            stage=2,
            ready=lambda: webserver.not_ready(ui),
            complete=lambda: webserver.require_loaded(ui),
        ),
        Program(
            name="daemon",
            argv=(_script("dagster-daemon"), "run", *workspace),
            environment=environment,
            stage=2,
            steady_seconds=5,
            stop_seconds=30,
        ),
    ]


def gateway_program(settings: Settings) -> Program:
    """The REST gateway."""
    return Program(
        name="gateway",
        argv=(sys.executable, "-m", "tag_platform.gateway"),
        ports=(ServicePort(settings.api_port, "API_PORT", "the REST gateway"),),
        environment=_environment(settings),
        address=f"http://{settings.api_host}:{settings.api_port}",
        stage=3,
        ready=lambda: None if answers(settings.api_port) else "the gateway is still starting",
    )


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _environment(settings: Settings) -> dict[str, str]:
    """Variables of Dagster's processes: what the person has set of the platform's, and what Dagster's files name."""
    names = set(Settings.variables())
    given = {name: value for name, value in os.environ.items() if name in names or name.startswith(PASSED_ON)}
    return given | settings.environment() | {"PYTHONUNBUFFERED": "1"}
