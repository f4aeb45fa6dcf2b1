"""The arithmetic of the benchmarks: numbers that are stated must be right."""

from __future__ import annotations

import pytest

from infra.benchmarks.load import most_at_once
from infra.benchmarks.percentiles import percentile


@pytest.mark.parametrize(("percent", "expected"), [(1, 1.0), (50, 10.0), (95, 19.0), (96, 20.0), (100, 20.0)])
def test_a_percentile_is_a_measured_value(percent: int, expected: float) -> None:
    """Of twenty values the 95th percentile is the nineteenth: one is above it."""
    assert percentile([float(n) for n in range(20, 0, -1)], percent) == expected


def test_no_value_has_no_percentile() -> None:
    """A benchmark that measured nothing must not print a number."""
    with pytest.raises(ValueError, match="no value"):
        percentile([], 50)


def test_runs_at_once_are_counted_at_their_peak() -> None:
    """Runs that follow each other are not at work together."""
    assert most_at_once([]) == 0
    assert most_at_once([(0, 1), (1, 2), (2, 3)]) == 1
    assert most_at_once([(0, 5), (1, 4), (2, 3), (4, 6)]) == 3
