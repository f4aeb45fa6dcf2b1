"""What one pass over the sources reads and for whom: the tables and columns that the rules name and nothing more; the
whole population where a rule is TRUE for a user of whom nothing is known, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_platform.compute.evaluate_tags import _decided, _join, tagged_users
from tag_platform.compute.plan import EvaluateTags, Snapshot, TagRule
from tag_platform.compute.tag_columns import planned_tags
from tag_platform.rules import ColumnSchema, RuleSchema
from tag_platform.rules.render import CONDITION

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.engine
TABLES: dict[str, dict[str, list[Any]]] = {
    "info": {"user_id": ["u1", "u2"], "age": [20, 50], "city": ["x", "y"]},
    "money": {"user_id": ["u2", "u3"], "cash": [5, 50], "debt": [1, None]},
    "visits": {"user_id": ["u4"], "count": [3]},
}
SCHEMA = RuleSchema(
    {
        "info": {"age": ColumnSchema("bigint"), "city": ColumnSchema("string")},
        "money": {"cash": ColumnSchema("bigint"), "debt": ColumnSchema("bigint")},
        "visits": {"count": ColumnSchema("bigint")},
    }
)


@pytest.fixture(scope="module")
def sail() -> Iterator[SparkSession]:
    from tag_platform.cli.rules_engines import engine_session

    with engine_session("sail", "UTC") as spark:
        yield spark


def leaf(field: str, operator: str, *value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, **({"value": value[0]} if value else {})}


def plan(folder: Path, *rules: list[dict[str, Any]], missing: tuple[str, ...] = ()) -> EvaluateTags:
    """A plan over the tables; those in `missing` have a snapshot that is not there."""
    for name, columns in TABLES.items():
        if name not in missing:
            (folder / name).mkdir()
            pq.write_table(pa.table(columns), folder / name / "part-0.parquet")
    return EvaluateTags(
        as_of=date(2026, 3, 1),
        timezone="UTC",
        tags=tuple(
            TagRule(tag_id=n, rule={"logic": "AND", "conditions": conditions}, version="")
            for n, conditions in enumerate(rules, 1)
        ),
        rule_schema=SCHEMA.to_json(),
        sources={
            name: Snapshot(
                directories=((folder / name).as_uri(),),
                columns={column: kind.stored for column, kind in SCHEMA.tables[name].items()},
            )
            for name in TABLES
        },
        shards=(0,),
        shard_count=1,
        output=(folder / "out").as_uri(),
    )


def columns(spark: SparkSession, made: EvaluateTags) -> list[str]:
    return sorted(_join(made, spark, planned_tags(made)[0]).columns)


def tagged(spark: SparkSession, made: EvaluateTags) -> dict[str, list[int]]:
    return {row["user_id"]: list(row["tag_ids"]) for row in tagged_users(made, spark).collect()}


def test_only_what_the_rules_name(sail: SparkSession, tmp_path: Path) -> None:
    """One column of one table; the other tables are not even opened."""
    made = plan(tmp_path, [leaf("age", ">", 18), leaf("age", "<", 30)], missing=("money", "visits"))
    assert columns(sail, made) == ["info.age", "user_id"]
    assert tagged(sail, made) == {"u1": [1]}


def test_several_rules_share_one_join(sail: SparkSession, tmp_path: Path) -> None:
    """Each column once, whichever rules name it, fields to compare with included."""
    made = plan(
        tmp_path,
        [leaf("age", ">", 18)],
        [{"field": "cash", "operator": ">", "value_field": "debt"}, leaf("age", "<", 99)],
        missing=("visits",),
    )
    assert columns(sail, made) == ["info.age", "money.cash", "money.debt", "user_id"]
    assert tagged(sail, made) == {"u1": [1], "u2": [1, 2]}


def test_rule_of_the_unknown_gets_everybody(sail: SparkSession, tmp_path: Path) -> None:
    """Users who are in other tables alone have NULL in this one; of the other tables no column is read but the id."""
    made = plan(tmp_path, [leaf("age", "is_null")])
    assert columns(sail, made) == ["info.age", "user_id"]
    assert tagged(sail, made) == {"u3": [1], "u4": [1]}


def test_rules_beside_one_of_the_unknown(sail: SparkSession, tmp_path: Path) -> None:
    """The whole population changes nothing for a rule that is not TRUE of unknown users."""
    made = plan(tmp_path, [leaf("age", "is_null")], [leaf("cash", ">=", 5)], [leaf("age", "!=", 20)])
    assert tagged(sail, made) == {"u2": [2, 3], "u3": [1, 2], "u4": [1]}


def test_a_condition_of_many_rules_is_computed_once(sail: SparkSession, tmp_path: Path) -> None:
    """A pattern that many rules look for is one column of the joined rows, which all of them use."""
    pattern = leaf("city", "matches", "^[xy]$")
    rules = [[pattern, leaf("age", ">", age)] for age in range(10, 60, 10)]
    made = plan(tmp_path, *rules, [leaf("city", "matches", "^z$")], missing=("money", "visits"))
    users, decided, broken = _decided(made, sail, planned_tags(made)[0])
    assert not broken
    assert len(decided) == 6
    conditions = [name for name in users.columns if name.startswith(CONDITION)]
    assert len(conditions) == 2
    assert tagged(sail, made) == {"u1": [1], "u2": [1, 2, 3, 4]}
