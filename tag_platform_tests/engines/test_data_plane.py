"""The same plans give the same snapshots on Sail and on Apache Spark: plan files in, Parquet and reports out."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tag_platform.compute.many_tags import MANY
from tag_platform.compute.plan import EvaluateTags, ShardSource, Snapshot, TagRule
from tag_platform.compute.report import SourceReport, TagsReport
from tag_platform.rules import ColumnSchema, RuleSchema
from tag_platform.shards import shard_key, shard_of
from tag_platform_tests.engines.conftest import PlanRunner

pytestmark = pytest.mark.engine
SHARDS = 4
IDS = ["u1", "u2", "u3", "用户", "A1", "a1", "", None, "x" * 101, "blank ", " leading"]
USABLE = ["u1", "u2", "u3", "用户", "A1", "a1", " leading"]
SCORES = ["10", " 20 ", "30.5", "unknown", "", None, "-5", "1", "1", "1", "3e1"]
CASH = [1.0, float("nan"), 60000.0, None, 50000.0, 49999.99, 7e5, 1.0, 1.0, 1.0, 0.0]


def shard_plan(folder: Path, table: str, column: pa.Array) -> ShardSource:
    file = folder / f"{table}.parquet"
    pq.write_table(pa.table({"user_id": pa.array(IDS, pa.string()), "value": column}), file)
    return ShardSource(
        table=table,
        user_id="user_id",
        files=(file.as_uri(),),
        shards=tuple(range(SHARDS)),
        shard_count=SHARDS,
        output=(folder / "lake" / table).as_uri(),
    )


def rule(field: str, operator: str, value: object) -> dict[str, object]:
    leaf = {"field": field, "operator": operator, "value": value, "type": "number"}
    return {"logic": "AND", "conditions": [leaf]}


def test_sources_and_tags(engine: PlanRunner, tmp_path: Path) -> None:
    """Sharding, setting aside, text read as numbers, NaN as unknown, one pass for several tags."""
    scores = shard_plan(tmp_path, "scores", pa.array(SCORES, pa.string()))
    assets = shard_plan(tmp_path, "assets", pa.array(CASH, pa.float64()))
    present = sorted({shard_of(user, SHARDS) for user in USABLE})
    schema = RuleSchema(
        {"scores": {"value": ColumnSchema("string", "int")}, "assets": {"value": ColumnSchema("double", None)}}
    )
    evaluate = EvaluateTags(
        as_of=date(2026, 11, 23),
        timezone="UTC",
        tags=(
            TagRule(tag_id=3, rule=rule("scores.value", "<=", 30), version="a"),
            TagRule(tag_id=6, rule=rule("assets.value", ">=", 50000), version="b"),
        ),
        rule_schema=schema.to_json(),
        sources={
            plan.table: Snapshot(
                directories=tuple(f"{plan.output}/shard={shard_key(shard)}" for shard in present),
                columns={"value": schema.tables[plan.table]["value"].stored},
            )
            for plan in (scores, assets)
        },
        shards=tuple(range(SHARDS)),
        shard_count=SHARDS,
        output=(tmp_path / "lake" / "tags").as_uri(),
    )
    # The same two tags among many more, which are packed into bits: 100, 101, … take every 20,000 of the amount.
    steps = {100 + n: 20_000 * n for n in range(MANY + 3)}
    many = evaluate.model_copy(
        update={
            "tags": (
                *(TagRule(tag_id=n, rule=rule("assets.value", ">", step), version="c") for n, step in steps.items()),
                *evaluate.tags,
            ),
            "output": (tmp_path / "lake" / "many").as_uri(),
        }
    )
    plans = [plan.model_dump_json() for plan in (scores, assets, evaluate, many)]
    source, _, tags, packed = engine.run(tmp_path, *plans)

    assert isinstance(source, SourceReport)
    assert source.set_aside == len(IDS) - len(USABLE)
    assert source.rows == {n: sum(shard_of(user, SHARDS) == n for user in USABLE) for n in range(SHARDS)}
    assert source.columns == {"value": "string"}

    written = ds.dataset(tmp_path / "lake" / "tags", partitioning="hive").to_table().to_pylist()
    assert {row["user_id"]: row["tag_ids"] for row in written} == {
        "u1": [3],  # 10
        "u2": [3],  # " 20 "; NaN is no amount
        "u3": [6],  # 30.5 is over 30
        "A1": [6],  # exactly 50,000; "" is no number
        " leading": [3],  # 3e1
    }
    assert all(shard_of(row["user_id"], SHARDS) == int(row["shard"]) for row in written)
    assert isinstance(tags, TagsReport)
    assert sum(tags.users.values()) == len(USABLE)
    assert {tag: sum(hits.values()) for tag, hits in tags.hits.items()} == {3: 3, 6: 2}

    both = {row["user_id"]: row["tag_ids"] for row in written}
    written = ds.dataset(tmp_path / "lake" / "many", partitioning="hive").to_table().to_pylist()
    amounts = {user: 0.0 if cash is None or cash != cash else cash for user, cash in zip(IDS, CASH, strict=True)}
    expected = {u: [*both.get(u, []), *(n for n, step in steps.items() if amounts[u] > step)] for u in USABLE}
    assert {row["user_id"]: row["tag_ids"] for row in written} == {user: ids for user, ids in expected.items() if ids}
    assert isinstance(packed, TagsReport)
    listed = [tag_id for tag_ids in expected.values() for tag_id in tag_ids]
    assert {tag: sum(hits.values()) for tag, hits in packed.hits.items()} == {
        tag.tag_id: listed.count(tag.tag_id) for tag in many.tags
    }
    assert packed.rows == {
        n: sum(bool(expected[u]) and shard_of(u, SHARDS) == n for u in USABLE) for n in range(SHARDS)
    }
    assert packed.users == tags.users
    assert {tag: packed.sample[tag] for tag in tags.sample} == tags.sample
