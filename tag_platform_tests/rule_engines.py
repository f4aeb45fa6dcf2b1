"""Asks the oracle and each engine for the truth of many rules over the same users, and compares."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tag_platform.rules import Rule, evaluate, parse_rule
from tag_platform.rules.dataset import Dataset, parse_lines, parse_types
from tag_platform.rules.schema import ColumnType
from tag_platform.rules.to_sql import compile_sql
from tag_platform.rules.values import EPOCH, instant

if TYPE_CHECKING:
    import duckdb
    from pymysql.connections import Connection
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Batch:
    """Many rules over one dataset, with the rules of the tags that they may refer to."""

    rules: tuple[dict[str, Any], ...]
    references: dict[int, dict[str, Any]]
    dataset: Dataset
    as_of: date
    timezone: str

    @cached_property
    def parsed(self) -> list[Rule]:
        return [parse_rule(rule, self.dataset.schema, self.references) for rule in self.rules]

    def to_json(self) -> str:
        """The batch as JSON text, for another process."""
        return json_text(
            {
                "rules": list(self.rules),
                "references": {str(tag_id): rule for tag_id, rule in self.references.items()},
                "types": ",".join(f"{name}:{kind.name}" for name, kind in self.dataset.columns.items()),
                "lines": data_lines(self.dataset),
                "as_of": self.as_of.isoformat(),
                "timezone": self.timezone,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Batch:
        found = json.loads(text, parse_float=Decimal)
        dataset = parse_lines(found["lines"], parse_types(found["types"]))
        references = {int(tag_id): rule for tag_id, rule in found["references"].items()}
        as_of = date.fromisoformat(found["as_of"])
        return cls(tuple(found["rules"]), references, dataset, as_of, found["timezone"])


def json_text(value: Any) -> str:
    """JSON with exact numbers: `json` itself cannot write a Decimal."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {json_text(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)  # ASCII: one line whatever is in it


