"""Reads values: those written in rules (strictly, an error says what is allowed), those stored in columns (what does
not parse is NULL), and the Python form in which the two are compared exactly."""

from __future__ import annotations

import math
import re
import struct
import sys
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tag_platform.rules.errors import shown
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.strict_json import JsonNumber

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)  # nothing is rounded
EXACT_38 = Context(prec=80)
EPOCH = datetime(1970, 1, 1)
MAX_EXPONENT = 999_999_999_999_999  # beyond it nothing that a column can hold is told apart
MAX_DAYS = 4_000_000  # more days than there are from year 1 to year 9999
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?)([0-9]+))?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DATETIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6}))?")
TRUE_WORDS = ("true", "t", "yes", "y", "1")
FALSE_WORDS = ("false", "f", "no", "n", "0")


class BadValue(Exception):
    """A value in a rule that is not of its type. The message says what was found and what is allowed; `path` is that
    of the member of a list that is to blame."""

    def __init__(self, message: str, path: str | None = None) -> None:
        self.path = path
        super().__init__(message)


def parse_number(text: str) -> Decimal | None:
    """A number as rules and text columns write it, without blanks; None for anything else."""
    match = _NUMBER.fullmatch(text)
    if not match or not (match[2] or match[3]):
        return None
    exponent = (match[5] or "0").lstrip("0") or "0"
    power = MAX_EXPONENT if len(exponent) > 15 else int(exponent)
    if match[4] == "-":
        power = -power
    digits = (match[2] + (match[3] or "")).lstrip("0")
    if not digits:
        return Decimal(0)
    return Decimal(f"{match[1]}{digits}E{power - len(match[3] or '')}")


def parse_date(text: str) -> date | None:
    """`YYYY-MM-DD`, a day of the calendar from 0001-01-01 to 9999-12-31; None for anything else."""
    match = _DATE.fullmatch(text)
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def parse_datetime(text: str) -> datetime | None:
    """Date, a blank or `T`, and `HH:MM:SS` with up to six digits of a second; wall clock. None for anything else."""
    match = _DATETIME.fullmatch(text)
    if not match:
        return None
    try:
        return datetime.fromisoformat(f"{match[1]} {match[2]}.{(match[3] or '').ljust(6, '0')}")
    except ValueError:
        return None


def literal(kind: str, value: Any) -> Any:
    """The value of a rule as `kind` (number, string, enum, date, datetime, boolean). Raises `BadValue`."""
    if value is None:
        raise BadValue("null is not a value here; is_null and is_not_null ask for NULL")
    if isinstance(value, dict | list):
        raise BadValue(f"found {shown(value)}; one {kind} is allowed")
    written = isinstance(value, str) and not isinstance(value, JsonNumber)
    if kind in ("string", "enum"):
        if not written:
            raise BadValue(f"found {shown(value)}; a JSON string is allowed")
        return value
    parsed: Any = None
    if kind == "number":
        parsed = parse_number(value) if isinstance(value, str) else None
        allowed = 'a number, such as 100000 or "0.5"'
    elif kind == "date":
        parsed = parse_date(value) if written else None
        allowed = 'a date of the calendar, such as "2026-01-31"'
    elif kind == "datetime":
        parsed = parse_datetime(value) if written else None
        allowed = 'a date and time without offset, such as "2026-01-31 08:30:00"'
    else:
        word = value.lower() if written else value
        parsed = {"true": True, "false": False}.get(word) if written else value if isinstance(value, bool) else None
        allowed = "true or false"
    if parsed is None:
        raise BadValue(f"found {shown(value)}; allowed is {allowed}")
    return parsed


def day_count(value: Any) -> int:
    """A whole number of days from 0 on; counts beyond the calendar are cut. Raises `BadValue`."""
    number = parse_number(value) if isinstance(value, str) else None
    if number is None or number < 0:
        raise BadValue(f"found {shown(value)}; a whole number of days from 0 on is allowed")
    if number > MAX_DAYS and (number.adjusted() > 5000 or number == number.to_integral_value()):
        return MAX_DAYS
    if number.adjusted() < -1 or number != number.to_integral_value():
        raise BadValue(f"found {shown(value)}; a whole number of days is allowed")
    return int(number)


@dataclass(frozen=True, order=True)
class Moment:
    """A date and time. Stored timestamps are ordered as instants (`key` in microseconds since 1970, UTC), text and
    timestamps without zone by the wall clock (`key` is `wall`)."""

    key: Any
    wall: datetime = field(compare=False)


def instant(wall: datetime, zone: ZoneInfo) -> int:
    """Microseconds since 1970 of a wall-clock time: the earlier instant where the clock shows it twice, and the
    time moved on by the gap where the clock skips it."""
    offset = wall.replace(tzinfo=zone, fold=0).utcoffset() or timedelta(0)
    return (wall - EPOCH - offset) // timedelta(microseconds=1)


