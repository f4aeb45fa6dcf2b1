"""The floor: DuckDB reads the raw Parquet, joins, evaluates the eight rules by hand-written SQL, and the result goes
into an empty `user_tags` by one `LOAD DATA LOCAL INFILE`. For a rerun: the same query, the stored rows through
connectorx, compared, nothing written. No snapshots, no history, no account, no way back.

A process of its own: `python -m infra.benchmarks.floor load|compare DATABASE FOLDER`, with the platform's variables.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from infra.benchmarks.deployment import AS_OF, DAY
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.mysql import Database, connect
from tag_platform.settings import load_settings

USERS = """
WITH users AS (
    SELECT user_id, age, user_level, kyc_status, registration_date, TRY_CAST(trim(risk_score) AS DOUBLE) AS risk_score,
           CASE WHEN isnan(total_asset_value) THEN NULL ELSE total_asset_value END AS total_asset_value,
           CASE WHEN isnan(cash_balance) THEN NULL ELSE cash_balance END AS cash_balance,
           trade_count_30d, last_login_date
    FROM user_basic_info FULL JOIN user_asset_summary USING (user_id) FULL JOIN user_activity_summary USING (user_id)
    WHERE length(user_id) BETWEEN 1 AND 100 AND user_id NOT LIKE '% '
)
"""
RULES = {
    1: "total_asset_value >= 100000",
    2: "trade_count_30d > 10",
    3: "risk_score <= 30",
    4: f"registration_date BETWEEN DATE '{AS_OF}' - 30 AND DATE '{AS_OF}'",
    5: "user_level IN ('VIP2', 'VIP3') AND kyc_status = 'verified'",
    6: "cash_balance >= 50000",
    7: "age BETWEEN 18 AND 30",
    8: f"last_login_date BETWEEN DATE '{AS_OF}' - 7 AND DATE '{AS_OF}'",
}
TABLES = ("user_basic_info", "user_asset_summary", "user_activity_summary")


def main() -> None:
    what, database_name, folder = sys.argv[1:]
    settings = load_settings()
    database = replace(Database.of(settings), name=database_name)
    engine = duckdb.connect()
    for table in TABLES:
        _read(engine, table, settings)
    result = _load(engine, database, Path(folder)) if what == "load" else _compare(engine, database)
    print(json.dumps(result))


def _read(engine: duckdb.DuckDBPyConnection, table: str, settings: Any) -> None:
    filesystem, root = open_filesystem(settings.warehouse, settings)
    path = f"{root}/{table}/dt={newest_day(filesystem, f'{root}/{table}')}"
    if settings.warehouse.startswith("file://"):
        engine.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{path}/*.parquet')")
        return
    import pyarrow.dataset as ds

    engine.register(table, ds.dataset(path, filesystem=filesystem))


def newest_day(filesystem: Any, path: str) -> str:
    from pyarrow.fs import FileSelector

    names = [info.base_name for info in filesystem.get_file_info(FileSelector(path))]
    return max((name.removeprefix("dt=") for name in names if name.startswith("dt=")), default=DAY.isoformat())


def _load(engine: duckdb.DuckDBPyConnection, database: Database, folder: Path) -> dict[str, int]:
    with connect(database, local_infile=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tag_id, tag_name, tag_category FROM tag_definition WHERE tag_id <= 8")
        details = {
            tag_id: json.dumps({"tag_name": name, "tag_category": category}, ensure_ascii=False)
            for tag_id, name, category in cursor.fetchall()
        }
        ids = ", ".join(f"CASE WHEN {rule} THEN '{tag_id}' END" for tag_id, rule in RULES.items())
        texts = ", ".join(
            f"CASE WHEN {rule} THEN '\"{tag_id}\": {details[tag_id]}' END" for tag_id, rule in RULES.items()
        )
        file = folder / "floor.tsv"
        engine.execute(
            f"COPY ({USERS} SELECT * FROM (SELECT user_id, '[' || concat_ws(', ', {ids}) || ']' AS tag_ids,"
            f" '{{' || concat_ws(', ', {texts}) || '}}' AS tag_details FROM users) WHERE tag_ids <> '[]')"
            f" TO '{file}' (FORMAT csv, DELIMITER '\t', HEADER false, QUOTE '', ESCAPE '')"
        )
        rows = cursor.execute(
            f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE user_tags CHARACTER SET utf8mb4"
            r" FIELDS TERMINATED BY '\t' ESCAPED BY '' LINES TERMINATED BY '\n' (user_id, tag_ids, tag_details)"
        )
        connection.commit()
    file.unlink()
    return {"rows": rows}


def _compare(engine: duckdb.DuckDBPyConnection, database: Database) -> dict[str, int]:
    import connectorx

    stored = connectorx.read_sql(
        database.url("mysql"),
        "SELECT id, user_id, CAST(tag_ids AS CHAR) AS tag_ids FROM user_tags",
        return_type="arrow",
        partition_on="id",
        partition_num=2,
    )
    engine.register("stored", stored)
    ids = ", ".join(f"CASE WHEN {rule} THEN '{tag_id}' END" for tag_id, rule in RULES.items())
    (row,) = engine.execute(
        f"{USERS}, computed AS (SELECT * FROM (SELECT user_id, '[' || concat_ws(', ', {ids}) || ']' AS tag_ids"
        " FROM users) WHERE tag_ids <> '[]')"
        " SELECT COUNT(*), COUNT(*) FILTER (WHERE computed.tag_ids IS DISTINCT FROM stored.tag_ids)"
        " FROM computed FULL JOIN stored USING (user_id)"
    ).fetchall()
    return {"rows": row[0], "differ": row[1]}


if __name__ == "__main__":
    main()
