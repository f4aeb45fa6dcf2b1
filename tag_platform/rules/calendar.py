"""Days of the calendar from 0001-01-01 to 9999-12-31, at whose ends date arithmetic stops."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

_LONGEST_WAIT = 366  # no anniversary is further away


def shifted(day: date, days: int) -> date:
    """`day` plus `days`, stopping at the first and the last day of the calendar."""
    ordinal = day.toordinal() + days
    return date.fromordinal(min(max(ordinal, 1), date.max.toordinal()))


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@lru_cache(maxsize=512)
def month_days(as_of: date, days: int) -> frozenset[tuple[int, int]]:
    """(month, day) of all dates that have an anniversary in `as_of … as_of + days`."""
    found: set[tuple[int, int]] = set()
    last = shifted(as_of, min(days, _LONGEST_WAIT))
    day = as_of
    while True:
        found.add((day.month, day.day))
        if (day.month, day.day) == (2, 28) and not is_leap(day.year):
            found.add((2, 29))
        if day >= last:
            return frozenset(found)
        day += timedelta(days=1)
