"""A tag's life in a running deployment: a row in MySQL is all it takes, and nothing is restarted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_platform_tests.e2e.dagster_processes import Processes, dagster_processes, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ASSETS = "{ assetNodes { assetKey { path } } }"
CHECK = """
query ($path: [String!]!) { assetNodeOrError(assetKey: {path: $path}) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }
"""
TICKS = """
query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
  sensorState { ticks(limit: 1) { status skipReason } } } } }
"""
SELECTOR = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "tag_platform",
    "sensorName": "live_tags",
}


def write_sources(root: Path) -> None:
    """Ten users, u0 … u9, aged 20 to 29."""
    users = [f"u{i}" for i in range(10)]
    today = datetime.now(UTC).date()
    tables: dict[str, dict[str, list[object]]] = {
        "user_basic_info": {
            "age": [20 + i for i in range(10)],
            "gender": ["m"] * 10,
            "country": ["CN"] * 10,
            "user_level": ["VIP1"] * 10,
            "kyc_status": ["verified"] * 10,
            "registration_date": [today] * 10,
            "risk_score": [50] * 10,
        },
        "user_asset_summary": {"total_asset_value": [1.0] * 10, "cash_balance": [1.0] * 10},
        "user_activity_summary": {
            "trade_count_30d": [1] * 10,
            "trade_amount_30d": [1.0] * 10,
            "login_count_30d": [1] * 10,
            "last_login_date": [today] * 10,
        },
    }
    for name, columns in tables.items():
        folder = root / name / f"dt={today}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"user_id": users, **columns}), folder / "part-0.parquet")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    folder = tmp_path_factory.mktemp("live")
    write_sources(folder / "warehouse")
    with dagster_processes(folder, folder / "warehouse") as processes:
        # From the first tick on, what is inserted is a change.
        eventually(lambda: last_tick(processes) == "All tags are as they were requested.", "the first tick", 90)
        yield processes


def last_tick(running: Processes) -> str | None:
    ticks = running.graphql(TICKS, selector=SELECTOR)["sensorOrError"]["sensorState"]["ticks"]
    return str(ticks[0]["skipReason"]) if ticks else None


def tags(running: Processes) -> set[str]:
    nodes = running.graphql(ASSETS)["assetNodes"]
    return {node["assetKey"]["path"][1] for node in nodes if node["assetKey"]["path"][0] == "tag"}


def users_of(running: Processes, tag_id: int) -> set[str]:
    rows = running.sql("SELECT user_id FROM user_tags WHERE JSON_CONTAINS(tag_ids, %s)", str(tag_id))
    return {user for (user,) in rows}


def insert(running: Processes, tag_id: int, field: str, least: int) -> None:
    leaf = {"field": field, "operator": ">=", "value": least, "type": "number"}
    rule = json.dumps({"logic": "AND", "conditions": [leaf]})
    definition = "INSERT INTO tag_definition (tag_id, tag_name, tag_category) VALUES (%s, %s, %s)"
    running.sql(definition, tag_id, f"tag {tag_id}", "人口特征")
    running.sql("INSERT INTO tag_rules (tag_id, rule_conditions) VALUES (%s, %s)", tag_id, rule)


def test_a_tag_lives_and_goes_without_a_restart(running: Processes) -> None:
    """Inserted: in the graph and with its users. Changed: users who lapsed lose it. Retired: gone from both."""
    insert(running, 101, "age", 25)
    eventually(lambda: "tag_101" in tags(running), "the new tag in GraphQL", 90)
    eventually(lambda: users_of(running, 101) == {f"u{i}" for i in range(5, 10)}, "the tag with its users", 120)
    running.sql("UPDATE tag_rules SET rule_conditions = REPLACE(rule_conditions, '25', '28') WHERE tag_id = 101")
    eventually(lambda: users_of(running, 101) == {"u8", "u9"}, "the changed rule's users", 120)
    running.sql("UPDATE tag_definition SET is_active = FALSE WHERE tag_id = 101")
    eventually(lambda: "tag_101" not in tags(running), "the retired tag out of GraphQL", 90)
    eventually(lambda: not users_of(running, 101), "no user left with the retired tag", 120)


def test_a_broken_rule_fails_its_check_and_nothing_else(running: Processes) -> None:
    """One bad row must never take the code location with it."""
    before = tags(running)
    insert(running, 102, "no_such_column", 1)

    def status() -> str | None:
        node = running.graphql(CHECK, path=["tag", "tag_102"])["assetNodeOrError"]
        checks = node.get("assetChecksOrError", {}).get("checks", [])
        found = [c["executionForLatestMaterialization"] for c in checks if c["name"] == "rule_valid"]
        return found[0]["status"] if found and found[0] else None

    eventually(lambda: status() == "FAILED", "the failed check", 150)
    assert tags(running) == before | {"tag_102"}
    assert not users_of(running, 102)


def test_a_catalog_that_cannot_be_read_changes_nothing(running: Processes) -> None:
    """Assets that vanish with the database would take their history and their checks with them."""
    before = tags(running)
    running.sql("RENAME TABLE tag_definition TO tag_definition_away")
    try:
        eventually(lambda: (last_tick(running) or "").startswith("The graph stays as it is"), "the skipped tick", 90)
        assert tags(running) == before
    finally:
        running.sql("RENAME TABLE tag_definition_away TO tag_definition")
    eventually(lambda: last_tick(running) == "All tags are as they were requested.", "the next tick", 90)
    assert tags(running) == before
