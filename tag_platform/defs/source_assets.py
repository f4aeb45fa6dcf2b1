"""`source/<table>`: one asset per table of the source catalog, a snapshot of its newest partition divided by shard."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    asset,
)

from tag_platform.catalog.sources import SourceTable
from tag_platform.compute.gate import source_violation
from tag_platform.compute.planning import source_bounds, source_plan
from tag_platform.compute.report import SourceReport
from tag_platform.defs.checks import declared_columns, duplicate_users, source_check_specs, source_checks
from tag_platform.defs.history import Materialized, directories, latest, source_key
from tag_platform.defs.partitions import backfill_policy, selected_shards, shards_definition
from tag_platform.defs.resources import Context, RunOptions, StepLauncher
from tag_platform.lake.raw import DuplicateUsers, list_raw_files
from tag_platform.lake.snapshots import is_present, new_snapshot, snapshot_id
from tag_platform.settings import Settings
from tag_platform.shards import shard_key

FORMAT = "1"  # of the snapshots: a new value makes every source be copied again


def source_assets(sources: Mapping[str, SourceTable], settings: Settings) -> list[AssetsDefinition]:
    return [_source_asset(table, settings) for table in sources.values()]


def _source_asset(table: SourceTable, settings: Settings) -> AssetsDefinition:
    @asset(
        key=source_key(table.name),
        group_name="sources",
        kinds={"parquet", "pyspark"},
        owners=settings.owners,
        description=(
            f"Snapshot of the raw table `{table.path or table.catalog}`, divided by user shard. Unchanged files "
            "are not copied again; rows without a usable user id are set aside and counted."
        ),
        metadata={"dagster/column_schema": declared_columns(table)},
        check_specs=source_check_specs(source_key(table.name)),
        code_version=FORMAT,
        partitions_def=shards_definition(settings),
        backfill_policy=backfill_policy(settings),
    )
    def source(
        context: AssetExecutionContext, launcher: StepLauncher, options: RunOptions
    ) -> Iterator[MaterializeResult[Any] | AssetCheckResult]:
        shards, as_of = selected_shards(context), options.date(context, settings)
        selected = {check.name for check in context.selected_asset_check_keys}
        try:
            version, metadata = refresh_source(context, launcher, table, as_of, shards, settings, options)
        except DuplicateUsers as error:
            yield from (check for check in duplicate_users(error) if check.check_name in selected)
            raise
        yield MaterializeResult(metadata=metadata, data_version=DataVersion(version))
        facts = {name: getattr(value, "value", value) for name, value in metadata.items()}
        yield from (
            check for check in source_checks(table, facts, as_of, options.dry_run) if check.check_name in selected
        )

    return source


def refresh_source(
    context: Context,
    launcher: StepLauncher,
    table: SourceTable,
    as_of: date,
    shards: tuple[int, ...],
    settings: Settings,
    options: RunOptions,
) -> tuple[str, dict[str, Any]]:
    """Makes sure that the shards' snapshots hold the table's newest partition up to `as_of`.

    Returns the data version and the metadata of the materialization; copies only where the files have changed. Its
    `gate` says why the rows must not be used as they are ("" where they may), and `accepted` are the rows by shard
    that the next copy is compared with: these, once they passed the gate in a real run, and the older ones until then.
    Raises `SourceUnusable` where the table cannot be used.
    """
    # Of a metastore table only the engine knows the files: it compares them with the digest of the last copy.
    raw = None if table.catalog else list_raw_files(table, as_of, settings)
    known = latest(context.instance, source_key(table.name), shards)
    digest = raw.digest if raw else _digest(known)
    version = _data_version(table, digest, settings)
    current = digest != "" and _is_current(known, version, shards, settings)
    if raw is not None and current:
        return version, _unchanged(context, table, known, shards, settings, options)
    output = new_snapshot(settings.lake, f"source/{table.name}", context.run.run_id)
    plan = source_plan(table, raw, as_of, shards, output, settings, known=digest if current else None)
    report = launcher.launch(context, plan)
    if not isinstance(report, SourceReport):
        raise TypeError(f"a source plan ended with {report.kind}")
    if report.unchanged:
        return version, _unchanged(context, table, known, shards, settings, options)
    if raw is None:
        digest = report.digest or snapshot_id(output)  # what cannot be compared is always new
        version = _data_version(table, digest, settings)
    rows = sum(report.rows.values())
    context.log.info(f"{table.name}: {rows:,} rows of partition {report.partition}, {report.set_aside:,} set aside")
    return version, {
        "path": MetadataValue.path(report.path),
        "dagster/row_count": MetadataValue.int(rows),
        "rows_by_shard": MetadataValue.json({shard_key(shard): n for shard, n in report.rows.items()}),
        "set_aside": MetadataValue.int(report.set_aside),
        "partition": MetadataValue.text(report.partition or ""),
        "bytes": MetadataValue.int(report.bytes),
        "digest": MetadataValue.text(digest),
        "stored_columns": MetadataValue.json(report.columns),
        "version": MetadataValue.text(version),
        "duration": MetadataValue.float(round(sum(report.seconds.values()), 3)),
        "seconds": MetadataValue.json(report.seconds),
        "copied": True,
        **_judged(table, known, report.rows, settings, options),
        **report.launched,
    }


def _unchanged(
    context: Context,
    table: SourceTable,
    known: Mapping[int, Materialized],
    shards: tuple[int, ...],
    settings: Settings,
    options: RunOptions,
) -> dict[str, Any]:
    """The metadata where nothing was copied again."""
    entry = known[shards[0]]
    context.log.info(f"{table.name}: unchanged since the last copy (partition {entry.metadata.get('partition')})")
    kept = {shard: int(known[shard].metadata["rows_by_shard"].get(shard_key(shard), 0)) for shard in shards}
    return {**_kept(entry), "copied": False, **_judged(table, known, kept, settings, options)}


def _digest(known: Mapping[int, Materialized]) -> str:
    """The digest of the files of the last copy; "" where there is none."""
    return str(next(iter(known.values())).metadata.get("digest", "")) if known else ""


def _judged(
    table: SourceTable,
    known: Mapping[int, Materialized],
    rows: Mapping[int, int],
    settings: Settings,
    options: RunOptions,
) -> dict[str, Any]:
    """The gate's word on the rows by shard, as metadata: `gate` and `accepted`."""
    accepted = {shard: _accepted(entry, shard, settings) for shard, entry in known.items()}
    before = [accepted.get(shard) for shard in rows]
    total = None if None in before else sum(n or 0 for n in before)
    reason = None
    if not options.allow_large_change:
        reason = source_violation(table.name, total, sum(rows.values()), source_bounds(settings))
    passed = {shard: n if reason is None else accepted.get(shard) for shard, n in rows.items()}
    if options.dry_run:  # it accepts nothing, but there must be something to compare with after a first load
        passed = {shard: accepted.get(shard) for shard in rows}
    return {
        "gate": reason or "",
        "accepted": MetadataValue.json(
            {"shard_count": settings.shards, "rows": {shard_key(s): n for s, n in passed.items() if n is not None}}
        ),
    }


