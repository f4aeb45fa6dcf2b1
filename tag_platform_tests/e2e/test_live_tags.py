"""A tag's life in a running deployment: a row in MySQL is all it takes, and nothing is restarted."""

from __future__ import annotations

import json

import pytest

from tag_platform_tests.e2e.dagster_processes import Processes, eventually, last_tick

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ASSETS = "{ assetNodes { assetKey { path } } }"
CHECK = """
query ($path: [String!]!) { assetNodeOrError(assetKey: {path: $path}) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }
"""


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
