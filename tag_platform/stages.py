"""Stages of a run: each logs one line with its rows and seconds when it ends, and tells whoever shows progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

log = logging.getLogger("tag_platform.run")


@dataclass
class Stage:
    """One stage under way. `rows` and `note` are filled in by whoever does the work."""

    name: str
    shards: int
    started: float = field(default_factory=time.monotonic)
    rows: int | None = None
    note: str = ""
    seconds: float | None = None  # None while the stage is running


Listener = Callable[[Stage], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Calls `listener` whenever a stage of this process starts and ends."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def stage(name: str, shards: int) -> Iterator[Stage]:
    current = Stage(name, shards)
    _tell(current)
    yield current
    current.seconds = time.monotonic() - current.started
    rows = "" if current.rows is None else f"{current.rows:,} rows, "
    note = f" ({current.note})" if current.note else ""
    log.info("%s: %s%d shards, %.1f s%s", name, rows, shards, current.seconds, note)
    _tell(current)


def _tell(current: Stage) -> None:
    for listener in _listeners:
        listener(current)
