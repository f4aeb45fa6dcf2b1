"""Rounds of one fault each, and their tally."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from infra.local.database import ServerBinary
from tag_platform.catalog.tags import load_catalog
from tag_platform.errors import TagPlatformError
from tag_platform_tests.faults import kinds, process, world
from tag_platform_tests.faults.kinds import KINDS, Kind, Strike
from tag_platform_tests.faults.moments import draw, newest_merge, wait_for
from tag_platform_tests.faults.proof import Findings, last_recorded, prove, rows_now
from tag_platform_tests.faults.servers import Ground, ground

SMALL_DISK = "4m"


@dataclass
class Tally:
    """What happened in all rounds. `ended` counts how runs that met a fault ended by themselves."""

    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    left_out: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return sum(self.struck.values())

    def __str__(self) -> str:
        found = self.findings
        lines = [f"{'fault':<32} {'struck':>7} {'too late':>9}"]
        lines += [f"{name:<32} {self.struck[name]:>7} {self.missed[name]:>9}" for name in (k.name for k in KINDS)]
        lines += [f"runs that met a fault: {', '.join(f'{n} {how}' for how, n in sorted(self.ended.items()))}"]
        lines += [f"left out: {reason}" for reason in self.left_out]
        bad = len({sentence.split(":")[0] for sentence in found.all()})
        lines += [
            f"faults survived {self.faults - bad} of {self.faults}, rows lost {len(found.rows)}, timestamps wrong "
            f"{len(found.times)}, accounts uneven {len(found.account)}, ledger gaps {len(found.ledger)}, locks left "
            f"{len(found.locks)}"
        ]
        return "\n".join([*lines, *found.all()[:40]])


def run_rounds(
    count: int,
    seed: int,
    folder: Path,
    say: Callable[[str], None],
    chosen: Sequence[Kind] = KINDS,
    store_away: float = 10,
    binary: ServerBinary | None = None,
) -> Tally:
    """Runs `count` rounds; everything that is drawn follows from `seed`. With as many kinds as rounds, or fewer
    rounds, each kind comes as often as the others; otherwise by its weight."""
    tally = Tally()
    rng = random.Random(seed)
    with ground(folder, binary) as place, _small_disk(tally) as disk:
        truth = world.World(place, rng)
        truth.prepare()
        workers = process.Workers(folder / "worker.log")
        try:
            _undisturbed(truth, workers)
            usable = [kind for kind in chosen if disk or kind.strike is not kinds.fill_disk]
            for number in range(1, count + 1):
                if count <= 2 * len(usable):
                    kind = usable[(number - 1) % len(usable)]
                else:
                    kind = rng.choices(usable, [k.weight for k in usable])[0]
                _round(number, kind, truth, workers, disk, store_away, tally, say, folder)
        finally:
            workers.stop()
    return tally


@contextmanager
def _small_disk(tally: Tally) -> Iterator[Path | None]:
    """A file system of a few megabytes; None, and a word in the tally, where this user may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="tag_platform-full-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        tally.left_out.append(f"disk full, since no small disk can be mounted: {mounted.stderr.decode().strip()}")
    try:
        yield None if mounted.returncode else folder
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _undisturbed(truth: world.World, workers: process.Workers) -> None:
    """The first load, and with it the proof that the suite knows what is right."""
    step = truth.step()
    place = truth.ground
    for change in step.changes:
        world.change_by_hand(place.admin, *change)
    for decision in step.decisions:
        world.decide(place, *decision)
    before, recorded, ledger = rows_now(place.admin), last_recorded(place.admin), newest_merge(place.admin)
    end = workers.start(step.tag_ids).outcome()
    assert end["event"] == "done", end
    found = prove(place, before, truth.table, recorded, ledger, set(), [end], details_of(place))
    assert not found.all(), found


def details_of(place: Ground) -> dict[int, dict[str, str]]:
    from tag_platform.mysql import Database

    return {tag.tag_id: tag.details for tag in load_catalog(Database.of(place.settings)).tags}


def _round(
    number: int,
    kind: Kind,
    truth: world.World,
    workers: process.Workers,
    disk: Path | None,
    store_away: float,
    tally: Tally,
    say: Callable[[str], None],
    folder: Path,
) -> None:
    place = truth.ground
    before, recorded, ledger = rows_now(place.admin), last_recorded(place.admin), newest_merge(place.admin)
    previous = dict(truth.table)
    step = truth.step()
    moment = draw(truth.rng, kind.phases, kind.stretch)
    pauses = [truth.rng.uniform(0, 1.5) for _ in range(2)]
    if kind.strike is kinds.kill_run:
        workers.prepare_spare()
    lake = None
    if kind.strike is kinds.fill_disk and disk is not None:
        lake = (disk / f"lake-{number}").as_uri()
    owner = kinds.dead_owner() if kind.strike is None else None
    whole = "tag-platform" in kind.name
    run = process.command(step.tag_ids, folder / "command.log") if whole else workers.start(step.tag_ids, lake)
    people = people_at_work(place, step, pauses)
    strike = Strike(place, run, _to_write(previous, truth.table), disk, store_away)
    struck = wait_for(moment, run, place.admin, ledger)
    if owner is not None:
        struck = kinds.kill_owner_while_run_waits(strike, owner)
    elif struck and kind.strike is not None:
        struck = kind.strike(strike)
    end = run.outcome()
    for person in people:
        person.join()
    (tally.struck if struck else tally.missed)[kind.name] += 1
    if struck:
        tally.ended["ended well all the same" if end["event"] == "done" else f"{end['event']}"] += 1
    again = process.command(step.tag_ids, folder / "command.log") if whole else workers.start(step.tag_ids)
    retry = again.outcome()
    found = prove(
        place,
        before,
        truth.table,
        recorded,
        ledger,
        {user for user, _, _ in step.decisions},
        [end, retry],
        details_of(place),
    )
    where = f"round {number}, {kind.name} at {moment}"
    for name in ("rows", "times", "account", "ledger", "locks"):
        getattr(tally.findings, name).extend(f"{where}: {sentence}" for sentence in getattr(found, name))
    outcome = end["event"] if struck else "too late"
    say(f"{where}: {outcome}; {'; '.join(found.all()[:3]) or 'right'}" + _reason(end, struck))


def _reason(end: dict[str, Any], struck: bool) -> str:
    return f" ({end['error'].splitlines()[0][:160]})" if struck and end["event"] == "failed" else ""


def _to_write(before: world.Table, after: world.Table) -> list[str]:
    """Users with a row that will change."""
    return sorted(user for user, tags in after.items() if user in before and before[user] != tags)


def people_at_work(place: Ground, step: world.Step, pauses: list[float]) -> list[threading.Thread]:
    """People at work beside the run: their own changes, and decisions through the platform. They try again while the
    database is away, as people do."""

    def change() -> None:
        time.sleep(pauses[0])
        for entry in step.changes:
            _insist(lambda entry=entry: world.change_by_hand(place.admin, *entry))  # type: ignore[misc]

    def decide() -> None:
        time.sleep(pauses[1])
        for entry in step.decisions:
            _insist(lambda entry=entry: world.decide(place, *entry))  # type: ignore[misc]

    threads = [threading.Thread(target=change), threading.Thread(target=decide)]
    for thread in threads:
        thread.start()
    return threads


def _insist(action: Callable[[], None]) -> None:
    deadline = time.monotonic() + process.PATIENCE
    while True:
        try:
            action()
            return
        except (pymysql.err.MySQLError, TagPlatformError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
