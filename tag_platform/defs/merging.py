"""Plans a merge: which tags were computed since each shard's last merge, and what is recorded of the result.

Each merge records the snapshot that it took for every tag, per shard; a tag is owned by the next merge where its
latest snapshot is another one. So a tag computed while a merge was running is not lost, and one that was merged is
never merged again over what was changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import MetadataValue

from tag_platform.catalog.tags import Catalog
from tag_platform.compute.gate import moves_table
from tag_platform.compute.ledger import StalePlan, newest_decision, newest_merge
from tag_platform.compute.plan import ComputedTags, MergeShards, MergeTags
from tag_platform.compute.planning import gate_bounds
from tag_platform.compute.report import MergeReport
from tag_platform.defs.history import MERGED_KEY, Materialized, latest, tag_key
from tag_platform.defs.resources import Context, RunOptions, StepLauncher
from tag_platform.lake.snapshots import new_snapshot, require_present, shard_directory, snapshot_id
from tag_platform.mysql import Database
from tag_platform.settings import Settings
from tag_platform.shards import shard_key

Owned = dict[str, tuple[int, ...]]  # snapshot path → tags to take from it
Merged = dict[int, dict[str, str]]  # shard → tag id (as text) → id of the snapshot that was merged


ATTEMPTS = 5  # plans that may turn out stale, one after the other


def merge(
    context: Context,
    launcher: StepLauncher,
    catalog: Catalog,
    shards: Sequence[int],
    settings: Settings,
    options: RunOptions,
    unrecorded: Mapping[int, Mapping[int, Materialized]] | None = None,
) -> dict[str, Any]:
    """Merges what is pending for the shards; returns the metadata to record for `merged_user_tags`.

    A plan that another run overtook while this one waited for the shards' locks is made anew. `unrecorded` are tags
    that a dry run computed, by tag and shard: they count as the latest ones, and nobody else sees them.
    """
    for attempt in range(1, ATTEMPTS + 1):
        plan, record = _plan(context, catalog, shards, settings, options, unrecorded or {})
        try:
            report = run_merge(context, launcher, plan, settings)
        except StalePlan:
            if attempt == ATTEMPTS:
                raise
            context.log.info("another run merged the same shards meanwhile: planning the merge anew")
            continue
        return {**merge_metadata(report), **record}
    raise AssertionError("unreachable")


def _plan(
    context: Context,
    catalog: Catalog,
    shards: Sequence[int],
    settings: Settings,
    options: RunOptions,
    unrecorded: Mapping[int, Mapping[int, Materialized]],
) -> tuple[MergeTags, dict[str, Any]]:
    """The plan, and what to record where it succeeds."""
    # Before anything else is read: what comes later makes the plan stale.
    ledger_at, decided_at = newest_merge(Database.of(settings)), newest_decision(Database.of(settings))
    before = latest(context.instance, MERGED_KEY, shards)
    computed = {
        tag.tag_id: {**latest(context.instance, tag_key(tag.tag_id), shards), **unrecorded.get(tag.tag_id, {})}
        for tag in catalog.active
    }
    known = [] if options.reconcile else [shard for shard in shards if shard in before]
    merged = {
        shard: dict(before[shard].metadata["merged"][shard_key(shard)]) if shard in known else {} for shard in shards
    }
    owned = {shard: _owned(shard, computed, merged[shard]) for shard in shards}
    details = details_digest(catalog)
    plan = MergeTags(
        groups=_groups(owned, computed),
        retired=tuple(sorted(catalog.retired_ids)),
        details={tag.tag_id: tag.details for tag in catalog.tags},
        check_details=any(s not in known or before[s].metadata["details"] != details for s in shards),
        shard_count=settings.shards,
        output=new_snapshot(settings.lake, "merged_user_tags", context.run.run_id),
        run_id=context.run.run_id,
        ledger_at=ledger_at,
        bounds=None if options.allow_large_change else gate_bounds(settings, catalog),
        dry_run=options.dry_run,
    )
    taken = {
        shard: {
            str(tag_id): snapshot_id(entries[shard].path) for tag_id, entries in computed.items() if shard in entries
        }
        for shard in shards
    }
    return plan, {
        "details": details,
        # What a check of the table must know: all that came after these is not in this merge.
        "ledger_at": MetadataValue.int(ledger_at),
        "decided_at": MetadataValue.int(decided_at),
        "merged": MetadataValue.json({shard_key(shard): tags for shard, tags in taken.items()}),
    }


def run_merge(context: Context, launcher: StepLauncher, plan: MergeTags, settings: Settings) -> MergeReport:
    require_present([d for g in plan.groups for c in g.computed for d in c.directories], settings)
    report = launcher.launch(context, plan)
    if not isinstance(report, MergeReport):
        raise TypeError(f"a merge plan ended with {report.kind}")
    context.log.info(
        f"user_tags: {sum(report.inserted.values()):,} inserted, {sum(report.updated.values()):,} updated, "
        f"{sum(report.unchanged.values()):,} unchanged"
    )
    names = {tag_id: entry.get("tag_name", "") for tag_id, entry in plan.details.items()}
    totals = [
        {tag_id: sum(n.values()) for tag_id, n in by.items()} for by in (report.before, report.entered, report.left)
    ]
    title = "Dry run, nothing was written. What the merge would change" if plan.dry_run else "Account of the merge"
    context.log.info(f"{title}:\n{moves_table(totals[0], totals[1], totals[2], names)}")
    for reason in report.gate:
        context.log.warning(f"The gate would stop this: {reason}")
    for reason in report.disturbed:
        context.log.warning(f"Somebody else wrote to user_tags during the merge: {reason}")
    return report


def merge_metadata(report: MergeReport) -> dict[str, Any]:
    def moves(by_tag: dict[int, dict[int, int]]) -> dict[str, int]:
        return {str(tag_id): sum(by_shard.values()) for tag_id, by_shard in sorted(by_tag.items())}

    return {
        "path": MetadataValue.path(report.path),
        "inserted": MetadataValue.int(sum(report.inserted.values())),
        "updated": MetadataValue.int(sum(report.updated.values())),
        "unchanged": MetadataValue.int(sum(report.unchanged.values())),
        "rivals": MetadataValue.int(report.rivals),
        "entered": MetadataValue.json(moves(report.entered)),
        "left": MetadataValue.json(moves(report.left)),
        "before": MetadataValue.json(moves(report.before)),
        "after": MetadataValue.json(moves(report.after)),
        "gate": MetadataValue.json(list(report.gate)),
        **({"dry_run": True} if report.dry_run else {}),
        "duration": MetadataValue.float(round(sum(report.seconds.values()), 3)),
        "seconds": MetadataValue.json(report.seconds),
        **report.launched,
    }


def details_digest(catalog: Catalog) -> str:
    """Changes when what `tag_details` says of any tag changes."""
    content = {tag.tag_id: tag.details for tag in catalog.tags}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _owned(shard: int, computed: dict[int, dict[int, Materialized]], merged: dict[str, str]) -> Owned:
    by_path: dict[str, list[int]] = {}
    for tag_id, entries in sorted(computed.items()):
        if shard in entries and snapshot_id(entries[shard].path) != merged.get(str(tag_id)):
            by_path.setdefault(entries[shard].path, []).append(tag_id)
    return {path: tuple(tag_ids) for path, tag_ids in by_path.items()}


def _groups(owned: dict[int, Owned], computed: dict[int, dict[int, Materialized]]) -> tuple[MergeShards, ...]:
    """Shards that take the same tags from the same snapshots are compared together."""
    alike: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    for shard, by_path in sorted(owned.items()):
        alike.setdefault(tuple(sorted(by_path.items())), []).append(shard)
    return tuple(
        MergeShards(
            shards=tuple(shards),
            computed=tuple(
                ComputedTags(directories=_with_rows(path, tag_ids[0], shards, computed), tag_ids=tag_ids)
                for path, tag_ids in by_path
            ),
        )
        for by_path, shards in alike.items()
    )


def _with_rows(
    path: str, tag_id: int, shards: list[int], computed: dict[int, dict[int, Materialized]]
) -> tuple[str, ...]:
    rows = {shard: computed[tag_id][shard].metadata["rows_by_shard"] for shard in shards}
    return tuple(shard_directory(path, shard) for shard in shards if rows[shard].get(shard_key(shard), 0))
