"""What was measured, as a table for people and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import psutil

from infra.benchmarks.processes import Took


@dataclass(frozen=True)
class Result:
    """One line of the table. `value` is what `reach` bounds; `ours` and `other` are the samples behind it, in seconds,
    `cold` those of the first, cold pair. `note` says what was compared."""

    what: str
    value: float
    unit: str
    reach: float | None
    note: str = ""
    ours: tuple[float, ...] = ()
    other: tuple[float, ...] = ()
    cold: tuple[float, float] | None = None
    memory: int | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        return None if self.reach is None else self.value <= self.reach


def ratio(
    what: str,
    reach: float | None,
    ours: Sequence[Took],
    other: Sequence[Took],
    note: str,
    cold: tuple[Took, Took] | None = None,
) -> Result:
    """Medians of pairs that ran alternately."""
    pairs = [one.seconds / two.seconds for one, two in zip(ours, other, strict=True)]
    return Result(
        what=what,
        value=median(pairs),
        unit="×",
        reach=reach,
        note=note,
        ours=tuple(took.seconds for took in ours),
        other=tuple(took.seconds for took in other),
        cold=None if cold is None else (cold[0].seconds, cold[1].seconds),
        memory=max(took.memory for took in ours),
    )


def table(results: Sequence[Result]) -> str:
    """Markdown, as it stands in docs/performance.md."""
    lines = ["| what | measured | reach | medians | cold |", "|---|---|---|---|---|"]
    for result in results:
        mark = {True: "✓", False: "✗", None: ""}[result.reached]
        reach = "" if result.reach is None else f"≤ {result.reach:g} {result.unit} {mark}"
        medians = f"{median(result.ours):.2f} s" if result.ours else ""
        medians += f" : {median(result.other):.2f} s" if result.other else ""
        cold = "" if result.cold is None else f"{result.cold[0]:.2f} s : {result.cold[1]:.2f} s"
        what = f"{result.what} ({result.note})" if result.note else result.what
        lines.append(f"| {what} | {result.value:.2f} {result.unit} | {reach} | {medians} | {cold} |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def as_json(results: Sequence[Result], **about: Any) -> dict[str, Any]:
    return {"machine": machine(), **about, "results": [asdict(result) for result in results]}
