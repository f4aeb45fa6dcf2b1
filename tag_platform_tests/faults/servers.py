"""A database server and an object store of the suite's own, as child processes that may be killed and started again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from infra.local import database, object_store
from infra.local.database import ROOT_PASSWORD, ServerBinary
from infra.local.folders import Folders
from infra.local.program import Program
from tag_platform.mysql import Database
from tag_platform.settings import Settings, load_settings

PATIENCE = 180  # seconds until a server answers; the machine may be busy


class Server:
    """One program of the local deployment, without its process runner."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program, self._log = program, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.program.prepare()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.argv, stdout=log, stderr=log, env={**os.environ, **self.program.environment}
            )
        deadline = time.monotonic() + PATIENCE
        while (missing := self.program.ready()) is not None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.program.name}: {missing}. {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        self.program.complete()

    def kill(self) -> None:
        """kill -9, and what it had started."""
        if self._process is None:
            return
        for child in psutil.Process(self._process.pid).children(recursive=True):
            child.kill()
        self._process.kill()
        self._process.wait()
        self._process = None


@dataclass(frozen=True)
class Ground:
    """What a suite stands on: settings of an empty platform, and the two servers. `admin` may kill connections."""

    settings: Settings
    database: Server
    store: Server
    admin: Database
    folder: Path


def admin_of(settings: Settings) -> Database:
    """The administrator's account of a server that was set up here."""
    return Database(settings.mysql_host, settings.mysql_port, "root", ROOT_PASSWORD, settings.mysql_database)


@contextmanager
def ground(folder: Path, binary: ServerBinary | None = None) -> Iterator[Ground]:
    """Starts both servers on free ports, with everything below `folder`, and sets the environment to them. `binary` is
    another database server than the installed one."""
    from tag_platform_tests.conftest import instance_environment

    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.variables():
            patch.delenv(name, raising=False)
        for name, value in instance_environment(folder / "home").items():
            patch.setenv(name, value)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        own = load_settings()
        Folders.of(own).create()
        servers = [
            Server(program, folder / f"{program.name}.log")
            for program in (database.program(own, binary), object_store.program(own))
        ]
        try:
            for server in servers:
                server.start()
            # To the platform these are somebody's own servers: no command under test starts or stops any.
            variables = {
                "MYSQL_HOST": own.mysql_host,
                "S3_ENDPOINT": own.s3_endpoint or "",
                "TAG_PLATFORM_SHARDS": "4",
                "TAG_PLATFORM_SOURCES": str(folder / "sources.yaml"),
            }
            for name, value in variables.items():
                patch.setenv(name, value)
            settings = load_settings()
            for name, value in settings.environment().items():
                patch.setenv(name, value)
            yield Ground(settings, servers[0], servers[1], admin_of(settings), folder)
        finally:
            for server in servers:
                server.kill()
