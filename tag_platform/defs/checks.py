"""The checks of sources and tags, decided from the numbers that a run has anyway: none of them reads data again.

Severity says what a person has to do. ERROR: something is wrong and stays wrong until somebody acts. WARN: it may be
right, look at it. Three defects of a source block what comes after it, since computing on would take tags from users
who still deserve them: a column that the source catalog promises is missing, a user is there twice, and far fewer or
more rows are there than were accepted last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, TableColumn, TableSchema

from tag_platform.catalog.sources import SourceTable
from tag_platform.compute.gate import ALLOW
from tag_platform.lake.raw import DuplicateUsers
from tag_platform.rules import ColumnSchema, RuleSchema
from tag_platform.rules.fields import BadField, decided_type, find_field, readable

RULE_VALID, HAS_USERS, POPULATION_STABLE = "rule_valid", "has_users", "population_stable"
COLUMNS_PRESENT, TYPES_FIT, FRESH = "columns_present", "types_fit", "fresh"
USER_IDS_UNIQUE, USER_IDS_USABLE, ROWS_STABLE = "user_ids_unique", "user_ids_usable", "rows_stable"
STALE_DAYS = 2  # a daily table may be a day late before anybody is called
UNUSABLE_SHARE = 0.01
JUMP_SHARE, JUMP_USERS = 0.5, 100  # below 100 users, a half comes and goes by itself


def declared_columns(table: SourceTable) -> TableSchema:
    """The columns that rules may rely on, for the asset's page."""
    columns = [TableColumn(table.user_id, "string", description="identifies the user")]
    return TableSchema(columns=[*columns, *(TableColumn(name, kind) for name, kind in table.columns.items())])


def source_check_specs(key: AssetKey) -> list[AssetCheckSpec]:
    return [
        AssetCheckSpec(
            COLUMNS_PRESENT, asset=key, blocking=True, description="The files have every column that is declared."
        ),
        AssetCheckSpec(
            TYPES_FIT, asset=key, description="Each declared column is stored in a type that can be read so."
        ),
        AssetCheckSpec(USER_IDS_UNIQUE, asset=key, blocking=True, description="No user is in the table twice."),
        AssetCheckSpec(
            ROWS_STABLE,
            asset=key,
            blocking=True,
            description="Not far fewer or more rows than when the table was last accepted.",
        ),
        AssetCheckSpec(USER_IDS_USABLE, asset=key, description="At most 1 % of the rows have no usable user id."),
        AssetCheckSpec(FRESH, asset=key, description=f"The newest partition is at most {STALE_DAYS} days old."),
    ]


def source_checks(
    table: SourceTable, facts: Mapping[str, Any], as_of: date, dry_run: bool = False
) -> Iterator[AssetCheckResult]:
    """Judges a source by the metadata of its materialization, as plain values. A dry run goes on where a jump of the
    rows would stop a real one."""
    missing = sorted(set(table.columns) - set(facts["stored_columns"]))
    yield AssetCheckResult(
        check_name=COLUMNS_PRESENT,
        passed=not missing,
        severity=AssetCheckSeverity.ERROR,
        description=f"The files lack {', '.join(missing)}; correct them or the source catalog." if missing else None,
    )
    jump = facts.get("gate") or None
    yield AssetCheckResult(
        check_name=ROWS_STABLE,
        passed=jump is None,
        severity=AssetCheckSeverity.WARN if dry_run else AssetCheckSeverity.ERROR,
        description=None if jump is None else f"{jump} {ALLOW}",
    )
    unfit = _unfit(table, facts["stored_columns"])
    yield AssetCheckResult(
        check_name=TYPES_FIT,
        passed=not unfit,
        severity=AssetCheckSeverity.ERROR,
        description=f"Rules cannot use {'; '.join(unfit)}. Correct the files or the source catalog." if unfit else None,
    )
    yield AssetCheckResult(check_name=USER_IDS_UNIQUE, passed=True)  # what has a user twice does not get this far
    rows, set_aside = int(facts["dagster/row_count"]), int(facts["set_aside"])
    share = set_aside / (rows + set_aside) if rows + set_aside else 0.0
    yield AssetCheckResult(
        check_name=USER_IDS_USABLE,
        passed=share <= UNUSABLE_SHARE,
        severity=AssetCheckSeverity.WARN,
        description=f"{set_aside:,} rows without a usable user id were set aside." if set_aside else None,
        metadata={"set_aside": set_aside, "share": share},
    )
    age = (as_of - date.fromisoformat(facts["partition"])).days if facts["partition"] else 0
    yield AssetCheckResult(
        check_name=FRESH,
        passed=age <= STALE_DAYS,
        severity=AssetCheckSeverity.WARN,
        description=f"The newest partition is {facts['partition']}, {age} days old." if age > STALE_DAYS else None,
        metadata={"age_days": age},
    )


def duplicate_users(error: DuplicateUsers) -> Iterator[AssetCheckResult]:
    """For a table that holds a user twice."""
    yield AssetCheckResult(
        check_name=USER_IDS_UNIQUE, passed=False, severity=AssetCheckSeverity.ERROR, description=str(error)
    )


def _unfit(table: SourceTable, stored: Mapping[str, str]) -> list[str]:
    """Declared columns whose stored type cannot be read as the declared one."""
    both = {name: ColumnSchema(stored[name], kind) for name, kind in table.columns.items() if name in stored}
    schema = RuleSchema({table.name: both})
    reasons = []
    for name in both:
        try:
            field = find_field(schema, name, table.name, name)
            readable(schema, field, decided_type(schema, field))
        except BadField as error:
            reasons.append(str(error))
    return reasons


def tag_check_specs(key: AssetKey) -> list[AssetCheckSpec]:
    return [
        AssetCheckSpec(RULE_VALID, asset=key, description="The tag's rule is valid and fits the source tables."),
        AssetCheckSpec(HAS_USERS, asset=key, description="At least one user has the tag."),
        AssetCheckSpec(
            POPULATION_STABLE,
            asset=key,
            description=f"At most {JUMP_SHARE:.0%} and {JUMP_USERS} users more or fewer than last time.",
        ),
    ]


def tag_checks(key: AssetKey, broken: str | None, hits: int | None, before: int | None) -> Iterator[AssetCheckResult]:
    """Judges one tag. `broken` is why it could not be computed; `hits` and `before` are its users now and last time.
    A tag that was not computed is judged by its rule alone."""
    yield AssetCheckResult(
        asset_key=key,
        check_name=RULE_VALID,
        passed=broken is None,
        severity=AssetCheckSeverity.ERROR,
        description=None if broken is None else f"Not computed; users keep this tag as they have it. {broken}",
    )
    if hits is None:
        return
    yield AssetCheckResult(
        asset_key=key,
        check_name=HAS_USERS,
        passed=hits > 0,
        severity=AssetCheckSeverity.WARN,
        description=None if hits else "No user has this tag. Is its rule what was meant?",
    )
    jump = 0 if before is None else abs(hits - before)
    yield AssetCheckResult(
        asset_key=key,
        check_name=POPULATION_STABLE,
        passed=jump <= JUMP_USERS or jump <= JUMP_SHARE * (before or 0),
        severity=AssetCheckSeverity.WARN,
        description=None if before is None else f"{hits:,} users, {before:,} last time.",
    )
