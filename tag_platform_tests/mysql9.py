"""The MySQL 9 of a test run: started once, and told about in the summary, whether it could be set up or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from infra.local import database
from infra.local.database import ServerBinary
from infra.local.folders import Folders
from infra.local.mysql9 import NoMySQL9, mysql9
from infra.local.ports import free_block
from tag_platform.mysql import transaction
from tag_platform.settings import Settings
from tag_platform_tests.faults.servers import Server, admin_of

said: list[str] = []


@cache
def mysql9_or_skip() -> ServerBinary:
    """The server's program. Skips the test where it cannot be set up, and says so in the summary."""
    try:
        return mysql9()
    except NoMySQL9 as error:
        said.append(f"NOT TESTED ON MySQL 9: {error}")
        pytest.skip(str(error))


@contextmanager
def running_mysql9(folder: Path) -> Iterator[int]:
    """A server of this test run on a free port, its data below `folder`; gives the port."""
    port = free_block(1)
    own = Settings(MYSQL_PORT=port, TAG_PLATFORM_HOME=folder)
    Folders.of(own).create()
    server = Server(database.program(own, mysql9_or_skip()), folder / "mysql9.log")
    server.start()
    try:
        with transaction(admin_of(own)) as cursor:
            # Tests make databases of their own.
            cursor.execute(f"GRANT ALL PRIVILEGES ON *.* TO '{own.mysql_user}'@'127.0.0.1'")
            cursor.execute("SELECT VERSION()")
            said.append(f"Database tests ran on MySQL {cursor.fetchone()[0]} too.")
        yield port
    finally:
        server.kill()
