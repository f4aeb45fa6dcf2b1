"""Explains to people why one user has tags or not: the active rules, over the user's rows in the sources' latest
snapshots. Only the one shard of the user is read, and of it the columns that the rules need. The reasoning is in
`tag_platform.rules.explain`; the command line and the gateway show what comes from here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from tag_platform.catalog.rulebook import check_tag_ids, parse_catalog, stored_schema
from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import Catalog, load_catalog
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.lake.snapshots import shard_directory
from tag_platform.mysql import Database
from tag_platform.rules import Rule
from tag_platform.rules.explain import TRUTH, explain
from tag_platform.settings import Settings
from tag_platform.shards import shard_key, shard_of

if TYPE_CHECKING:
    from tag_platform.defs.history import Materialized


class UnknownUser(BadInput):
    """No source table has a row of the user."""


def explain_user(
    user_id: str, tag_ids: list[int] | None, settings: Settings, as_of: date | None = None
) -> list[dict[str, Any]]:
    """For each tag (None: every active one), in order of tag id, whether its rule is TRUE for the user and why:

    `tag_id`, `tag_name`, `tag_category`, `as_of` (date as text), `partitions` (source table → partition of its
    snapshot), and either `truth` (`TRUE`, `FALSE`, `UNKNOWN`), `rule` in words, `missing` (sentences) and `tree`, the
    rule's nodes with the user's values (see `Explanation.to_json`), or `error`, why the rule cannot be evaluated.

    Raises `UnknownUser` for a user in no source table, `BadInput` for unknown or retired tags and an id that no user
    can have, `TagPlatformError` where a source was never materialized for the user's shard or its snapshot is gone.
    """
    from tag_platform.compute.planning import check_users

    check_users([user_id])
    catalog = load_catalog(Database.of(settings))
    chosen = [tag.tag_id for tag in catalog.active] if tag_ids is None else sorted(set(tag_ids))
    check_tag_ids(catalog, chosen)
    sources = load_sources(settings.sources)
    snapshots = _latest(list(sources), shard_of(user_id, settings.shards), settings)
    schema = stored_schema(sources, {table: entry.metadata["stored_columns"] for table, entry in snapshots.items()})
    rulebook = parse_catalog(catalog, schema)
    alone = set(rulebook.rules) - set(rulebook.classes)
    rules = {tag_id: rulebook.rules[tag_id] for tag_id in chosen if tag_id in alone}
    rows = _rows(user_id, rules, snapshots, settings)
    if not any(row is not None for row in rows.values()):
        raise UnknownUser(f"User {user_id} is in none of the source tables ({', '.join(sources)}).")
    user = {(table, column): value for table, row in rows.items() for column, value in (row or {}).items()}
    absent = frozenset(table for table, row in rows.items() if row is None)
    day = as_of or datetime.now(settings.zone).date()
    found = []
    for tag_id in chosen:
        entry = _about(catalog, tag_id, day, snapshots)
        if tag_id not in rules:
            reason = rulebook.broken.get(tag_id) or (
                f"A Python class decides this tag ({rulebook.classes[tag_id].path()}); its rule alone explains nothing."
            )
            found.append({**entry, "error": reason})
            continue
        why = explain(rules[tag_id], user, day, settings.timezone, absent)
        found.append(
            {
                **entry,
                "truth": TRUTH[why.truth],
                "rule": rules[tag_id].describe(),
                "missing": list(why.missing),
                "tree": why.to_json(),
            }
        )
    return found


def _about(catalog: Catalog, tag_id: int, day: date, snapshots: Mapping[str, Materialized]) -> dict[str, Any]:
    tag = catalog.by_id[tag_id]
    return {
        "tag_id": tag_id,
        "tag_name": tag.name,
        "tag_category": tag.category,
        "as_of": day.isoformat(),
        "partitions": {table: entry.metadata.get("partition", "") for table, entry in snapshots.items()},
    }


def _latest(tables: list[str], shard: int, settings: Settings) -> dict[str, Materialized]:
    """The latest snapshot of each table for the shard."""
    for name, value in settings.environment().items():
        os.environ.setdefault(name, value)
    from dagster import DagsterInstance

    from tag_platform.defs.history import latest, source_key

    with DagsterInstance.get() as instance:
        found = {table: latest(instance, source_key(table), [shard]).get(shard) for table in tables}
    missing = [table for table, entry in found.items() if entry is None]
    if missing:
        raise TagPlatformError(
            f"Source table {', '.join(missing)} has no snapshot for shard {shard_key(shard)} yet; run the job tag_all "
            "or `tag-platform run` first."
        )
    return {table: entry for table, entry in found.items() if entry is not None}


def _rows(
    user_id: str, rules: Mapping[int, Rule], snapshots: Mapping[str, Materialized], settings: Settings
) -> dict[str, dict[str, Any] | None]:
    """By table the user's row with the columns that the rules name; None where the table has no row of the user."""
    needed: dict[str, set[str]] = {table: set() for table in snapshots}
    for rule in rules.values():
        for table, column in rule.fields:
            needed[table].add(column)
    shard = shard_of(user_id, settings.shards)
    found: dict[str, dict[str, Any] | None] = {}
    for table, entry in snapshots.items():
        if not entry.metadata.get("rows_by_shard", {}).get(shard_key(shard), 0):
            found[table] = None
            continue
        stored = {column: entry.metadata["stored_columns"][column] for column in sorted(needed[table])}
        found[table] = read_row(shard_directory(entry.path, shard), user_id, stored, settings)
    return found


def read_row(directory: str, user_id: str, columns: Mapping[str, str], settings: Settings) -> dict[str, Any] | None:
    """The user's row in a snapshot's shard: `columns` by name, as Python values of the types that are stored, instants
    with their zone. None where there is none. Raises `TagPlatformError` where the snapshot is gone."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    from pyarrow.fs import FileSelector

    filesystem, path = open_filesystem(directory, settings)
    entries = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    files = [info.path for info in entries if info.base_name.endswith(".parquet")]
    if not files:
        raise TagPlatformError(
            f"The snapshot {directory} was removed from the lake. Materialize the source again, or run the job tag_all."
        )
    # Spark may write instants as INT96, which Arrow would otherwise read as nanoseconds that end in the year 2262.
    parquet = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
    rows = ds.dataset(files, filesystem=filesystem, format=parquet).to_table(
        columns=["user_id", *columns], filter=pc.field("user_id") == user_id
    )
    if rows.num_rows == 0:
        return None
    row = rows.slice(0, 1).to_pylist()[0]
    return {name: _instant(row[name]) if "timestamp_ntz" not in kind else row[name] for name, kind in columns.items()}


def _instant(value: Any) -> Any:
    """Instants without a zone (INT96) are UTC."""
    if isinstance(value, list):
        return [_instant(member) for member in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value
