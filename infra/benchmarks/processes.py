"""Runs a command as a process of its own and says what it took: seconds on the clock and of the processors, and the
most memory that it and its children held at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from tag_platform.errors import TagPlatformError

LIMIT_SECONDS = 1800
SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Took:
    """What one process took. `memory` is in bytes; `output` is what it printed."""

    seconds: float
    cpu_seconds: float
    memory: int
    output: str


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Took:
    """Runs `python command…` with this interpreter. Raises `TagPlatformError` where it fails."""
    before = os.times()
    started = time.monotonic()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *command],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,  # so that a time-out ends its children with it
    )
    peak = [0]
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, peak, ended), daemon=True)
    watch.start()
    try:
        output, errors = process.communicate(timeout=LIMIT_SECONDS)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        ended.set()
    seconds = time.monotonic() - started
    after = os.times()
    watch.join()
    if process.returncode:
        raise TagPlatformError(f"{' '.join(command)} failed:\n" + "\n".join(errors.strip().splitlines()[-15:]))
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(seconds, cpu, peak[0], output)


def _watch(pid: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        try:
            parent = psutil.Process(pid)
            held = sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True)))
        except psutil.Error:
            continue
        peak[0] = max(peak[0], held)
