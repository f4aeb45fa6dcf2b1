"""The real parts that integration and end-to-end tests share: a database server and an object store of this test run,
and settings with databases and folders of one test's own.

Servers of one's own are used where MYSQL_HOST and S3_ENDPOINT name them; their user has to be allowed to create and
drop databases. Otherwise the local deployment's are started, on free ports and in a temporary folder, so that a
developer's own deployment is never touched.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from infra.local import database, deployment, object_store, ports
from infra.local.ports import free_block
from tag_platform.catalog.migrate import migrate
from tag_platform.mysql import Database, connect
from tag_platform.settings import Settings, load_settings
from tag_platform_tests.mysql9 import running_mysql9, said

MOST_WORKERS = 8  # of a parallel test run
# Property tests judge what is right, never how fast a busy machine is.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,  # the same cases for the same code; the fuzzer looks for new ones
)
hypothesis.settings.load_profile("any machine")
# Files whose tests share a running deployment.
SHARED = {
    **dict.fromkeys(("test_live_tags.py", "test_pages.py", "test_queue.py"), "dagster"),
    **dict.fromkeys(("test_gateway.py", "test_gateway_users.py", "test_nginx.py"), "gateway"),
}
DEFAULT_SERVER, MYSQL9 = "installed_server", "mysql9"


def instance_environment(home: Path) -> dict[str, str]:
    """Variables of a local deployment beside all others: its own home, every port free."""
    first = free_block(object_store.PORTS + 4)
    names = ("MYSQL_PORT", "TAG_PLATFORM_UI_PORT", "TAG_PLATFORM_CODE_SERVER_PORT", "API_PORT", "TAG_PLATFORM_S3_PORT")
    ports = {name: str(first + n) for n, name in enumerate(names)}  # the last one has a row of its own after it
    return {"TAG_PLATFORM_HOME": str(home), **ports}


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """No test sees the developer's settings, except the address of servers to be used."""
    kept = {"MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD"} if os.environ.get("MYSQL_HOST") else set()
    kept |= {"S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY"} if os.environ.get("S3_ENDPOINT") else set()
    with pytest.MonkeyPatch.context() as patch:
        for name in set(Settings.variables()) - kept:
            patch.delenv(name, raising=False)
        patch.delenv("DAGSTER_HOME", raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # no question to the network where this machine is
        yield


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """What one worker runs: a file's tests, since they share its fixtures, and all tests of a deployment, which is
    expensive to start."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return SHARED.get(Path(file).name, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    return _ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _own_ports(worker_id: str) -> Iterator[None]:
    """Test files run side by side: each worker looks for free ports in a part of the range that no other one has."""
    worker = int(worker_id.removeprefix("gw")) if worker_id != "master" else 0
    size = len(ports.FREE_RANGE) // MOST_WORKERS
    start = ports.FREE_RANGE.start + worker % MOST_WORKERS * size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "FREE_RANGE", range(start, start + size))
        yield


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running database server and object store, for the whole test run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in instance_environment(tmp_path_factory.mktemp("services")).items():
            if name != "MYSQL_PORT" or not os.environ.get("MYSQL_HOST"):
                patch.setenv(name, value)
        started = load_settings()
    deployment.ensure_services(started)
    yield started
    deployment.down(started)


@pytest.fixture(scope="session")
def mysql9_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real MySQL 9, with the local deployment's accounts; gives its port."""
    with running_mysql9(tmp_path_factory.mktemp("mysql9")) as port:
        yield port


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, services: Settings) -> Settings:
    """The services, with the database server that the module is tested on: see `pytest_generate_tests`."""
    if getattr(request, "param", DEFAULT_SERVER) == DEFAULT_SERVER:
        return services
    port = request.getfixturevalue("mysql9_server")
    return services.model_copy(update={"mysql_host_given": services.mysql_host, "mysql_port": port})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module that says `DATABASES = "both"` is run on MySQL 9 as well. With a server of one's own (MYSQL_HOST), tests
    are run on that one alone."""
    both = getattr(metafunc.module, "DATABASES", "") == "both" and not os.environ.get("MYSQL_HOST")
    if both and "server" in metafunc.fixturenames:
        metafunc.parametrize("server", [DEFAULT_SERVER, MYSQL9], indirect=True, scope="session")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of a parallel test run hands over what it has to say in the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["said"] = said


def pytest_testnodedown(node: Any) -> None:
    said.extend(getattr(node, "workeroutput", {}).get("said", []))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What a reader of the summary must know: on which servers the database tests ran."""
    for line in sorted(set(said)):
        terminalreporter.write_line(line)


@pytest.fixture
def settings(services: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an empty platform for one test; see `own_settings`."""
    with own_settings(services, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def module_settings(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The same for all tests of a module, with the schema and the eight first tags in place. Four shards: fewer events
    than by default, since these tests are many runs."""
    with own_settings(server, tmp_path_factory.mktemp("module"), TAG_PLATFORM_SHARDS="4") as made:
        migrate(made)
        yield made


@contextmanager
def own_settings(services: Settings, folder: Path, **more: str) -> Iterator[Settings]:
    """Settings, in the environment too, with fresh databases and an empty warehouse and lake. To the platform these are
    servers of the user's own, so that no command under test starts or stops any."""
    mark = f"test_{uuid.uuid4().hex[:12]}"
    database.ensure_databases(
        services.model_copy(update={"mysql_database": mark, "dagster_database": f"{mark}_dagster"})
    )
    variables = {
        "MYSQL_HOST": services.mysql_host,
        "MYSQL_PORT": str(services.mysql_port),
        "MYSQL_DATABASE": mark,
        "TAG_PLATFORM_DAGSTER_DATABASE": f"{mark}_dagster",
        "S3_ENDPOINT": services.s3_endpoint or "",
        "TAG_PLATFORM_WAREHOUSE": f"s3://{services.bucket}/{mark}/warehouse",
        "TAG_PLATFORM_LAKE": f"s3://{services.bucket}/{mark}/lake",
        "TAG_PLATFORM_HOME": str(folder / "home"),
        **more,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        made = load_settings()
        for name, value in made.environment().items():
            patch.setenv(name, value)
        yield made
    with connect(replace(Database.of(made), name="")) as connection, connection.cursor() as cursor:
        for name in (made.mysql_database, made.dagster_database):
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
