"""What checks say of a source and of a tag, from the numbers of a run."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from dagster import AssetCheckSeverity, AssetKey

from tag_platform.catalog.sources import SourceTable
from tag_platform.defs.checks import source_check_specs, source_checks, tag_checks

TABLE = SourceTable(name="t", path="t", partition="dt", columns={"age": "int"})
GOOD = {"stored_columns": {"age": "int"}, "dagster/row_count": 990, "set_aside": 10, "partition": "2026-03-01"}
KEY = AssetKey(["tag", "tag_1"])


def failed(facts: dict[str, Any], as_of: date = date(2026, 3, 2)) -> set[str]:
    return {str(check.check_name) for check in source_checks(TABLE, {**GOOD, **facts}, as_of) if not check.passed}


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({}, set()),
        ({"stored_columns": {"other": "int"}}, {"columns_present"}),
        ({"gate": "half of it is gone"}, {"rows_stable"}),
        ({"stored_columns": {"age": "string"}}, set()),
        ({"stored_columns": {"age": "date"}}, {"types_fit"}),
        ({"stored_columns": {"age": "array<int>"}}, {"types_fit"}),
        ({"stored_columns": {"age": "map<string,int>"}}, {"types_fit"}),
        ({"set_aside": 11}, {"user_ids_usable"}),
        ({"partition": "2026-02-27"}, {"fresh"}),
        ({"partition": ""}, set()),
    ],
)
def test_each_defect_of_a_source_fails_its_own_check(facts: dict[str, Any], names: set[str]) -> None:
    assert failed(facts) == names


def test_only_what_would_take_tags_wrongly_blocks() -> None:
    """A late or slightly dirty table must not stop everybody's tags."""
    blocking = [spec.name for spec in source_check_specs(KEY) if spec.blocking]
    assert blocking == ["columns_present", "user_ids_unique", "rows_stable"]


@pytest.mark.parametrize(
    ("hits", "before", "names"),
    [
        (1_000, None, set()),
        (1_500, 1_000, set()),
        (1_501, 1_000, {"population_stable"}),
        (400, 1_000, {"population_stable"}),
        (90, 10, set()),
        (0, None, {"has_users"}),
    ],
)
def test_empty_tags_and_jumps_warn(hits: int, before: int | None, names: set[str]) -> None:
    results = [check for check in tag_checks(KEY, None, hits, before) if not check.passed]
    assert {check.check_name for check in results} == names
    assert all(check.severity == AssetCheckSeverity.WARN for check in results)


def test_a_broken_tag_is_judged_by_its_rule_alone() -> None:
    """Its population is unknown: to call it empty would be wrong."""
    (check,) = tag_checks(KEY, "$.conditions[0].field: unknown", None, None)
    assert check.check_name == "rule_valid"
    assert not check.passed
    assert "$.conditions[0].field" in (check.description or "")
