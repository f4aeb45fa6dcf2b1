"""The offsets of a time zone as data, so that engines compute local dates by arithmetic alone: they differ in what they
make of the session's time zone, and some know no zones at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

from tag_platform.rules.engine import Engine
from tag_platform.rules.values import EPOCH

E = TypeVar("E")

_FIRST, _LAST = datetime(1850, 1, 1), datetime(2150, 1, 1)
_UTC = ZoneInfo("UTC")
_STEP = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    """The zone's offset at an instant, given as naive UTC."""
    return at.replace(tzinfo=_UTC).astimezone(zone).utcoffset() or timedelta(0)


@lru_cache(maxsize=16)
def offsets(zone: ZoneInfo) -> tuple[tuple[int, int], ...]:
    """(first instant, offset), both in microseconds, ascending. Before 1850 and after 2149 the nearest one holds on."""
    at, current = _FIRST, _offset(_FIRST, zone)
    found = [((_FIRST - EPOCH) // _MICROSECOND, current // _MICROSECOND)]
    while at < _LAST:
        after = at + _STEP
        if (new := _offset(after, zone)) != current:
            low, high = 0, int(_STEP.total_seconds())
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(at + timedelta(seconds=middle), zone) == current:
                    low = middle
                else:
                    high = middle
            found.append(((at + timedelta(seconds=high) - EPOCH) // _MICROSECOND, new // _MICROSECOND))
            current = new
        at = after
    return tuple(found)


def local_micros(engine: Engine[E], micros: E, zone: ZoneInfo) -> E:
    """Microseconds of the wall clock since 1970, of an instant in microseconds since 1970 (UTC)."""
    table = offsets(zone)

    def chosen(low: int, high: int) -> E:
        if high - low == 1:
            return engine.integer(table[low][1])
        middle = (low + high) // 2
        before = engine.compare("<", micros, engine.integer(table[middle][0]))
        return engine.when(before, chosen(low, middle), chosen(middle, high))

    return engine.add(micros, chosen(0, len(table)))


def wall_text(engine: Engine[E], local: E, padded: Callable[[E, int], E]) -> E:
    """`YYYY-MM-DD HH:MM:SS.ffffff` of microseconds of the wall clock since 1970."""
    second, minute, hour, day = 10**6, 60 * 10**6, 3600 * 10**6, 86400 * 10**6
    in_day = engine.modulo(local, day)
    in_hour, in_minute, in_second = (engine.modulo(local, unit) for unit in (hour, minute, second))

    def part(whole: E, rest: E, unit: int) -> E:
        return padded(engine.quotient(engine.add(whole, engine.negative(rest)), unit), 2)

    days = engine.quotient(engine.add(local, engine.negative(in_day)), day)
    colon = engine.text(":")
    return engine.concat(
        [
            engine.day_text(engine.day_number(days)),
            engine.text(" "),
            part(in_day, in_hour, hour),
            colon,
            part(in_hour, in_minute, minute),
            colon,
            part(in_minute, in_second, second),
            engine.text("."),
            padded(in_second, 6),
        ]
    )
