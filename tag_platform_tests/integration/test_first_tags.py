"""The eight first tags over realistic data: equal to an independent DuckDB query over the same Parquet files."""

from __future__ import annotations

import json
from datetime import date

import duckdb
import pytest

from tag_platform.catalog.migrate import migrate
from tag_platform.sample_data import warehouse as samples
from tag_platform.settings import Settings
from tag_platform_tests.platform import query, run, tags_of, user_tags

pytestmark = pytest.mark.integration
TODAY = date(2026, 11, 23)
USERS = 100_000

# Written from the tags' definition, not from our code. TRY_CAST of the trimmed text stands for "what is no number is
# unknown"; NaN is unknown too.
ORACLE = """
WITH users AS (
    SELECT user_id, age, user_level, kyc_status, registration_date, TRY_CAST(trim(risk_score) AS DOUBLE) AS risk_score,
           CASE WHEN isnan(total_asset_value) THEN NULL ELSE total_asset_value END AS total_asset_value,
           CASE WHEN isnan(cash_balance) THEN NULL ELSE cash_balance END AS cash_balance,
           trade_count_30d, last_login_date
    FROM basic FULL JOIN assets USING (user_id) FULL JOIN activity USING (user_id)
    WHERE user_id IS NOT NULL AND length(user_id) BETWEEN 1 AND 100 AND user_id NOT LIKE '% '
), tagged AS (
    SELECT user_id, list_filter([
        CASE WHEN total_asset_value >= 100000 THEN 1 END,
        CASE WHEN trade_count_30d > 10 THEN 2 END,
        CASE WHEN risk_score <= 30 THEN 3 END,
        CASE WHEN registration_date BETWEEN DATE '2026-11-23' - 30 AND DATE '2026-11-23' THEN 4 END,
        CASE WHEN user_level IN ('VIP2', 'VIP3') AND kyc_status = 'verified' THEN 5 END,
        CASE WHEN cash_balance >= 50000 THEN 6 END,
        CASE WHEN age BETWEEN 18 AND 30 THEN 7 END,
        CASE WHEN last_login_date BETWEEN DATE '2026-11-23' - 7 AND DATE '2026-11-23' THEN 8 END
    ], lambda tag: tag IS NOT NULL) AS tag_ids FROM users
)
SELECT user_id, tag_ids FROM tagged WHERE len(tag_ids) > 0
"""


def right_answer(settings: Settings) -> dict[str, list[int]]:
    """What DuckDB makes of the newest partition."""
    import pyarrow.dataset as ds

    from tag_platform.lake.filesystem import open_filesystem

    filesystem, root = open_filesystem(settings.warehouse, settings)
    names = {"basic": "user_basic_info", "assets": "user_asset_summary", "activity": "user_activity_summary"}
    connection = duckdb.connect()
    for name, table in names.items():
        connection.register(name, ds.dataset(f"{root}/{table}/dt={TODAY}", filesystem=filesystem).to_table())
    return dict(connection.execute(ORACLE).fetchall())


@pytest.fixture(scope="module")
def computed(module_settings: Settings) -> Settings:
    samples.write(module_settings, samples.Request(USERS, 7, 2, TODAY), lambda _: None)
    outcome = run(module_settings)
    assert outcome["user_tags"]["inserted"] == len(right_answer(module_settings))
    return module_settings


def test_equals_duckdb(computed: Settings) -> None:
    """Every user has exactly the tags that an independent query finds."""
    assert tags_of(computed) == right_answer(computed)


@pytest.mark.slow
def test_a_million_users_equal_duckdb(settings: Settings) -> None:
    """The same for a million users: more files, more batches, more than one task for each part of the work."""
    migrate(settings)
    samples.write(settings, samples.Request(1_000_000, 8, 1, TODAY), lambda _: None)
    expected = right_answer(settings)
    assert run(settings)["user_tags"] == {"inserted": len(expected), "updated": 0, "unchanged": 0}
    assert tags_of(settings) == expected


def test_details_name_each_tag(computed: Settings) -> None:
    """`tag_details` has the name and category of exactly the tags in `tag_ids`."""
    definitions = {
        str(tag_id): {"tag_name": name, "tag_category": category}
        for tag_id, name, category in query(computed, "SELECT tag_id, tag_name, tag_category FROM tag_definition")
    }
    for tag_ids, details, _, _ in user_tags(computed).values():
        assert json.loads(details) == {str(tag_id): definitions[str(tag_id)] for tag_id in json.loads(tag_ids)}


def test_second_run_writes_nothing(computed: Settings) -> None:
    """A rerun writes no row, moves no time stamp and copies no source."""
    before = user_tags(computed)
    outcome = run(computed)
    assert outcome["user_tags"] == {"inserted": 0, "updated": 0, "unchanged": len(before)}
    assert not any(source["copied"] for source in outcome["sources"].values())
    assert user_tags(computed) == before


def test_dirt_is_set_aside_and_counted(computed: Settings) -> None:
    """Rows without a usable user id are counted and never become users."""
    outcome = run(computed, tag_ids=[1])
    assert all(source["set_aside"] > 0 for source in outcome["sources"].values())
    assert not [user for user in tags_of(computed) if not user or len(user) > 100 or user.endswith(" ")]
