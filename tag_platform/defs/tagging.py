"""Computes chosen tags for chosen shards: from the sources' latest snapshots to a plan, and from its report to what is
recorded for each tag."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from dagster import MetadataValue

from tag_platform.catalog.rulebook import parse_catalog, stored_schema
from tag_platform.catalog.sources import SourceTable
from tag_platform.catalog.tags import Catalog
from tag_platform.compute.gate import source_closed
from tag_platform.compute.plan import EvaluateTags
from tag_platform.compute.planning import tags_plan
from tag_platform.compute.report import TagsReport
from tag_platform.defs.history import Materialized, directories, latest, source_key
from tag_platform.defs.resources import Context, RunOptions, StepLauncher
from tag_platform.errors import TagPlatformError
from tag_platform.lake.snapshots import new_snapshot, require_present
from tag_platform.settings import Settings
from tag_platform.shards import shard_key


@dataclass(frozen=True)
class ComputedTagSet:
    """What one pass computed; `broken` are the tags that could not be, with the reason."""

    plan: EvaluateTags | None
    report: TagsReport | None
    broken: Mapping[int, str]
    data_versions: Mapping[int, str]
    closed: tuple[str, ...] = ()  # why the gate would not have let the sources pass, in a dry run

    def metadata(self, tag_id: int, before: int | None) -> dict[str, Any]:
        """What is recorded with the tag's materialization; `before` are its users last time. What people look for
        comes first."""
        if self.plan is None or self.report is None:
            raise ValueError("nothing was computed")
        hits = self.report.hits[tag_id]
        users, total = sum(self.report.users.values()), sum(hits.values())
        return {
            "hits": MetadataValue.int(total),
            **({} if before is None else {"change": MetadataValue.int(total - before)}),
            "coverage": MetadataValue.float(round(total / users, 6) if users else 0.0),
            "users": MetadataValue.int(users),
            "sample": MetadataValue.md(_sample(self.report.sample.get(tag_id, []))),
            "as_of": MetadataValue.text(self.plan.as_of.isoformat()),
            "duration": MetadataValue.float(round(sum(self.report.seconds.values()), 3)),
            "hits_by_shard": MetadataValue.json({shard_key(shard): hits.get(shard, 0) for shard in self.plan.shards}),
            "path": MetadataValue.path(self.report.path),
            "rows_by_shard": MetadataValue.json({shard_key(shard): n for shard, n in self.report.rows.items()}),
            "rule_version": MetadataValue.text(next(t.version for t in self.plan.tags if t.tag_id == tag_id)),
            "seconds": MetadataValue.json(self.report.seconds),
            **self.report.launched,
        }

    def unrecorded(self, run_id: str) -> dict[int, dict[int, Materialized]]:
        """By tag and shard, what a materialization of each tag would say to a merge: dry runs record none."""
        if self.plan is None or self.report is None:
            return {}
        rows = {shard_key(shard): n for shard, n in self.report.rows.items()}
        entry = Materialized(0, run_id, {"path": self.report.path, "rows_by_shard": rows})
        return {tag_id: dict.fromkeys(self.plan.shards, entry) for tag_id in self.report.hits}


def _sample(users: Sequence[str]) -> str:
    """A few masked users as a list in Markdown."""
    return "\n".join(f"- `{user}`" for user in users) or "Nobody has the tag."


def compute_tags(
    context: Context,
    launcher: StepLauncher,
    catalog: Catalog,
    sources: Mapping[str, SourceTable],
    tag_ids: Sequence[int],
    shards: tuple[int, ...],
    as_of: date,
    settings: Settings,
    options: RunOptions,
    users: tuple[str, ...] | None = None,
) -> ComputedTagSet:
    """Evaluates the tags over the sources' latest snapshots in one pass.

    Raises `TagPlatformError` where a source was never materialized for one of the shards, or its snapshot is gone, and
    `GateClosed` where one has rows that the gate did not accept.
    """
    snapshots = {name: _source_snapshots(context, name, shards) for name in sources}
    closed = sorted(
        {e.metadata["gate"] for found in snapshots.values() for e in found.values() if e.metadata.get("gate")}
    )
    for reason in closed:
        context.log.warning(f"The gate would stop this: {reason}")
    if closed and not (options.dry_run or options.allow_large_change):
        raise source_closed(closed)
    schema = stored_schema(sources, {name: _columns(name, entries) for name, entries in snapshots.items()})
    rulebook = parse_catalog(catalog, schema)
    broken = {tag_id: rulebook.broken[tag_id] for tag_id in tag_ids if tag_id in rulebook.broken}
    for tag_id, reason in broken.items():
        context.log.warning(f"tag {tag_id} is not computed, users keep it as they have it: {reason}")
    usable = [tag_id for tag_id in tag_ids if tag_id in rulebook.rules]
    if not usable:
        return ComputedTagSet(None, None, broken, {}, tuple(closed))
    plan = tags_plan(
        rulebook,
        schema,
        usable,
        {name: directories(entries) for name, entries in snapshots.items()},
        shards,
        as_of,
        new_snapshot(settings.lake, "tags", context.run.run_id),
        settings,
        users,
        {name: int(next(iter(entries.values())).metadata.get("bytes", 0)) for name, entries in snapshots.items()},
    )
    require_present([d for snapshot in plan.sources.values() for d in snapshot.directories], settings)
    report = launcher.launch(context, plan)
    if not isinstance(report, TagsReport):
        raise TypeError(f"an evaluation plan ended with {report.kind}")
    for tag_id, reason in report.broken.items():
        context.log.error(f"tag {tag_id} is not computed, users keep it as they have it: {reason}")
    broken |= report.broken
    total = sum(report.users.values())
    context.log.info(f"{len(report.hits)} tags for {total:,} users: {sum(report.rows.values()):,} have at least one")
    inputs = "\0".join(sorted({entry.path for entries in snapshots.values() for entry in entries.values()}))
    versions = {
        tag.tag_id: hashlib.sha256(f"{tag.version}\0{as_of}\0{inputs}".encode()).hexdigest()[:16]
        for tag in plan.tags
        if tag.tag_id in report.hits
    }
    return ComputedTagSet(plan, report, broken, versions, tuple(closed))


def _source_snapshots(context: Context, table: str, shards: tuple[int, ...]) -> dict[int, Materialized]:
    known = latest(context.instance, source_key(table), shards)
    missing = sorted(set(shards) - set(known))
    if missing:
        raise TagPlatformError(
            f"Source table {table} has no snapshot for shard {', '.join(map(shard_key, missing))} yet. "
            f"Materialize source/{table} first, or run the job tag_all."
        )
    return known


def _columns(table: str, entries: Mapping[int, Materialized]) -> dict[str, str]:
    """The stored columns, which have to be the same in every shard of a run."""
    found = [entry.metadata["stored_columns"] for entry in entries.values()]
    if any(columns != found[0] for columns in found):
        raise TagPlatformError(
            f"Source table {table}: its shards were copied from files with different columns. "
            f"Materialize source/{table} for all shards."
        )
    return dict(found[0])
