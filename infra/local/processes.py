"""Ends processes that this deployment started, by pid, and only after their start time has proved it."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

ALLOWED_DRIFT = 1.0  # seconds; clocks that are set shift the start time that the system reports


def noted_process(note: Path) -> psutil.Process | None:
    """The living process of a note written by `infra.local.launch`; None where it has ended."""
    try:
        content = json.loads(note.read_text())
        process = psutil.Process(int(content["pid"]))
        same = abs(process.create_time() - float(content["started"])) < ALLOWED_DRIFT
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def end(process: psutil.Process, patience: float) -> None:
    """Asks the process to end, waits `patience` seconds, then ends it and what it started by force."""
    try:
        family = [process, *process.children(recursive=True)]
        process.terminate()
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs(family, timeout=patience)
    for left in alive:
        try:
            left.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=10)
