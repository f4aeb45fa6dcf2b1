"""Tag classes in the data plane: the same users on every engine, in one pass with tags that are rules alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tag_platform.compute.plan import EvaluateTags, Snapshot, TagRule
from tag_platform.compute.report import TagsReport
from tag_platform.rules import ColumnSchema, RuleSchema
from tag_platform.settings import CHECKOUT
from tag_platform.shards import shard_key, shard_of
from tag_platform.tags import TagClass
from tag_platform_tests.engines import tag_classes
from tag_platform_tests.engines.conftest import PlanRunner

pytestmark = pytest.mark.engine
TODAY = date(2026, 11, 23)
PEOPLE: dict[str, list[Any]] = {
    "user_id": ["ann", "ben", "cem", "dan"],
    "age": [17, 18, 40, None],
    "country": ["CN", None, "DE", "CN"],
    "joined": [None, None, None, TODAY],
}
ACTIVITY: dict[str, list[Any]] = {
    "user_id": ["ann", "ben", "cem", "eve"],
    "trades": [9, 9, 9, 1],
    "logins": [3, 0, 4, None],
}
COLUMNS = {
    "people": {"age": "int", "country": "string", "joined": "date"},
    "activity": {"trades": "int", "logins": "int"},
}


def snapshot(folder: Path, table: str, rows: Mapping[str, Sequence[Any]]) -> Snapshot:
    """All users in one file of shard 000: the evaluation reads whatever the directories hold."""
    path = folder / table / "shard=000"
    path.mkdir(parents=True)
    types = {"int": pa.int32(), "string": pa.string(), "date": pa.date32()}
    arrays = {name: pa.array(rows[name], types[COLUMNS[table].get(name, "string")]) for name in rows}
    pq.write_table(pa.table(arrays), path / "part-0.parquet")
    return Snapshot(directories=(f"{(folder / table).as_uri()}/shard=000",), columns=COLUMNS[table])


def planned(tag_class: type | None, tag_id: int, field: str, least: float) -> TagRule:
    rule = {"logic": "AND", "conditions": [{"field": field, "operator": ">=", "value": least, "type": "number"}]}
    if tag_class is None:
        return TagRule(tag_id=tag_id, rule=rule, version="v")
    assert issubclass(tag_class, TagClass)
    return TagRule(
        tag_id=tag_id, rule=rule, version="v", tag_class=tag_class.path(), class_digest=tag_class.source_digest()
    )


@pytest.fixture(
    params=[
        "sail",
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("spark 3.5", marks=pytest.mark.spark),
    ]
)
def runner(request: pytest.FixtureRequest) -> PlanRunner:
    python = str(CHECKOUT / ".venv-spark35" / "bin" / "python") if request.param == "spark 3.5" else sys.executable
    return PlanRunner(None if request.param == "sail" else "local[2]", python)


def test_classes_decide_and_fail_alone(runner: PlanRunner, tmp_path: Path) -> None:
    """Pre-condition, derived fields and last word; five ways to fail, none of which costs another tag its users."""
    schema = RuleSchema({t: {n: ColumnSchema(k) for n, k in found.items()} for t, found in COLUMNS.items()})
    other_version = planned(tag_classes.Adults, 57, "age", 18).model_copy(update={"class_digest": "other"})
    plan = EvaluateTags(
        as_of=TODAY,
        timezone="UTC",
        tags=(
            planned(None, 50, "age", 18),
            planned(tag_classes.Adults, 51, "age", 18),
            planned(tag_classes.TradesPerLogin, 52, "trades_per_login", 2.5),
            planned(tag_classes.WithGrace, 53, "age", 30),
            planned(tag_classes.Raises, 54, "age", 0),
            planned(tag_classes.NoBoolean, 55, "age", 0),
            planned(tag_classes.FailsAtWork, 56, "age", 0),
            other_version,
            planned(None, 58, "age", 30).model_copy(update={"tag_class": "no_such_module:Nothing"}),
        ),
        rule_schema=schema.to_json(),
        sources={"people": snapshot(tmp_path, "people", PEOPLE), "activity": snapshot(tmp_path, "activity", ACTIVITY)},
        shards=(0, 1),
        shard_count=2,
        output=(tmp_path / "tags").as_uri(),
    )
    (report,) = runner.run(tmp_path, plan.model_dump_json())
    assert isinstance(report, TagsReport)
    written = ds.dataset(report.path.removeprefix("file://"), partitioning="hive").to_table().to_pylist()
    assert {row["user_id"]: row["tag_ids"] for row in written} == {
        "ann": [52],  # 17 years; 9 / 3
        "ben": [50],  # no country; no logins
        "cem": [50, 51, 53],  # 9 / 4 is below 2.5
        "dan": [53],  # no age, joined today
    }
    assert all(shard_key(shard_of(row["user_id"], 2)) == f"{int(row['shard']):03d}" for row in written)
    assert set(report.hits) == {50, 51, 52, 53}
    assert sum(report.users.values()) == 5
    reasons = {
        54: "RuntimeError: no idea",
        55: "gives a column of type date; boolean is needed",
        56: "a row that it cannot take",
        57: "another version here than where the run was planned",
        58: "cannot be imported here",
    }
    assert set(report.broken) == set(reasons)
    for tag_id, reason in reasons.items():
        assert reason in report.broken[tag_id]
