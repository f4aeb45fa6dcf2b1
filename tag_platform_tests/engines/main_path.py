"""One input for the whole main path, with what engines disagree about in it, and the comparison of what they wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import yaml

from tag_platform.mysql import Database, transaction
from tag_platform.sample_data import warehouse
from tag_platform.settings import PACKAGE, Settings
from tag_platform_tests.platform import TODAY, query

USERS = 1_500
EDGE_COLUMNS = {
    "score": "double",  # kept as text
    "ratio": "double",
    "amount": "decimal(20,4)",
    "seen": "timestamp",
    "born": "date",  # kept as text
    "labels": "array<string>",
    "groups": "array<int>",
    "active": "boolean",  # kept as text
}
_NAN, _INF = float("nan"), float("inf")
EDGE_ROWS: dict[str, list[Any]] = {
    "user_id": [
        "user_000001",
        "user_000002",
        "user_000003",
        "用户",
        "A1",
        "a1",
        " lead",
        "trail ",
        "",
        None,
        "é",
        "e\u0301",
    ],
    "score": ["10", " 20.5 ", "3e1", "abc", "", None, "-1", "1", "1", "1", "1_000", "٣"],
    "ratio": [_NAN, 0.1 + 0.2, -0.0, 1e308, _INF, None, -_INF, 1.0, 1.0, 1.0, 0.3, 5e-324],
    "amount": [Decimal(n) for n in ("1.0001", "9999999999999999.9999", "-0.0001", "0", "100", "100.0000")]
    + [None, Decimal(1), Decimal(1), Decimal(1), Decimal("9007199254740993"), Decimal("9007199254740992")],
    "seen": [datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 22, 16, tzinfo=UTC), None]
    + [
        datetime(2024, 2, 29, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, tzinfo=UTC),
        datetime(2026, 11, 24, tzinfo=UTC),
    ]
    + [datetime(2026, 11, 16, tzinfo=UTC)] * 6,
    "born": [
        *("2000-02-29", "1999-11-23", "1999-11-30", "31/12/1999", "", None),
        *("0001-01-01", "x", "x", "x", "2000-13-01", "2000-11-25 10:00:00"),
    ],
    "labels": [["a", "b"], ["b", None], [], None, [None], ["中文"], ["A"], [], [], [], ["a"], ["é"]],
    "groups": [[1, 2], [2, 2], [], None, [None, 3], [3], [1], [], [], [], [-1], [2**31 - 1]],
    "active": ["true", "YES", "f", "0", "maybe", None, " 1 ", "1", "1", "1", "n", ""],
}
RULES: dict[int, tuple[str, str, Any, str | None]] = {
    9: ("user_edge.score", ">=", 10, "number"),
    10: ("user_edge.ratio", "!=", 0.3, "number"),
    11: ("user_edge.amount", ">", "9007199254740992", "number"),
    12: ("user_edge.seen", "recent_days", 7, "datetime"),
    13: ("user_edge.born", "anniversary_within_days", 10, "date"),
    14: ("user_edge.labels", "contains_none", ["a", "中文"], None),
    15: ("user_edge.groups", "contains_any", [2, 3], None),
    16: ("user_edge.active", "is_true", None, "boolean"),
    17: ("user_edge.labels", "is_null", None, None),  # true for every user that the table lacks
    18: ("user_edge.born", "days_ago", 9000, "date"),
}

DECISIONS = [
    *(("user_000003", tag_id, "pin") for tag_id in (1, 2, 3)),
    *(("user_000004", tag_id, "exclude") for tag_id in range(1, 9)),
    ("nobody", 5, "pin"),
]


def write_input(folder: Path, settings: Settings) -> Path:
    """Writes the warehouse of `settings`, and a source catalog with one more table; returns the catalog's path."""
    warehouse.write(settings, warehouse.Request(USERS, 7, 1, TODAY), lambda line: None)  # noqa: ARG005
    types = {
        "user_id": pa.string(),
        "score": pa.string(),
        "ratio": pa.float64(),
        "amount": pa.decimal128(20, 4),
        "seen": pa.timestamp("us", tz="UTC"),
        "born": pa.string(),
        "labels": pa.list_(pa.string()),
        "groups": pa.list_(pa.int32()),
        "active": pa.string(),
    }
    table = pa.table({name: pa.array(EDGE_ROWS[name], kind) for name, kind in types.items()})
    edge = folder / "edge" / f"dt={TODAY}"
    edge.mkdir(parents=True)
    pq.write_table(table.slice(0, 6), edge / "part-0.parquet")
    pq.write_table(table.slice(6), edge / "part-1.parquet")
    catalog = yaml.safe_load((PACKAGE / "catalog" / "sources.yaml").read_text())
    catalog["tables"]["user_edge"] = {
        "path": (folder / "edge").as_uri(),
        "partition": "dt",
        "columns": EDGE_COLUMNS,
    }
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump(catalog, sort_keys=False))
    return path


def prepare_database(settings: Settings) -> None:
    """The rules over the additional table, rows that other hands have written (a tag that nobody defines, doubled and
    unsorted ids, a user whom no table knows), and what people decided for single users."""
    with transaction(Database.of(settings)) as cursor:
        for tag_id, (field, operator, value, kind) in RULES.items():
            leaf = {"field": field, "operator": operator}
            leaf |= {} if value is None else {"value": value}
            leaf |= {} if kind is None else {"type": kind}
            rule = {"logic": "AND", "conditions": [leaf]}
            cursor.execute(
                "INSERT INTO tag_definition (tag_id, tag_name, tag_category) VALUES (%s, %s, '行为分析')",
                (tag_id, f"边界 {tag_id}"),
            )
            cursor.execute(
                "INSERT INTO tag_rules (tag_id, rule_conditions) VALUES (%s, %s)", (tag_id, json.dumps(rule))
            )
        rows = [("user_000001", "[900, 1]"), ("user_000002", "[3, 2, 2]"), ("gone", "[5, 900]"), ("user_000009", "[]")]
        cursor.executemany("INSERT INTO user_tags (user_id, tag_ids, tag_details) VALUES (%s, %s, '{}')", rows)
        cursor.executemany(
            "INSERT INTO user_tag_overrides (user_id, tag_id, kind, in_force, made_by, why)"
            " VALUES (%s, %s, %s, 1, 'ann', 'asked for it')",
            DECISIONS,
        )


def stored(settings: Settings) -> list[tuple[Any, ...]]:
    """`user_tags`, every row, as canonical text."""
    rows = query(
        settings, "SELECT user_id, CAST(tag_ids AS CHAR), CAST(tag_details AS CHAR) FROM user_tags ORDER BY user_id"
    )
    return [(user, json.loads(tags), json.loads(details)) for user, tags, details in rows]


def snapshots(lake: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every snapshot, by asset: NaN as text, so that it equals itself."""
    return {name: sorted((_row(row) for row in rows), key=repr) for name, rows in _read(lake)}


def _read(lake: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for folder in sorted([*lake.glob("source/*"), lake / "tags", lake / "merged_user_tags"]):
        (snapshot,) = folder.iterdir()
        partitioning = ds.partitioning(pa.schema([("shard", pa.string())]), flavor="hive")
        yield str(folder.relative_to(lake)), ds.dataset(snapshot, partitioning=partitioning).to_table().to_pylist()


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(row[name]) for name in sorted(row)}


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):  # Spark writes UTC instants with or without the mark
        return value.replace(tzinfo=None).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value
