"""`up`, `down` and `status` of the local deployment, and `ensure_services` for commands that need its storage only.

Every change holds one lock, so that two commands at once wait for each other. A deployment that was killed or lost its
machine is recovered: processes left behind are recognised by their notes and ended, then everything starts as usual.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from infra.local import database, object_store
from infra.local.folders import Folders
from infra.local.ports import require_free
from infra.local.processes import end, noted_process
from infra.local.program import Program
from infra.local.services import additions, programs, require_installed, storage_programs
from infra.local.supervision import Supervisor, log_file
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.settings import Settings

log = logging.getLogger("tag_platform.local")
LOG_LINES = 15
FAILED_STATES = ("FATAL", "BACKOFF", "EXITED", "UNKNOWN", "STOPPED")


@dataclass(frozen=True)
class ProgramStatus:
    """One program as `status` shows it. `state`: running, starting, not answering, stopped, failed."""

    name: str
    state: str
    pid: int | None
    port: int | None
    uptime_seconds: int | None
    address: str
    log: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def up(
    settings: Settings,
    say: Callable[[str], None] = log.info,
    only: list[str] | None = None,
    added: Collection[str] = (),
) -> list[ProgramStatus]:
    """Starts what does not run yet and waits until all answers; programs whose settings changed start anew.

    `added` are names of `services.additions`; what was added before stays until `down`. Raises `BadInput` for a taken
    port or an unknown name, and `TagPlatformError` with the last lines of its log for a program that fails.
    """
    wanted = _with_additions(settings, added)
    require_installed(added)
    if only is not None:
        unknown = set(only) - {program.name for program in wanted}
        if unknown:
            known = ", ".join(program.name for program in wanted)
            raise BadInput(f"No program {', '.join(sorted(unknown))} in this deployment; it has {known}.")
        wanted = [program for program in wanted if program.name in only]
    _start(settings, wanted, say, everything=only is None)
    return status(settings)


def _with_additions(settings: Settings, added: Collection[str] = ()) -> list[Program]:
    """The programs of every deployment, and those that this one has or is to have beside them."""
    known = additions(settings)
    unknown = sorted(set(added) - set(known))
    if unknown:
        raise BadInput(f"--with {', '.join(unknown)}: only {' and '.join(known)} can be added.")
    run = Folders.of(settings).run
    more = [
        program
        for name, members in known.items()
        for program in members
        if name in added or (run / f"{program.name}.json").exists()
    ]
    return [*programs(settings), *more]


def ensure_services(settings: Settings, say: Callable[[str], None] = log.info) -> None:
    """Makes sure of database server, object store, databases and bucket, as these settings name them."""
    _start(settings, storage_programs(settings), say, everything=False)


def _start(settings: Settings, wanted: list[Program], say: Callable[[str], None], everything: bool) -> None:
    if wanted:
        folders = Folders.of(settings)
        folders.create()
        with _locked(folders, say):
            _start_programs(Supervisor(folders), settings, wanted, say, everything)
    if not settings.runs_own_database:
        database.ensure_databases(settings)
    if not settings.runs_own_object_store:
        object_store.ensure_bucket(settings)


def _start_programs(
    supervisor: Supervisor, settings: Settings, wanted: list[Program], say: Callable[[str], None], everything: bool
) -> None:
    states = supervisor.states()
    running = [p for p in wanted if states.get(p.name, {}).get("statename") == "RUNNING"]
    if not everything and running == wanted and all(program.ready() is None for program in wanted):
        for program in wanted:
            program.complete()
        return
    changed = _prepare_supervisor(supervisor, settings, wanted, everything)
    for stage in sorted({program.stage for program in wanted}):
        together = [program for program in wanted if program.stage == stage]
        for program in together:
            _start_one(supervisor, program, program.name in changed, say)
        for program in together:
            _await_ready(supervisor, program)
            program.complete()


def _prepare_supervisor(
    supervisor: Supervisor, settings: Settings, wanted: list[Program], everything: bool
) -> list[str]:
    """Brings supervisord up with the configuration of the wanted programs; returns programs stopped for a change."""
    supervisor.end_unanswering()
    alive = supervisor.pid() is not None
    known = [*programs(settings), *(p for members in additions(settings).values() for p in members)]
    if not alive:
        _end_orphans(supervisor, known)
    supervisor.write_configuration(wanted, known, everything or not alive)
    if alive:
        return supervisor.apply_configuration()
    supervisor.start()
    return []


def _end_orphans(supervisor: Supervisor, known: list[Program]) -> None:
    """Ends programs that outlived a supervisord that was killed."""
    patience = {program.name: program.stop_seconds for program in known}
    notes = [path for path in supervisor.folders.run.glob("*.pid") if path != supervisor.pid_file]
    for note in sorted(notes, key=lambda path: -list(patience).index(path.stem) if path.stem in patience else 0):
        if process := noted_process(note):
            log.warning("%s was left behind by an earlier deployment (process %d): ending it", note.stem, process.pid)
            end(process, patience.get(note.stem, 20))
        if note.stem in patience:
            note.unlink(missing_ok=True)


def _start_one(supervisor: Supervisor, program: Program, changed: bool, say: Callable[[str], None]) -> None:
    state = supervisor.states().get(program.name, {}).get("statename")
    if state in ("RUNNING", "STARTING"):
        say(f"{program.name}: already running")
        return
    for port in program.ports:
        require_free(port, wait=3)
    program.prepare()
    supervisor.start_program(program.name)
    say(f"{program.name}: {'its settings changed, starting anew' if changed else 'starting'}")


def _await_ready(supervisor: Supervisor, program: Program) -> None:
    """Returns once the program runs steadily and answers."""
    deadline = time.monotonic() + program.start_seconds
    missing: str | None = "it is not running yet"
    while time.monotonic() < deadline:
        state = supervisor.states().get(program.name, {}).get("statename")
        if state in FAILED_STATES:
            missing = "it ended at once"
            break
        missing = program.ready() if state == "RUNNING" else "it is not running yet"
        if missing is None:
            return
        time.sleep(0.1)
    path = log_file(supervisor.folders, program.name)
    tail = path.read_text(errors="replace").splitlines()[-LOG_LINES:] if path.exists() else []
    supervisor.stop_program(program.name)
    raise TagPlatformError(
        f"{program.name} did not start: {missing}. The end of its log {path}:\n" + "\n".join(f"  {x}" for x in tail)
    )


def down(settings: Settings, say: Callable[[str], None] = log.info) -> bool:
    """Ends the deployment's programs, the last started first, and supervisord. Data stay.

    Returns False where nothing was running.
    """
    folders = Folders.of(settings)
    if not folders.run.exists():
        return False
    with _locked(folders, say):
        supervisor = Supervisor(folders)
        known = _with_additions(settings)
        states = supervisor.states()
        running = [name for name, info in states.items() if info["statename"] not in ("STOPPED", "EXITED", "FATAL")]
        order = {program.name: program.stage for program in known}
        for name in sorted(running, key=lambda name: -order.get(name, 9)):
            say(f"{name}: stopping")
            supervisor.stop_program(name)
        supervisor.shut_down()
        orphans = any(noted_process(note) for note in folders.run.glob("*.pid"))
        _end_orphans(supervisor, known)
        for order_file in folders.run.glob("*.json"):
            order_file.unlink()
        return bool(running) or orphans


def status(settings: Settings) -> list[ProgramStatus]:
    """Every program of the deployment, whether it runs or not."""
    folders = Folders.of(settings)
    states = Supervisor(folders).states() if folders.run.exists() else {}
    return [_status_of(program, states.get(program.name, {}), folders) for program in _with_additions(settings)]


def _status_of(program: Program, info: dict[str, Any], folders: Folders) -> ProgramStatus:
    words = {"RUNNING": "running", "STARTING": "starting", "STOPPING": "stopping", "FATAL": "failed"}
    state = words.get(info.get("statename", ""), "failed" if info.get("statename") == "BACKOFF" else "stopped")
    if state == "running" and program.ready() is not None:
        state = "not answering"
    alive = bool(info.get("pid"))
    return ProgramStatus(
        name=program.name,
        state=state,
        pid=info["pid"] if alive else None,
        port=program.ports[0].number if program.ports else None,
        uptime_seconds=max(0, info["now"] - info["start"]) if alive else None,
        address=program.address,
        log=str(log_file(folders, program.name)),
    )


def require_stopped(settings: Settings, *names: str) -> None:
    """Raises `TagPlatformError` where one of these programs runs."""
    running = [row.name for row in status(settings) if row.name in names and row.state not in ("stopped", "failed")]
    if running:
        raise TagPlatformError(f"{', '.join(running)} would lose its data while running: `tag-platform down` first.")


@contextmanager
def _locked(folders: Folders, say: Callable[[str], None]) -> Iterator[None]:
    with (folders.home / "deployment.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is starting or stopping this deployment: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
