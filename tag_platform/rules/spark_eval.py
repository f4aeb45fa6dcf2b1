"""Decides many rules over a small dataset with a Spark session, in one query. `to_spark` does the work; this brings the
data in and the answers out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyspark.sql import functions as F

from tag_platform.rules.dataset import Dataset
from tag_platform.rules.model import Rule
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.to_spark import compile_rule
from tag_platform.rules.values import Moment, read

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ARROW = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}


def matched_users(
    spark: SparkSession, rules: Sequence[tuple[Rule, date]], dataset: Dataset, timezone: str
) -> list[list[str]]:
    """For each rule, with its own `as_of`, the users for whom it is TRUE, sorted."""
    matched: list[list[str]] = [[] for _ in rules]
    if not rules or not dataset.users:
        return matched
    frame = spark.createDataFrame(arrow_table(dataset, timezone))
    names = {name: f"c{index}" for index, name in enumerate(dataset.columns)}
    hits = [
        F.when(compile_rule(rule, as_of, lambda _, name: F.col(names[name]), timezone), F.lit(index))
        for index, (rule, as_of) in enumerate(rules)
    ]
    found = F.filter(F.array(*hits), lambda hit: hit.isNotNull()).alias("hits")
    for row in frame.select("user_id", found).collect():
        for index in row["hits"]:
            matched[index].append(row["user_id"])
    return [sorted(users) for users in matched]


def arrow_table(dataset: Dataset, timezone: str) -> pa.Table:
    """The dataset in Arrow: `user_id`, and the columns as `c0`, `c1`, … in the dataset's order."""
    zone = ZoneInfo(timezone)
    arrays = [pa.array([user for user, _ in dataset.users], pa.string())]
    for name, kind in dataset.columns.items():
        column = [_arrow_value(kind, row[("", name)], zone) for _, row in dataset.users]
        arrays.append(pa.array(column, _arrow_type(kind), from_pandas=False))
    return pa.table(arrays, names=["user_id", *(f"c{index}" for index in range(len(dataset.columns)))])


def _arrow_type(kind: ColumnType) -> Any:
    if kind.element is not None:
        return pa.list_(_arrow_type(kind.element))
    return pa.decimal128(kind.precision, kind.scale) if kind.base == "decimal" else _ARROW[kind.name]


def _arrow_value(kind: ColumnType, value: Any, zone: ZoneInfo) -> Any:
    if value is None or kind.base not in ("timestamp", "timestamp_ntz", "array"):
        return value
    if kind.element is not None:
        return [_arrow_value(kind.element, member, zone) for member in value]
    moment = read(kind, "datetime", value, zone)
    assert isinstance(moment, Moment)
    return moment.key
