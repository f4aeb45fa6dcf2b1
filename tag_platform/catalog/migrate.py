"""Brings the platform's MySQL tables up to date with Alembic. Idempotent, and safe to start twice at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pymysql
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, connect

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from tag_platform.settings import Settings

VERSION_TABLE = "tag_platform_version"
LOCK = "tag_platform.migrate"
TABLES = (
    "gateway_request",
    "user_tag_overrides",
    "tag_merges",
    "user_tags",
    "tag_rules",
    "tag_definition",
    "tag_category",
    VERSION_TABLE,
)


def migrate(settings: Settings, reset: bool = False) -> list[str]:
    """Applies what is missing and returns the names of the migrations applied, oldest first.

    With `reset` the platform's own tables are dropped first, user tags included. Raises `TagPlatformError` where the
    database cannot be reached or refuses.
    """
    database = Database.of(settings)
    connect(database).close()  # a closed door is told in the platform's own words
    engine = create_engine("mysql+pymysql://", creator=lambda: connect(database))
    try:
        with engine.connect() as connection:
            if connection.execute(text("SELECT GET_LOCK(:name, 60)"), {"name": LOCK}).scalar() != 1:
                raise TagPlatformError(f"Database {database.address}: another migration has been running for a minute.")
            try:
                if reset:
                    _drop_all(connection)
                return _upgrade(connection)
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": LOCK})
    except (DBAPIError, pymysql.err.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise TagPlatformError(f"Database {database.address} refused a migration: {cause}") from error
    finally:
        engine.dispose()


def _drop_all(connection: Connection) -> None:
    connection.execute(text("SET FOREIGN_KEY_CHECKS = 0"))
    for table in TABLES:
        connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    connection.execute(text("SET FOREIGN_KEY_CHECKS = 1"))


def _upgrade(connection: Connection) -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    pending = [revision.revision for revision in script.iterate_revisions("heads", current or "base")]
    command.upgrade(config, "head")
    connection.commit()
    return list(reversed(pending))
