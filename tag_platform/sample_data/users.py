"""Invents rows of the three source tables. A chunk of users is a pure function of seed, position and day, so chunks can
be made in any order, at once, and again.

What does not change (age, registration, wealth) depends on seed and position alone; what moves daily on the day too.
About the shares of users per tag, of all users: 1: 14 %, 2: 10 %, 3: 35 %, 4: 6 %, 5: 12 %, 6: 9 %, 7: 36 %, 8: 25 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

EPOCH = date(1970, 1, 1)
LEVELS = np.array(["Regular", "VIP1", "VIP2", "VIP3"], dtype=object)
LEVEL_QUANTILES = (0.70, 0.85, 0.95)  # by wealth, with some chance
COUNTRIES = ("CN", "US", "SG", "HK", "JP", "GB", "DE", "BR")
COUNTRY_SHARES = (0.46, 0.16, 0.10, 0.09, 0.07, 0.05, 0.04, 0.03)
# Ids that no row of user_tags can have: unknown, empty, over 100 characters, ending in a space.
UNUSABLE_IDS = (None, None, "", "user_" + "9" * 100, "user_000001 ")


@dataclass(frozen=True)
class Chunk:
    """Users `first` … `first + size - 1` (counted from 1) on one day. `newest` is the last day of the whole request."""

    seed: int
    first: int
    size: int
    day: date
    newest: date

    def stream(self, purpose: int, daily: bool = False) -> np.random.Generator:
        """Random numbers of their own for each purpose, so that a new column leaves the old ones as they are."""
        return np.random.default_rng([self.seed, self.first, self.size, purpose, self.day.toordinal() if daily else 0])

    def wealth(self) -> FloatArray:
        """Standard normal; moves assets, level and trading of a user together."""
        return self.stream(1).standard_normal(self.size)

    def user_ids(self) -> pa.Array:
        numbers = pc.cast(pa.array(np.arange(self.first, self.first + self.size)), pa.string())
        return pc.binary_join_element_wise("user_", pc.utf8_lpad(numbers, 6, "0"), "")


def _column(values: Any, null: BoolArray | None = None, type_: pa.DataType | None = None) -> pa.Array:
    return pa.array(values, type=type_, mask=null, from_pandas=False)  # NaN stays NaN


def _dates(days_before: FloatArray, day: date, null: BoolArray) -> pa.Array:
    numbers = (day - EPOCH).days - np.floor(days_before).astype(np.int32)
    return _column(numbers.astype(np.int32), null).cast(pa.date32())


def _words(random: np.random.Generator, size: int, words: tuple[str, ...], shares: tuple[float, ...]) -> pa.Array:
    """Words by share; what the shares leave over is NULL."""
    index = np.searchsorted(np.cumsum(shares), random.random(size), side="right").astype(np.int32)
    return pa.DictionaryArray.from_arrays(_column(index, index >= len(words)), pa.array(words)).cast(pa.string())


def basic_info(chunk: Chunk) -> pa.Table:
    """Who the user is. `risk_score` is text, as some systems deliver it; a few are padded, empty or no number."""
    random, size = chunk.stream(2), chunk.size
    age = np.clip(18 + random.gamma(2.6, 7.2, size), 18, 95).astype(np.int32)
    odd = random.random(size)
    age[odd < 0.001] = 999
    age[odd > 0.9995] = 0
    rank = chunk.wealth() + random.normal(0, 0.5, size)
    thresholds = [_NORMAL_QUANTILES[q] * 1.118 for q in LEVEL_QUANTILES]  # sqrt(1 + 0.5²)
    level = LEVELS[np.searchsorted(thresholds, rank)]
    since = np.minimum(random.exponential(500, size), 3650)
    return pa.table(
        {
            "user_id": chunk.user_ids(),
            "age": _column(age, random.random(size) < 0.02),
            "gender": _words(random, size, ("F", "M", "other"), (0.48, 0.48, 0.01)),
            "country": _words(random, size, COUNTRIES, COUNTRY_SHARES),
            "user_level": _column(level, random.random(size) < 0.01, pa.string()),
            "kyc_status": _words(
                random, size, ("verified", "pending", "rejected", "Verified"), (0.78, 0.12, 0.05, 0.01)
            ),
            "registration_date": _dates(since, chunk.newest, random.random(size) < 0.01),
            "risk_score": _risk_scores(chunk),
        }
    )


_NORMAL_QUANTILES = {0.70: 0.5244, 0.85: 1.0364, 0.95: 1.6449}


def _risk_scores(chunk: Chunk) -> pa.Array:
    """Scores from 0 to 100 as text; they move a little from day to day."""
    steady, today = chunk.stream(3), chunk.stream(3, daily=True)
    score = steady.beta(2, 3, chunk.size) * 100 + today.normal(0, 1, chunk.size)
    text = pc.cast(pa.array(np.clip(score, 0, 100).astype(np.int32)), pa.string())
    odd = steady.random(chunk.size)
    text = pc.if_else(pa.array(odd < 0.01), pc.binary_join_element_wise(" ", text, " ", ""), text)
    for low, high, dirt in ((0.01, 0.015, "unknown"), (0.015, 0.02, ""), (0.02, 0.05, None)):
        text = pc.if_else(pa.array((odd >= low) & (odd < high)), pa.scalar(dirt, pa.string()), text)
    return text


def asset_summary(chunk: Chunk) -> pa.Table:
    """What the user owns: log-normal, with the median at 20,000. A few totals are NaN or slightly negative."""
    steady, today, size = chunk.stream(4), chunk.stream(4, daily=True), chunk.size
    total = 20_000 * np.exp(1.6 * chunk.wealth() + today.normal(0, 0.02, size))
    cash = total * steady.beta(1.3, 2.5, size)
    odd = steady.random(size)
    total[odd < 0.002] = np.nan
    total[odd > 0.999] = -12.5
    return pa.table(
        {
            "user_id": chunk.user_ids(),
            "total_asset_value": _column(np.round(total, 2), steady.random(size) < 0.02),
            "cash_balance": _column(np.round(cash, 2), steady.random(size) < 0.03),
        }
    )


def activity_summary(chunk: Chunk) -> pa.Table:
    """What the user did: a third never trades, a few trade very much. `login_count_30d` is text."""
    steady, today, size = chunk.stream(5), chunk.stream(5, daily=True), chunk.size
    trades = np.minimum(steady.pareto(1.2, size) * 3 * np.exp(0.15 * chunk.wealth()), 5000)
    trades = np.where(steady.random(size) < 0.30, 0, np.floor(trades + today.normal(0, 0.3, size))).clip(0)
    amount = trades * np.exp(steady.normal(5.5, 1.2, size))
    away = np.minimum(today.exponential(0.5, size) + steady.exponential(19, size), 800)
    logins = np.where(away < 30, steady.poisson(6, size) + 1, 0).astype(np.int32)
    return pa.table(
        {
            "user_id": chunk.user_ids(),
            "trade_count_30d": _column(trades.astype(np.int32), steady.random(size) < 0.02),
            "trade_amount_30d": _column(np.round(amount, 2), steady.random(size) < 0.02),
            "login_count_30d": pc.cast(_column(logins, steady.random(size) < 0.02), pa.string()),
            "last_login_date": _dates(away, chunk.day, steady.random(size) < 0.04),
        }
    )


@dataclass(frozen=True)
class SampleTable:
    """One source table: how rows are made, and which share of the users has none."""

    name: str
    rows: Callable[[Chunk], pa.Table]
    missing: float
    stream: int

    def chunk(self, chunk: Chunk, unusable: bool) -> pa.Table:
        """The rows of a chunk without the users that are missing here; with `unusable`, some that nobody can use."""
        table = self.rows(chunk)
        kept = chunk.stream(self.stream).random(chunk.size) >= self.missing
        result = table.filter(pa.array(kept))
        if not unusable:
            return result
        strays = table.take(pa.array(np.arange(len(UNUSABLE_IDS)) % chunk.size))
        return pa.concat_tables([result, strays.set_column(0, "user_id", pa.array(UNUSABLE_IDS, pa.string()))])


TABLES = (
    SampleTable("user_basic_info", basic_info, missing=0.005, stream=12),
    SampleTable("user_asset_summary", asset_summary, missing=0.08, stream=14),
    SampleTable("user_activity_summary", activity_summary, missing=0.12, stream=15),
)


def days_of(newest: date, days: int) -> list[date]:
    """The requested days, oldest first."""
    return [newest - timedelta(days=back) for back in range(days - 1, -1, -1)]