def _accepted(entry: Materialized, shard: int, settings: Settings) -> int | None:
    """Rows of the shard as last accepted; None where that is unknown, or was counted by another division in shards."""
    accepted = entry.metadata.get("accepted", {})
    found = accepted.get("rows", {}).get(shard_key(shard)) if accepted.get("shard_count") == settings.shards else None
    return None if found is None else int(found)


def _data_version(table: SourceTable, digest: str, settings: Settings) -> str:
    parts = (FORMAT, digest, table.user_id, str(settings.shards))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _is_current(known: dict[int, Materialized], version: str, shards: tuple[int, ...], settings: Settings) -> bool:
    """True where every shard's latest snapshot is of this version, in one place, and still there."""
    if set(known) != set(shards) or len({entry.path for entry in known.values()}) > 1:
        return False
    if any(entry.metadata.get("version") != version for entry in known.values()):
        return False
    return is_present(directories(known), settings)


def _kept(entry: Materialized) -> dict[str, Any]:
    """The metadata of an earlier materialization, to be recorded again. `rows_by_shard` may name more shards than the
    run has, which readers ignore."""
    wrap = {
        "path": MetadataValue.path,
        "rows_by_shard": MetadataValue.json,
        "stored_columns": MetadataValue.json,
        "seconds": MetadataValue.json,
    }
    names = (
        "path",
        "dagster/row_count",
        "rows_by_shard",
        "set_aside",
        "partition",
        "bytes",
        "digest",
        "stored_columns",
        "version",
    )
    return {name: wrap.get(name, lambda value: value)(entry.metadata[name]) for name in names if name in entry.metadata}
