"""The faults, one function each: it strikes, and leaves everything as it was but for what the fault did.

Each returns False where it found nothing to break (the run had ended, nobody waited for a lock).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from tag_platform.compute.locks import lock_name
from tag_platform.mysql import Database, connect, transaction
from tag_platform_tests.faults.process import Run
from tag_platform_tests.faults.servers import Ground


@dataclass
class Strike:
    """What a fault gets: the ground, the run, and what it may need of the round."""

    ground: Ground
    run: Run
    users: list[str]  # whose rows the run will write, in the order of the key
    small_disk: Path | None
    store_away: float
    notes: list[str] = field(default_factory=list)


def kill_run(strike: Strike) -> bool:
    """kill -9 of the process that runs."""
    if strike.run.end is not None:
        return False
    strike.run.kill()
    return True


def kill_connections(strike: Strike) -> bool:
    """Every connection of the platform is killed by an administrator."""
    return _kill(strike.ground.admin, _connections(strike.ground, "")) > 0


def kill_lock_owner_connection(strike: Strike) -> bool:
    """The connection that holds the shard locks is killed while the run goes on."""
    settings = strike.ground.settings
    found = set()
    with transaction(strike.ground.admin) as cursor:
        for shard in range(settings.shards):
            cursor.execute("SELECT IS_USED_LOCK(%s)", (lock_name(Database.of(settings), shard, settings.shards),))
            found |= {row[0] for row in cursor.fetchall() if row[0] is not None}
    return _kill(strike.ground.admin, list(found)) > 0


def restart_database(strike: Strike) -> bool:
    """The database server dies and is started again."""
    strike.ground.database.kill()
    time.sleep(0.5)
    strike.ground.database.start()
    return True


def lose_store(strike: Strike) -> bool:
    """The object store dies and comes back after a while."""
    strike.ground.store.kill()
    time.sleep(strike.store_away)
    strike.ground.store.start()
    return True


def fill_disk(strike: Strike) -> bool:
    """The disk of the lake is full until the run has ended."""
    assert strike.small_disk is not None
    ballast = strike.small_disk / "ballast"
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    for size in (2**20, 2**12, 1):
        try:
            while True:
                os.write(file, b"\0" * size)
        except OSError:
            continue
    os.close(file)
    strike.run.outcome()
    ballast.unlink()
    return True


def deadlock(strike: Strike) -> bool:
    """Somebody's large transaction holds rows that the run wants, and wants one that the run holds."""
    admin, users = strike.ground.admin, strike.users
    if len(users) < 20:
        return False
    before = _deadlocks(admin)
    with connect(admin) as rival, rival.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 3")
        # What a server rolls back is the transaction that changed less.
        cursor.execute("CREATE TABLE IF NOT EXISTS weight (n INT)")
        cursor.executemany("INSERT INTO weight VALUES (%s)", [(n,) for n in range(2_000)])
        marks = ", ".join(["%s"] * len(users[1::2]))
        cursor.execute(f"SELECT id FROM user_tags WHERE user_id IN ({marks}) FOR UPDATE", users[1::2])
        deadline = time.monotonic() + 30
        while strike.run.end is None and time.monotonic() < deadline and not _somebody_waits(admin):
            strike.run.pump(0.01)
        try:
            marks = ", ".join(["%s"] * len(users[::2]))
            cursor.execute(f"SELECT id FROM user_tags WHERE user_id IN ({marks}) FOR UPDATE", users[::2])
        except pymysql.err.OperationalError:
            pass  # it was the rival that was rolled back, or it waited too long
        rival.rollback()
    return _deadlocks(admin) > before


def _somebody_waits(admin: Database) -> bool:
    with transaction(admin) as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
        return bool(cursor.fetchone()[0])


def _deadlocks(admin: Database) -> int:
    with transaction(admin) as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")  # MariaDB's name
        row = cursor.fetchone()
        if row is None:
            cursor.execute("SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'")
            row = (None, cursor.fetchone()[0])
        return int(row[1])


def dead_owner() -> subprocess.Popen[bytes]:
    """Another process that holds the locks of all shards, as a merge does, until it is killed."""
    program = (
        "import sys\nfrom tag_platform.compute.locks import shard_locks\nfrom tag_platform.mysql import Database\n"
        "from tag_platform.settings import load_settings\ns = load_settings()\n"
        "with shard_locks(Database.of(s), range(s.shards), s.shards):\n    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"held\n"
    return owner


def kill_owner_while_run_waits(strike: Strike, owner: subprocess.Popen[bytes]) -> bool:
    """The process for whose locks the run waits is killed: the run goes on at once."""
    while strike.run.end is None and not _connections(strike.ground, "User lock"):
        strike.run.pump(0.02)
    waited = strike.run.end is None
    owner.kill()
    owner.wait()
    return waited


def _connections(ground: Ground, state: str) -> list[int]:
    with transaction(ground.admin) as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE user = %s AND db = %s AND COALESCE(state, '') LIKE %s",
            (ground.settings.mysql_user, ground.settings.mysql_database, f"%{state}%"),
        )
        return [int(row[0]) for row in cursor.fetchall()]


def _kill(admin: Database, connections: list[int]) -> int:
    killed = 0
    with transaction(admin) as cursor:
        for connection in connections:
            try:
                cursor.execute(f"KILL {int(connection)}")
                killed += 1
            except pymysql.err.MySQLError:
                continue  # it ended by itself
    return killed


@dataclass(frozen=True)
class Kind:
    """One kind of fault: where in a run it makes sense, and how often it is drawn."""

    name: str
    strike: Callable[[Strike], bool] | None
    weight: int
    phases: tuple[str, ...]
    stretch: float = 1.0  # a whole `tag-platform run` takes its time to import Dagster


EARLY = ("planning", "copying", "evaluating", "comparing")
KINDS = (
    Kind("kill -9 of the run", kill_run, 8, (*EARLY, "writing", "writing", "writing")),
    Kind("kill -9 of `tag-platform run`", kill_run, 1, ("planning", "planning", "writing"), 25),
    Kind("connections killed", kill_connections, 4, ("evaluating", "comparing", "writing", "writing")),
    Kind("lock's connection killed", kill_lock_owner_connection, 3, ("comparing", "writing")),
    Kind("lock's owner killed", None, 2, ("planning",)),
    Kind("database restarted", restart_database, 3, ("planning", "comparing", "writing", "writing")),
    Kind("deadlock", deadlock, 3, ("evaluating",)),
    Kind("object store gone", lose_store, 1, ("copying", "evaluating", "comparing", "writing")),
    Kind("disk full", fill_disk, 2, EARLY),
)
