"""The private database server of the local deployment: MariaDB (or MySQL, where that is what is installed) with its own
data, socket and port below `TAG_PLATFORM_HOME`. It never reads the system's configuration nor touches its service.

An own server (`MYSQL_HOST` is set) is not started here; only its databases are made sure of.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import pymysql
from pymysql.constants import ER
from pymysql.converters import escape_string

from infra.local.folders import Folders, write_private
from infra.local.ports import LOOPBACK, ServicePort
from infra.local.program import Program
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, Unreachable, connect
from tag_platform.settings import Settings

log = logging.getLogger("tag_platform.local.database")

# The local default of the administrator's account, documented in the README. The server listens on loopback only.
ROOT_PASSWORD = "root123"  # noqa: S105
ACCOUNT_HOSTS = ("localhost", LOOPBACK)  # by the unix socket, by TCP


@dataclass(frozen=True)
class ServerBinary:
    """How a server is started; `options` are those that its place in the file system needs."""

    argv: tuple[str, ...]
    is_mariadb: bool
    options: tuple[str, ...] = ()


def program(settings: Settings, server: ServerBinary | None = None) -> Program:
    """The server as the process runner starts it: the installed one, or another."""
    server = server or installed_server()
    return Program(
        name="database",
        argv=tuple(_server_command(settings, server)),
        ports=(ServicePort(settings.mysql_port, "MYSQL_PORT", "the database"),),
        address=f"{LOOPBACK}:{settings.mysql_port}",
        stage=0,
        stop_seconds=60,  # a large buffer pool takes its time to be written
        prepare=lambda: initialise(settings, server),
        ready=lambda: _not_ready(settings),
        complete=lambda: ensure_databases(settings),
    )


def _server_command(settings: Settings, server: ServerBinary) -> list[str]:
    folders = Folders.of(settings)
    return [
        *_server_base(server, folders.database / "data"),
        f"--port={settings.mysql_port}",
        f"--bind-address={LOOPBACK}",
        f"--socket={folders.sockets / 'mysql.sock'}",
        f"--pid-file={folders.run / 'mysqld.pid'}",
        "--skip-name-resolve",
        f"--secure-file-priv={folders.database / 'files'}",  # no statement reads or writes any other file
        "--max-connections=200",
        "--max-allowed-packet=64M",
        # An eighth of the memory: the rest is for the engine. A million rows of user_tags take about 300 MB.
        f"--innodb-buffer-pool-size={_buffer_pool_megabytes()}M",
        "--loose-innodb-log-file-size=512M",  # MariaDB's name
        "--loose-innodb-redo-log-capacity=512M",  # MySQL's name
        # Committed rows survive a crash of the server, not always (the last second) one of the whole machine: an
        # fsync for each of Dagster's small events would cost more than the events. Tables stay consistent either way.
        "--innodb-flush-log-at-trx-commit=2",
        "--skip-log-bin",
        "--local-infile=1",
        "--innodb-autoinc-lock-mode=2",  # MySQL's default: parallel loads do not wait for each other
        "--loose-mysqlx=OFF",
        "--log-warnings=1" if server.is_mariadb else "--log-error-verbosity=2",
    ]


def _server_base(server: ServerBinary, data: Path) -> list[str]:
    """Options that the server and its first initialisation share."""
    # Not the machine's: a server that starts removes what looks like a temporary table there, those of others included.
    temporary = data.with_name(f"{data.name}-tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    return [
        *server.argv,
        "--no-defaults",
        *server.options,
        f"--datadir={data}",
        f"--tmpdir={temporary}",
        "--character-set-server=utf8mb4",
        # Started by root it stays root: a service account could not enter a home below /root, and opening that to
        # it would open it to others. Data are readable by the owner only, file access is shut off above.
        *(["--user=root"] if os.getuid() == 0 else []),
    ]


def _buffer_pool_megabytes() -> int:
    return int(min(max(psutil.virtual_memory().total // 8 // 2**20, 128), 2048))


def installed_server() -> ServerBinary:
    """The server that this machine has. Raises `TagPlatformError` where it has none."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"])
    for name in ("mariadbd", "mysqld"):
        if found := shutil.which(name, path=search):
            path = Path(found).resolve()
            return ServerBinary((str(path),), "mariadb" in path.name)
    raise TagPlatformError(
        "No database server found (mariadbd, mysqld): run `make setup`, install mariadb-server (10.6 or newer), or "
        "name an own server by MYSQL_HOST."
    )


def initialise(settings: Settings, server: ServerBinary) -> None:
    """Creates the data folder with both accounts, complete or not at all. Does nothing where it is there."""
    folder = Folders.of(settings).database
    (folder / "files").mkdir(mode=0o700, exist_ok=True)
    if (folder / "data").exists():
        return
    new = folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)  # of a first start that was interrupted
    accounts = folder / "accounts.sql"
    write_private(accounts, "\n".join(_account_statements(settings, server)) + "\n")
    try:
        if server.is_mariadb:
            install = shutil.which("mariadb-install-db") or "mysql_install_db"
            options = _server_base(server, new)[len(server.argv) :]
            _run(
                [install, *options, "--auth-root-authentication-method=normal", "--skip-test-db", "--force"],
                folder / "init.log",
            )
            _run([*_server_base(server, new), "--bootstrap"], folder / "init.log", accounts)
        else:
            _run([*_server_base(server, new), "--initialize-insecure", f"--init-file={accounts}"], folder / "init.log")
        new.rename(folder / "data")
    finally:
        accounts.unlink(missing_ok=True)
    log.info("database initialised in %s", folder / "data")


