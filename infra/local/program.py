"""What the process runner has to know of one program of the local deployment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.local.ports import ServicePort


def _nothing() -> None:
    pass


def _answers_at_once() -> str | None:
    return None


@dataclass(frozen=True)
class Program:
    """One program: how it is started, when it is ready, how long it may take to end.

    `ready` returns None once the program answers, else words on what is still missing. `prepare` runs before the
    start, `complete` after it is ready (databases, buckets); both can be repeated.
    """

    name: str
    argv: tuple[str, ...]
    ports: tuple[ServicePort, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    address: str = ""
    stage: int = 0  # programs of a stage start together, after those of the stages before
    start_seconds: float = 180  # until `ready`; a busy laptop takes its time to import Dagster
    steady_seconds: int = 1  # alive so long = started; for programs without a port
    stop_seconds: int = 20
    prepare: Callable[[], None] = _nothing
    ready: Callable[[], str | None] = _answers_at_once
    complete: Callable[[], None] = _nothing

    def launch_order(self, unset: list[str]) -> dict[str, Any]:
        """What `infra.local.launch` reads: the command line, the variables to set and those to drop first."""
        return {"argv": list(self.argv), "environment": self.environment, "unset": unset}

    def digest(self) -> str:
        """Changes when the program would be started differently."""
        text = json.dumps([self.argv, sorted(self.environment.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]
