"""What tests do with the platform: write raw tables, run, look into MySQL, and ask DuckDB for the right answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tag_platform.lake.filesystem import open_filesystem
from tag_platform.mysql import Database, transaction
from tag_platform.settings import Settings

TODAY = date(2026, 11, 23)


def write_raw(
    settings: Settings, table: str, columns: Mapping[str, Sequence[Any] | pa.Array], day: date = TODAY, part: int = 0
) -> str:
    """Writes one Parquet file of a raw table's partition; returns its path within the file system."""
    filesystem, root = open_filesystem(settings.warehouse, settings)
    folder = f"{root}/{table}/dt={day}"
    filesystem.create_dir(folder, recursive=True)
    path = f"{folder}/part-{part}.parquet"
    pq.write_table(pa.table(dict(columns)), path, filesystem=filesystem)
    return path


def write_people(settings: Settings, users: Sequence[str], day: date = TODAY, **columns: Sequence[Any]) -> None:
    """The three tables with the same users; `columns` replaces a column, all others hold one value for everybody."""
    defaults: dict[str, dict[str, pa.DataType]] = {
        "user_basic_info": {
            "age": pa.int32(),
            "gender": pa.string(),
            "country": pa.string(),
            "user_level": pa.string(),
            "kyc_status": pa.string(),
            "registration_date": pa.date32(),
            "risk_score": pa.string(),
        },
        "user_asset_summary": {"total_asset_value": pa.float64(), "cash_balance": pa.float64()},
        "user_activity_summary": {
            "trade_count_30d": pa.int32(),
            "trade_amount_30d": pa.float64(),
            "login_count_30d": pa.int32(),
            "last_login_date": pa.date32(),
        },
    }
    for table, types in defaults.items():
        arrays = {"user_id": pa.array(users, pa.string())}
        for name, kind in types.items():
            arrays[name] = pa.array(columns.get(name, [None] * len(users)), kind)
        write_raw(settings, table, arrays, day)


def query(settings: Settings, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with transaction(Database.of(settings)) as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())


def user_tags(settings: Settings) -> dict[str, tuple[Any, ...]]:
    """user id → (tag ids, details, created, updated), as text and time stamps."""
    rows = query(
        settings,
        "SELECT user_id, CAST(tag_ids AS CHAR), CAST(tag_details AS CHAR), created_time, updated_time FROM user_tags",
    )
    return {row[0]: row[1:] for row in rows}


def tags_of(settings: Settings) -> dict[str, list[int]]:
    import json

    return {user: json.loads(row[0]) for user, row in user_tags(settings).items()}


def run(settings: Settings, **request: Any) -> dict[str, Any]:
    """One run in this process, as `tag-platform run` makes it."""
    from tag_platform.cli.run_here import run_here
    from tag_platform.cli.run_request import RunRequest

    return run_here(RunRequest(**{"as_of": TODAY.isoformat(), **request}), settings)
