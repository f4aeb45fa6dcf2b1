"""The offsets of a time zone as data, so that SQL computes local dates by arithmetic alone: a database server may know
no time zones at all, and its session's zone is not ours to set."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tag_platform.rules.values import EPOCH

if TYPE_CHECKING:
    from tag_platform.rules.sql import Sql, SqlEngine

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


def local_text(engine: SqlEngine, micros: Sql, zone: ZoneInfo) -> Sql:
    """`YYYY-MM-DD HH:MM:SS.ffffff` on the clocks of the zone, of an instant in microseconds since 1970 (UTC)."""
    return _wall_text(engine, _local_micros(engine, micros, zone))


def _local_micros(engine: SqlEngine, micros: Sql, zone: ZoneInfo) -> Sql:
    table = offsets(zone)

    def chosen(low: int, high: int) -> Sql:
        if high - low == 1:
            return engine.integer(table[low][1])
        middle = (low + high) // 2
        before = engine.compare("<", micros, engine.integer(table[middle][0]))
        return engine.when(before, chosen(low, middle), chosen(middle, high))

    return engine.add(micros, chosen(0, len(table)))


def _wall_text(engine: SqlEngine, local: Sql) -> Sql:
    second, minute, hour, day = 10**6, 60 * 10**6, 3600 * 10**6, 86400 * 10**6
    in_day, in_hour, in_minute, in_second = (engine.modulo(local, unit) for unit in (day, hour, minute, second))

    def padded(number: Sql, width: int) -> Sql:
        return engine.substring(engine.integer_text(engine.add(number, engine.integer(10**width))), 2, width)

    def part(whole: Sql, rest: Sql, unit: int) -> Sql:
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
