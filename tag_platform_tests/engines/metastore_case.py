"""What `test_metastore` does on real Spark, in a process of its own: makes tables in a Hive metastore, runs the
platform over them, changes a file, runs again. Prints what happened as one JSON line."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tag_platform.compute.engine import session
from tag_platform.settings import Settings, load_settings
from tag_platform_tests.platform import TODAY, run, tags_of, write_people, write_raw

USERS = ["u1", "u2", "u3"]
INFO = (
    "age int, gender string, country string, user_level string, kyc_status string, registration_date date, "
    "risk_score string"
)


def main() -> None:
    settings = load_settings()
    rich: dict[str, list[Any]] = {"total_asset_value": [2e5] * 3, "age": [20] * 3}
    for days in (-1, 1):  # a day that is over, and one that is still to come: everybody is rich
        write_people(settings, USERS, TODAY + timedelta(days=days), **rich)
    write_people(settings, USERS, total_asset_value=[2e5, 1.0, 1.0], age=[20, 40, 40])
    make_tables(settings)
    runs = [run(settings)]
    told = [tags_of(settings)]
    assets = {"user_id": USERS, "total_asset_value": [2e5, 2e5, 1.0], "cash_balance": [0.0] * 3}
    write_raw(settings, "user_asset_summary", assets)
    runs.append(run(settings))
    told.append(tags_of(settings))
    print(json.dumps({"sources": [outcome["sources"] for outcome in runs], "tags": told}))


def make_tables(settings: Settings) -> None:
    """A partitioned table, a view over one, and a plain table."""
    root = Path(urlsplit(settings.warehouse).path)
    days = [TODAY + timedelta(days=n) for n in (-1, 0, 1)]
    statements = ["CREATE DATABASE tags"]
    for name, folder, columns in (
        ("user_basic_info", "user_basic_info", INFO),
        ("raw_assets", "user_asset_summary", "total_asset_value double, cash_balance double"),
    ):
        statements += [
            f"CREATE EXTERNAL TABLE tags.{name} (user_id string, {columns}) PARTITIONED BY (dt string) "
            f"STORED AS PARQUET LOCATION '{root}/{folder}'",
            *(f"ALTER TABLE tags.{name} ADD PARTITION (dt='{day}')" for day in days),
        ]
    statements += [
        "CREATE VIEW tags.user_asset_summary AS SELECT * FROM tags.raw_assets",
        f"CREATE TABLE tags.user_activity_summary USING PARQUET LOCATION '{root}/user_activity_summary/dt={TODAY}'",
    ]
    with session(settings) as spark:
        for statement in statements:
            spark.sql(statement)


if __name__ == "__main__":
    main()