def _run(argv: list[str], log_file: Path, stdin: Path | None = None) -> None:
    with log_file.open("ab") as output, Path(stdin or os.devnull).open("rb") as source:
        done = subprocess.run(argv, stdin=source, stdout=output, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    if done.returncode:
        last = log_file.read_text(errors="replace").strip().splitlines()[-5:]
        raise TagPlatformError(
            f"The database could not be initialised (see {log_file}):\n  " + "\n  ".join(last),
        )


def _account_statements(settings: Settings, server: ServerBinary) -> list[str]:
    """SQL of the first start, one statement a line: the administrator's password and the platform's account."""
    # In its bootstrap MariaDB knows no accounts before FLUSH, and its installation leaves some without a password.
    others = "DELETE FROM mysql.global_priv WHERE User IN ('root', '') AND Host <> 'localhost';"
    statements = [others, "DELETE FROM mysql.proxies_priv;", "FLUSH PRIVILEGES;"] if server.is_mariadb else []
    user, password = settings.mysql_user, settings.mysql_password.get_secret_value()
    for host in ACCOUNT_HOSTS:
        statements += [
            f"CREATE USER IF NOT EXISTS 'root'@'{host}' IDENTIFIED BY '{ROOT_PASSWORD}';",
            f"ALTER USER 'root'@'{host}' IDENTIFIED BY '{ROOT_PASSWORD}';",
            f"GRANT ALL PRIVILEGES ON *.* TO 'root'@'{host}' WITH GRANT OPTION;",
        ]
        if user != "root":
            account = f"'{escape_string(user)}'@'{host}'"
            statements.append(f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{escape_string(password)}';")
    return statements


def _not_ready(settings: Settings) -> str | None:
    socket = Folders.of(settings).sockets / "mysql.sock"
    try:
        pymysql.connect(unix_socket=str(socket), user="root", password=ROOT_PASSWORD, connect_timeout=2).close()
    except pymysql.err.OperationalError as error:
        return None if error.args[0] == ER.ACCESS_DENIED_ERROR else "the database does not accept connections yet"
    return None


def ensure_databases(settings: Settings) -> None:
    """Creates the platform's and Dagster's database where they are missing, with the platform user's rights on them.

    On an own server (`MYSQL_HOST`) this needs the right to create databases, unless they exist. Raises
    `TagPlatformError` that says what an administrator has to do.
    """
    names = (settings.mysql_database, settings.dagster_database)
    if settings.runs_own_database:
        _ensure_as_root(settings, names)
    for name in names:
        try:
            connect(_database(settings, name)).close()
        except Unreachable as error:
            if error.code not in (ER.BAD_DB_ERROR, ER.DBACCESS_DENIED_ERROR):
                raise
            _create_as_user(settings, name)


def _database(settings: Settings, name: str) -> Database:
    password = settings.mysql_password.get_secret_value()
    return Database(settings.mysql_host, settings.mysql_port, settings.mysql_user, password, name)


def _create_statement(name: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS `{name.replace('`', '``')}` CHARACTER SET utf8mb4"


def _ensure_as_root(settings: Settings, names: tuple[str, ...]) -> None:
    socket = str(Folders.of(settings).sockets / "mysql.sock")
    try:
        connection = pymysql.connect(unix_socket=socket, user="root", password=ROOT_PASSWORD, connect_timeout=5)
    except pymysql.err.OperationalError as error:
        if error.args[0] == ER.ACCESS_DENIED_ERROR:  # the administrator's password was changed: that is their right
            return
        raise
    with connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_notes = 0")  # "exists already" is no news
        for name in names:
            cursor.execute(_create_statement(name))
            if settings.mysql_user == "root":
                continue
            # `_` stands for any character in the name of a grant
            pattern = name.replace("`", "``").replace("_", "\\_").replace("%", "\\%")
            for host in ACCOUNT_HOSTS:
                try:
                    cursor.execute(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO %s@%s", (settings.mysql_user, host))
                except pymysql.err.MySQLError as error:
                    raise TagPlatformError(
                        f"The local database has no user {settings.mysql_user} (MYSQL_USER); its users were made at "
                        f"the first start."
                    ) from error


def _create_as_user(settings: Settings, name: str) -> None:
    try:
        with connect(_database(settings, "")) as connection, connection.cursor() as cursor:
            cursor.execute(_create_statement(name))
    except pymysql.err.MySQLError as error:
        raise TagPlatformError(
            f"Database {name} on {settings.mysql_host}:{settings.mysql_port} is missing or closed to user "
            f"{settings.mysql_user}, who may not create it. An administrator has to run: {_create_statement(name)}; "
            f"GRANT ALL PRIVILEGES ON `{name}`.* TO the user."
        ) from error
    connect(_database(settings, name)).close()
