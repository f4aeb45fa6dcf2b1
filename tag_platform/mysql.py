"""Connections to MySQL (8.0 or newer) and MariaDB (10.6 or newer): one way to open them, one way to say what failed,
one way to try again. Used by the catalog and by the data plane's tasks, so it knows neither Dagster nor Spark."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import pymysql
from pymysql.constants import CR, ER

from tag_platform.errors import TagPlatformError

if TYPE_CHECKING:
    from pymysql.connections import Connection

    from tag_platform.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)

# Errors after which the same transaction may succeed: nothing of it was committed, or it can be repeated safely.
RETRYABLE = {
    ER.LOCK_DEADLOCK,
    ER.LOCK_WAIT_TIMEOUT,
    ER.CON_COUNT_ERROR,
    ER.SERVER_SHUTDOWN,
    1927,  # MariaDB: connection was killed
    ER.QUERY_INTERRUPTED,
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_CONN_HOST_ERROR,
    CR.CR_CONNECTION_ERROR,
}
# All statements are the platform's own: what they name is missing only where the tables are of another version.
OTHER_SCHEMA = {ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Database:
    """Address and account of one database. It travels to the engine's tasks, never into a plan file or a log."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Database:
        return cls(
            host=settings.mysql_host,
            port=settings.mysql_port,
            user=settings.mysql_user,
            password=settings.mysql_password.get_secret_value(),
            name=settings.mysql_database,
        )

    def url(self, scheme: str) -> str:
        """The address as a URL with the password in it: for drivers, never for a log."""
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return f"{scheme}://{user}:{password}@{self.host}:{self.port}/{self.name}"

    @property
    def address(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.name}"


def connect(database: Database, **options: Any) -> Connection[Any]:
    """Opens a connection in UTC, utf8mb4 and READ COMMITTED (no gap locks, so parallel writers do not deadlock on
    users that do not exist yet). Raises `Unreachable`, which says which door was closed
    and which setting opens it."""
    try:
        connection = pymysql.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            database=database.name or None,
            charset="utf8mb4",
            connect_timeout=10,
            ssl_disabled=database.host in LOOPBACK,
            init_command="SET time_zone = '+00:00'",
            **options,
        )
        # The two servers name the variable differently, so it cannot join the statement above.
        connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        return connection
    except pymysql.err.Error as error:
        raise Unreachable(database, error) from error


class Unreachable(TagPlatformError):
    """No connection: closed port, wrong account, missing database."""

    def __init__(self, database: Database, cause: pymysql.err.Error) -> None:
        self.code = int(cause.args[0]) if cause.args and isinstance(cause.args[0], int) else 0
        hints = {
            ER.ACCESS_DENIED_ERROR: "user or password is wrong (MYSQL_USER, MYSQL_PASSWORD)",
            ER.DBACCESS_DENIED_ERROR: "the user has no rights on this database (MYSQL_USER, MYSQL_DATABASE)",
            ER.BAD_DB_ERROR: "the database does not exist (MYSQL_DATABASE); `tag-platform init` creates it",
            CR.CR_CONN_HOST_ERROR: "nothing answers there (MYSQL_HOST, MYSQL_PORT);"
            " `tag-platform up` starts the local one",
        }
        super().__init__(f"Database {database.address}: {hints.get(self.code, cause)}.")


class OtherSchema(TagPlatformError):
    """The tables are not there, or of an older version of the platform."""

    def __init__(self, cause: Exception) -> None:
        reason = cause.args[1] if len(cause.args) > 1 else cause
        super().__init__(
            f"The database's tables are not those of this version ({reason}); `tag-platform init` brings them up to "
            "date and keeps all data."
        )


def error_code(error: BaseException) -> int:
    """The server's or client's error number, 0 where there is none."""
    if isinstance(error, Unreachable):
        return error.code
    return int(error.args[0]) if error.args and isinstance(error.args[0], int) else 0


def retrying(
    action: Callable[[], T],
    what: str,
    attempts: int = 8,
    first_wait: float = 0.1,
    also: tuple[type[Exception], ...] = (),
) -> T:
    """Runs `action` again after a deadlock, a lock time-out or a lost connection, up to `attempts` times (waits double
    from `first_wait` seconds, with jitter: about 10 s in all) or an error of `also`. Any other error, and the last one,
    is raised as it is, but for a table or column that is missing: `OtherSchema`.
    """
    retryable: tuple[type[Exception], ...] = (pymysql.err.Error, Unreachable, *also)
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except retryable as error:
            # InterfaceError(0, '') is what PyMySQL says of a connection that is closed already.
            lost = isinstance(error, (pymysql.err.InterfaceError, *also))
            if error_code(error) in OTHER_SCHEMA:
                raise OtherSchema(error) from error
            if attempt == attempts or not (lost or error_code(error) in RETRYABLE):
                raise
            wait = first_wait * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, no secret)
            log.warning("%s: database error %s, trying again (%d of %d)", what, error_code(error), attempt, attempts)
            time.sleep(wait)
    raise AssertionError("unreachable")


@contextmanager
def transaction(database: Database, **options: Any) -> Iterator[Any]:
    """A cursor in a transaction on a connection of its own: committed at the end, rolled back on any error."""
    connection = connect(database, **options)
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    finally:
        connection.close()  # rolls back what was not committed


def is_mariadb(cursor: Any) -> bool:
    """True on MariaDB, False on MySQL: the collations of the two have different names."""
    cursor.execute("SELECT VERSION()")
    return "mariadb" in str(cursor.fetchone()[0]).lower()