def data_lines(dataset: Dataset) -> list[str]:
    """The dataset as the lines that `rules eval --data` takes."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(member) for member in value]
        if isinstance(value, float):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), Decimal(repr(value)))
        return value.isoformat() if isinstance(value, date) else value

    return [
        json_text({"user_id": user, **{name: plain(value) for (_, name), value in row.items()}})
        for user, row in dataset.users
    ]


Truths = list[list[bool | None]]  # of each rule, for each user in the dataset's order


def by_oracle(batch: Batch) -> Truths:
    """By the evaluation in Python."""
    users = [values for _, values in batch.dataset.users]
    return [[evaluate(rule, user, batch.as_of, batch.timezone) for user in users] for rule in batch.parsed]


def by_spark(spark: SparkSession, batch: Batch) -> Truths:
    """By a Spark session, in one query."""
    from pyspark.sql import functions as F

    from tag_platform.rules.spark_eval import arrow_table
    from tag_platform.rules.to_spark import compile_rule

    names = {name: f"c{index}" for index, name in enumerate(batch.dataset.columns)}
    if "connect" in type(spark).__module__:
        frame = spark.createDataFrame(arrow_table(batch.dataset, batch.timezone))
    else:
        frame = spark.createDataFrame(_spark_rows(batch), _ddl(batch.dataset))
    truths = [
        compile_rule(rule, batch.as_of, lambda _, name: F.col(names[name]), batch.timezone).cast("int")
        for rule in batch.parsed
    ]
    rows = {row["user_id"]: row["t"] for row in frame.select("user_id", F.array(*truths).alias("t")).collect()}
    return _by_rule([rows[user] for user, _ in batch.dataset.users])


def _spark_rows(batch: Batch) -> list[tuple[Any, ...]]:
    """Rows of Python values, which every version takes; instants in UTC."""
    zone = ZoneInfo(batch.timezone)

    def aware(value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is None:
            return (EPOCH + timedelta(microseconds=instant(value, zone))).replace(tzinfo=UTC)
        return value

    columns = batch.dataset.columns
    return [(user, *(aware(row[("", name)]) for name in columns)) for user, row in batch.dataset.users]


def _ddl(dataset: Dataset) -> str:
    columns = [f"c{index} {kind.name}" for index, kind in enumerate(dataset.columns.values())]
    return ", ".join(["user_id string", *columns])


def by_duckdb(connection: duckdb.DuckDBPyConnection, batch: Batch) -> Truths:
    """By SQL in DuckDB, in one query."""
    from tag_platform.rules.spark_eval import arrow_table

    table = arrow_table(batch.dataset, batch.timezone)
    connection.register("users", table)
    return _by_sql(batch, "duckdb", lambda text, params: connection.execute(text, params).fetchall())


def by_mysql(connection: Connection[Any], batch: Batch) -> Truths:
    """By SQL in MySQL or MariaDB, in one query over a temporary table."""
    names = [f"c{index} {_mysql_type(kind)}" for index, kind in enumerate(batch.dataset.columns.values())]
    with connection.cursor() as cursor:
        cursor.execute("DROP TEMPORARY TABLE IF EXISTS users")
        cursor.execute(f"CREATE TEMPORARY TABLE users (user_id VARCHAR(100), {', '.join(names)}) CHARSET utf8mb4")
        places = ", ".join(["%s"] * (len(names) + 1))
        zone = ZoneInfo(batch.timezone)
        for user, values in batch.dataset.users:
            row = [_mysql_value(kind, values[("", name)], zone) for name, kind in batch.dataset.columns.items()]
            cursor.execute(f"INSERT INTO users VALUES ({places})", [user, *row])

        def run(text: str, params: Sequence[Any]) -> list[Any]:
            cursor.execute(text, params)
            return list(cursor.fetchall())

        return _by_sql(batch, "mysql", run)


def storable(batch: Batch) -> Batch:
    """The batch as MySQL can store it: NaN, which counts as NULL, and the infinities as NULL."""

    def stored(value: Any) -> Any:
        if isinstance(value, list):
            return [stored(member) for member in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    users = [(user, {key: stored(value) for key, value in row.items()}) for user, row in batch.dataset.users]
    return replace(batch, dataset=Dataset(batch.dataset.columns, users))


def _by_sql(batch: Batch, dialect: Any, run: Any) -> Truths:
    places = {name: f"c{index}" for index, name in enumerate(batch.dataset.columns)}
    compiled = [
        compile_sql(rule, batch.as_of, dialect, lambda _, name: places[name], batch.timezone) for rule in batch.parsed
    ]
    text = f"SELECT user_id, {', '.join(sql for sql, _ in compiled)} FROM users"
    rows = {row[0]: row[1:] for row in run(text, [param for _, params in compiled for param in params])}
    return _by_rule([rows[user] for user, _ in batch.dataset.users])


def _by_rule(rows: Sequence[Sequence[Any]]) -> Truths:
    return [[None if truth is None else bool(truth) for truth in truths] for truths in zip(*rows, strict=True)]


def _mysql_type(kind: ColumnType) -> str:
    if kind.base == "decimal":
        return f"DECIMAL({kind.precision},{kind.scale})"
    names = {"string": "LONGTEXT", "timestamp": "DATETIME(6)", "timestamp_ntz": "DATETIME(6)", "array": "LONGTEXT"}
    return names.get(kind.base, kind.name.upper())


def _mysql_value(kind: ColumnType, value: Any, zone: ZoneInfo) -> Any:
    if isinstance(value, list):
        members = [_mysql_value(kind.element, member, zone) for member in value] if kind.element else []
        return json.dumps([m.isoformat() if isinstance(m, date) else m for m in members], ensure_ascii=False)
    if isinstance(value, datetime) and kind.base == "timestamp":
        return EPOCH + timedelta(microseconds=instant(value, zone))
    return value


def disagreements(batch: Batch, found: Truths) -> Iterator[str]:
    """Where an engine says something else than the oracle: rule, values, both answers."""
    for place, (expected, answer) in enumerate(zip(by_oracle(batch), found, strict=True)):
        for (_, user), right, wrong in zip(batch.dataset.users, expected, answer, strict=True):
            if right is not wrong:
                used = {name: user[("", name)] for _, name in batch.parsed[place].fields}
                rule = json.dumps(batch.rules[place], ensure_ascii=False, default=_plain)
                yield f"{rule} at {batch.as_of}, {batch.timezone}, over {used}: {right} expected, {wrong} found"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value.isoformat()


def check_same(batch: Batch, found: Truths) -> None:
    """Fails with the disagreements."""
    wrong = list(disagreements(batch, found))
    assert not wrong, f"{len(wrong)} disagreements:\n" + "\n".join(wrong[:5])
