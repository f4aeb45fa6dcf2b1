"""Moments of a run at which a fault strikes: a phase, and a pause after its start."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from tag_platform.mysql import Database, transaction
from tag_platform_tests.faults.process import Run

# Phase → the longest pause after its start, in seconds: about as long as the phase lasts.
PHASES = {"planning": 0.3, "copying": 0.4, "evaluating": 0.3, "comparing": 0.4, "writing": 0.35}
_STAGES = {"copying": "copy ", "evaluating": "evaluate ", "comparing": "merge "}


@dataclass(frozen=True)
class Moment:
    phase: str
    pause: float

    def __str__(self) -> str:
        return f"{self.phase} +{self.pause:.2f} s"


def draw(rng: random.Random, phases: tuple[str, ...], stretch: float = 1.0) -> Moment:
    phase = rng.choice(phases)
    return Moment(phase, rng.uniform(0, PHASES[phase]) * (stretch if phase == "planning" else 1.0))


def newest_merge(admin: Database) -> int:
    with transaction(admin) as cursor:
        cursor.execute("SELECT COALESCE(MAX(merge_id), 0) FROM tag_merges")
        return int(cursor.fetchone()[0])


def wait_for(moment: Moment, run: Run, admin: Database, ledger_before: int) -> bool:
    """Waits until the moment has come; False where the run ended before."""
    while run.end is None:
        run.pump(0.01)
        if moment.phase == "planning":
            break
        if moment.phase == "writing":
            if newest_merge(admin) > ledger_before:
                break
        elif any(name.startswith(_STAGES[moment.phase]) for name in run.stages):
            break
    deadline = time.monotonic() + moment.pause
    while run.end is None and time.monotonic() < deadline:
        run.pump(0.005)
    return run.end is None