def _moment(stored: ColumnType, value: datetime, zone: ZoneInfo) -> Moment:
    if value.tzinfo is not None:
        value = value.astimezone(zone)
        since = value.replace(tzinfo=None) - EPOCH - (value.utcoffset() or timedelta(0))
        key: Any = since // timedelta(microseconds=1)
        value = value.replace(tzinfo=None)
    else:
        key = instant(value, zone)
    return Moment(key if stored.base == "timestamp" else value, value)


def read(stored: ColumnType, kind: str, value: Any, zone: ZoneInfo, element: str = "") -> Any:
    """A stored value as the rule type `kind`, or None where it is NULL, NaN or does not parse.

    Numbers become `Decimal` (infinities included), datetimes `Moment`, lists the tuple of their elements that are not
    NULL.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind == "list":
        assert stored.element is not None
        elements = (read(stored.element, element, member, zone) for member in value)
        return tuple(element for element in elements if element is not None)
    if stored.base == "string":
        parsed = read_text(kind, value)
        return _moment(stored, parsed, zone) if isinstance(parsed, datetime) else parsed
    if kind in ("string", "enum"):
        return as_text(stored, value)
    if stored.base == "float":
        return Decimal(_single(value) if stored.bits == 32 else float(value))
    if kind == "number":
        return Decimal(value)
    return _moment(stored, value, zone) if kind == "datetime" else value


def beside(stored: ColumnType, kind: str, value: Any, zone: ZoneInfo) -> Any:
    """The literal of a rule in the form in which `read` returns the column's values, to be compared with them."""
    if kind == "number":
        return as_stored(stored, value)
    return _moment(stored, value, zone) if kind == "datetime" else value


def read_text(kind: str, text: str) -> Any:
    """A stored text as the rule type `kind`; None where it does not parse."""
    if kind in ("string", "enum"):
        return text
    text = text.strip(" ")
    if kind == "number":
        return parse_number(text)
    if kind == "boolean":
        word = text.lower()
        return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None
    day, moment = parse_date(text), parse_datetime(text)
    if kind == "date":
        return day or (moment.date() if moment else None)
    return moment or (datetime(day.year, day.month, day.day) if day else None)


def _single(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def nearest_float(bits: int, number: Decimal) -> float:
    """The floating-point number of that width nearest to `number`."""
    return _single(float(number)) if bits == 32 else float(number)


def largest_float(bits: int) -> float:
    """The largest finite number of that width."""
    return float.fromhex("0x1.fffffep+127") if bits == 32 else sys.float_info.max


def float_before(bits: int, value: float) -> float:
    """The next smaller floating-point number of that width."""
    if bits == 64:
        return math.nextafter(value, -math.inf)
    (pattern,) = struct.unpack("<i", struct.pack("<f", value))
    pattern = pattern - 1 if pattern > 0 else -(2**31) + 1 if pattern in (0, -(2**31)) else pattern + 1
    return float(struct.unpack("<f", struct.pack("<i", pattern))[0])


def as_stored(stored: ColumnType, number: Decimal) -> Decimal:
    """The number that a literal means beside a column of this type.

    Beside a floating-point column a fraction means the nearest value of the column's type (0.3 equals the 0.3 that is
    stored). A whole number means itself: 9007199254740993 lies above the double 9007199254740992.
    """
    if stored.base != "float":
        return number
    near = nearest_float(stored.bits, number)
    if math.isinf(near):
        return number
    exact = Decimal(near)
    if number.adjusted() > 400 or number.adjusted() < -400:
        return exact
    whole = number == number.to_integral_value()
    same = exact == number or Decimal(repr(near)) == number
    return number if whole and not same else exact


def as_text(stored: ColumnType, value: Any) -> str:
    """A stored number, date or boolean as its text, the way Spark writes it (`100.0`, `1.0E10`, `true`)."""
    if stored.base == "boolean":
        return "true" if value else "false"
    if stored.base == "date":
        return str(value.isoformat())
    if stored.base == "decimal":
        return f"{Decimal(value):.{stored.scale}f}"
    if stored.base != "float":
        return str(int(value))
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = _shortest_single(value) if stored.bits == 32 else repr(float(value))
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    if not any(digits) or 1e-3 <= abs(value) < 1e7:
        plain = format(Decimal(text), "f")
        return plain if "." in plain else plain + ".0"
    figures = "".join(map(str, digits)).rstrip("0")
    power = exponent + len(digits) - 1
    return f"{'-' if sign else ''}{figures[0]}.{figures[1:] or '0'}E{power}"


def _shortest_single(value: float) -> str:
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if _single(float(text)) == _single(value):
            return text
    return repr(value)
