"""The private database server and object store as a user meets them: they keep data, refuse wrong keys, and survive
the death of their process runner."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import psutil
import pytest

from infra.local import database, deployment, object_store
from infra.local.folders import Folders
from infra.local.supervision import Supervisor
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.mysql import Database, connect
from tag_platform.settings import Settings, load_settings
from tag_platform_tests.conftest import instance_environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A deployment that these tests may stop and kill."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MYSQL_HOST", "S3_ENDPOINT"):
            patch.delenv(name, raising=False)
        for name, value in instance_environment(tmp_path_factory.mktemp("own")).items():
            patch.setenv(name, value)
        settings = load_settings()
        yield settings
        deployment.down(settings)


def _pids(settings: Settings) -> dict[str, int | None]:
    return {row.name: row.pid for row in deployment.status(settings) if row.name in ("database", "object-store")}


def _store(settings: Settings, key: str, body: bytes) -> None:
    object_store.client(settings).put_object(Bucket=settings.bucket, Key=key, Body=body)


def _stored(settings: Settings, key: str) -> bytes:
    content: bytes = object_store.client(settings).get_object(Bucket=settings.bucket, Key=key)["Body"].read()
    return content


def test_data_survive_a_stop_and_a_start(own: Settings) -> None:
    deployment.ensure_services(own)
    with connect(Database.of(own)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (name VARCHAR(20))")
        cursor.execute("INSERT INTO kept VALUES ('高净值用户')")
        connection.commit()
    _store(own, "kept/object", b"x" * 5_000_000)
    assert deployment.down(own)
    assert not deployment.down(own), "a second down has nothing to stop"
    deployment.ensure_services(own)
    with connect(Database.of(own)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM kept")
        assert cursor.fetchall() == (("高净值用户",),)
    assert _stored(own, "kept/object") == b"x" * 5_000_000


def test_a_killed_process_runner_is_recovered_and_what_it_left_is_ended(own: Settings) -> None:
    deployment.ensure_services(own)
    _store(own, "kept/before-kill", b"y" * 100_000)
    before = _pids(own)
    runner = Supervisor(Folders.of(own)).pid()
    assert runner is not None
    os.kill(runner, signal.SIGKILL)
    psutil.Process(runner).wait(timeout=10) if psutil.pid_exists(runner) else None
    # The object store may end by itself when it next writes a log line to nobody; the database does not.
    assert before["database"] is not None
    assert psutil.pid_exists(before["database"]), "a program outlives it"
    deployment.ensure_services(own)
    after = _pids(own)
    assert all(after.values())
    assert not set(before.values()) & set(after.values())
    assert not any(pid and psutil.pid_exists(pid) for pid in before.values())
    assert _stored(own, "kept/before-kill") == b"y" * 100_000


def test_a_killed_program_is_started_again(own: Settings) -> None:
    deployment.ensure_services(own)
    before = _pids(own)["database"]
    assert before is not None
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before)] if psutil.pid_exists(before) else [], timeout=10)
    deployment.ensure_services(own)
    assert _pids(own)["database"] not in (None, before)


def test_starts_at_once_wait_for_each_other(own: Settings) -> None:
    deployment.down(own)
    failures: list[BaseException] = []

    def start() -> None:
        try:
            deployment.ensure_services(own)
        except BaseException as error:  # noqa: BLE001  (kept for the assertion)
            failures.append(error)

    threads = [Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(_pids(own).values())


def test_nothing_of_the_home_can_be_read_by_others(own: Settings) -> None:
    deployment.ensure_services(own)
    for folder in own.home.iterdir():
        if folder.is_dir():
            assert folder.stat().st_mode & 0o077 == 0, folder
    assert (own.home / "s3" / "identities.json").stat().st_mode & 0o077 == 0


def test_every_port_listens_on_loopback_alone(own: Settings) -> None:
    deployment.ensure_services(own)
    for pid in _pids(own).values():
        listening = [c for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_a_taken_port_is_told_and_its_holder_left_alone(own: Settings, tmp_path: Path) -> None:
    with socket.socket() as holder:
        other = instance_environment(tmp_path)
        holder.bind(("127.0.0.1", int(other["MYSQL_PORT"])))
        holder.listen()
        moved = {"mysql_port": int(other["MYSQL_PORT"]), "s3_port": int(other["TAG_PLATFORM_S3_PORT"])}
        elsewhere = own.model_copy(update={"home_given": tmp_path, **moved})
        with pytest.raises(BadInput, match="MYSQL_PORT"):
            deployment.ensure_services(elsewhere)
        deployment.down(elsewhere)
        assert socket.create_connection(("127.0.0.1", int(other["MYSQL_PORT"])), timeout=2)


def test_a_wrong_password_is_told(services: Settings) -> None:
    wrong = replace(Database.of(services), password="wrong")
    with pytest.raises(TagPlatformError, match="MYSQL_PASSWORD"):
        connect(wrong)


def test_an_own_server_without_the_database_says_what_an_administrator_has_to_do(settings: Settings) -> None:
    missing = settings.model_copy(update={"mysql_database": "nobody_made_this"})
    if settings.mysql_user == "root":
        pytest.skip("this user may create databases")
    with pytest.raises(TagPlatformError, match="CREATE DATABASE IF NOT EXISTS `nobody_made_this`"):
        database.ensure_databases(missing)


def test_wrong_keys_are_refused(services: Settings) -> None:
    for update in ({"s3_access_key": "stranger"}, {"s3_secret_key": load_settings().s3_secret_key.__class__("wrong")}):
        with pytest.raises(TagPlatformError, match="S3_ACCESS_KEY, S3_SECRET_KEY"):
            object_store.ensure_bucket(services.model_copy(update=update))


def test_a_closed_port_is_told(services: Settings) -> None:
    closed = services.model_copy(update={"s3_endpoint_given": "http://127.0.0.1:9"})
    with pytest.raises(TagPlatformError, match="nothing answers"):
        object_store.ensure_bucket(closed)
