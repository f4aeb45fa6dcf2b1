"""Percentiles of what a benchmark measured, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

PERCENTS = (50, 95, 100)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest measured value that at least so many percent of all are not above. Raises `ValueError` for none."""
    if not values:
        raise ValueError("no value was measured")
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def table(title: str, columns: Mapping[str, Sequence[float]]) -> str:
    """One line per column: how many values, and their percentiles."""
    width = max(len(title), *(len(name) for name in columns))
    lines = [f"{title:{width}}  {'n':>5} " + " ".join(f"{f'p{percent}':>8}" for percent in PERCENTS)]
    for name, values in columns.items():
        numbers = " ".join(f"{percentile(values, percent):8.3f}" for percent in PERCENTS)
        lines.append(f"{name:{width}}  {len(values):5} {numbers}")
    return "\n".join(lines)
