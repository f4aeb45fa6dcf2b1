"""The main path without Dagster: sources → tags → merge, planned and run in this process.

This is what the modes of a Glue job do when it is started by hand, and what any machine with a Spark session can do.
Nothing is remembered but the ledger of merges in MySQL: every source is copied anew, and no asset is materialized.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from tag_platform.catalog.rulebook import check_tag_ids, parse_catalog, stored_schema
from tag_platform.catalog.sources import SourceTable, load_sources
from tag_platform.catalog.tags import load_catalog
from tag_platform.compute.ledger import newest_merge
from tag_platform.compute.plan import AnyPlan, ComputedTags, MergeShards, MergeTags
from tag_platform.compute.planning import gate_bounds, source_plan, tags_plan
from tag_platform.compute.report import MergeReport, Report, SourceReport, TagsReport
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.lake.raw import list_raw_files
from tag_platform.lake.snapshots import new_snapshot, shard_directory
from tag_platform.mysql import Database
from tag_platform.settings import Settings
from tag_platform.shards import shard_of

log = logging.getLogger("tag_platform.run")
Run = Callable[[AnyPlan], Report]


@dataclass(frozen=True)
class DirectOutcome:
    """The reports of one run; `broken` are the tags that could not be computed, with the reason."""

    run_id: str
    sources: Mapping[str, SourceReport]
    tags: TagsReport
    merge: MergeReport
    broken: Mapping[int, str]


def run_direct(
    settings: Settings,
    run: Run,
    as_of: date,
    tag_ids: list[int] | None = None,
    user_ids: list[str] | None = None,
    allow_large_change: bool = False,
) -> DirectOutcome:
    """Computes the tags (None: all active ones) for the users (None: all) and brings `user_tags` up to date.

    `run` runs one plan. Raises `BadInput` for unknown tags and for named tags whose rule is broken, and whatever a plan
    raises; a broken rule that was not asked for by name leaves its tag as users have it.
    """
    database = Database.of(settings)
    # Before anything is read: a merge by somebody else from here on makes ours stale, and it is refused.
    ledger_at = newest_merge(database)
    catalog = load_catalog(database)
    chosen = sorted(set(tag_ids)) if tag_ids is not None else [tag.tag_id for tag in catalog.active]
    if not chosen:
        raise BadInput("There is no tag to compute.")
    check_tag_ids(catalog, chosen)
    users = None if user_ids is None else tuple(sorted(set(user_ids)))
    shards = tuple(range(settings.shards) if users is None else sorted({shard_of(u, settings.shards) for u in users}))
    tables = load_sources(settings.sources)
    run_id = str(uuid.uuid4())
    sources = {name: _copy(table, run, as_of, shards, settings, run_id) for name, table in tables.items()}

    schema = stored_schema(tables, {name: report.columns for name, report in sources.items()})
    rulebook = parse_catalog(catalog, schema)
    broken = {tag_id: rulebook.broken[tag_id] for tag_id in chosen if tag_id in rulebook.broken}
    if broken and tag_ids is not None:
        raise BadInput("; ".join(f"tag {tag_id}: {reason}" for tag_id, reason in broken.items()))
    for tag_id, reason in broken.items():
        log.warning("tag %d is not computed, users keep it as they have it: %s", tag_id, reason)
    usable = [tag_id for tag_id in chosen if tag_id not in broken]
    if not usable:
        raise TagPlatformError("No tag could be computed: the rule of every one is broken.")
    tags = run(
        tags_plan(
            rulebook,
            schema,
            usable,
            {name: _directories(report.path, report.rows) for name, report in sources.items()},
            shards,
            as_of,
            new_snapshot(settings.lake, "tags", run_id),
            settings,
            users,
            {name: report.bytes for name, report in sources.items()},
        )
    )
    assert isinstance(tags, TagsReport)  # noqa: S101 (the report of such a plan)
    for tag_id, reason in tags.broken.items():
        log.error("tag %d is not computed, users keep it as they have it: %s", tag_id, reason)
    broken |= tags.broken
    if not tags.hits or (tags.broken and tag_ids is not None):
        raise TagPlatformError("; ".join(f"tag {tag_id}: {reason}" for tag_id, reason in tags.broken.items()))
    computed = ComputedTags(directories=_directories(tags.path, tags.rows), tag_ids=tuple(tags.hits))
    merge = run(
        MergeTags(
            groups=(MergeShards(shards=shards, computed=(computed,)),),
            retired=tuple(sorted(catalog.retired_ids)),
            details={tag.tag_id: tag.details for tag in catalog.tags},
            check_details=True,
            users=users,
            shard_count=settings.shards,
            output=new_snapshot(settings.lake, "merged_user_tags", run_id),
            run_id=run_id,
            ledger_at=ledger_at,
            bounds=None if allow_large_change else gate_bounds(settings, catalog),
        )
    )
    assert isinstance(merge, MergeReport)  # noqa: S101
    return DirectOutcome(run_id, sources, tags, merge, broken)


def _copy(
    table: SourceTable, run: Run, as_of: date, shards: tuple[int, ...], settings: Settings, run_id: str
) -> SourceReport:
    raw = None if table.catalog else list_raw_files(table, as_of, settings)
    output = new_snapshot(settings.lake, f"source/{table.name}", run_id)
    report = run(source_plan(table, raw, as_of, shards, output, settings))
    assert isinstance(report, SourceReport)  # noqa: S101
    return report


def _directories(path: str, rows: Mapping[int, int]) -> tuple[str, ...]:
    """The shards' directories that hold rows; the others do not exist."""
    return tuple(shard_directory(path, shard) for shard, n in sorted(rows.items()) if n)
