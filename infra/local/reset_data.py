"""Drops all data of the platform, for `init --reset`: Dagster's tables, everything under warehouse and lake. The
platform's own tables are dropped by the migrations that made them."""

from __future__ import annotations

from dataclasses import replace

from pyarrow import fs

from tag_platform.lake.filesystem import open_filesystem
from tag_platform.mysql import Database, connect
from tag_platform.settings import Settings


def describe(settings: Settings) -> str:
    """What `drop` and the reset of the migrations delete, for the question before it."""
    server = f"{settings.mysql_host}:{settings.mysql_port}"
    databases = f"the tables in {settings.mysql_database} and {settings.dagster_database} on {server}"
    return f"{databases}, everything under {settings.warehouse} and {settings.lake}"


def drop(settings: Settings) -> None:
    """Deletes Dagster's tables and the files under warehouse and lake."""
    _drop_tables(settings)
    drop_files(settings, settings.warehouse, settings.lake)


def drop_files(settings: Settings, *roots: str) -> None:
    for root in roots:
        filesystem, path = open_filesystem(root, settings)
        if filesystem.get_file_info(path).type == fs.FileType.Directory:
            filesystem.delete_dir_contents(path)


def _drop_tables(settings: Settings) -> None:
    database = replace(Database.of(settings), name=settings.dagster_database)
    with connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SET FOREIGN_KEY_CHECKS = 0")
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (database.name,))
        for (table,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE `{table}`")
