"""From tables, rules and snapshots to plans: what the control plane and a run without it (`tag_platform.direct`)
have in common. No Dagster here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from tag_platform.catalog.rulebook import Rulebook, rule_json
from tag_platform.catalog.sources import SourceTable
from tag_platform.catalog.tags import Catalog
from tag_platform.compute.engine import engine_name
from tag_platform.compute.gate import GateBounds, SourceBounds, TagBounds
from tag_platform.compute.plan import EvaluateTags, MetastoreTable, ShardSource, Snapshot, TagRule
from tag_platform.errors import BadInput
from tag_platform.lake.raw import RawFiles, SourceUnusable
from tag_platform.rules import RuleSchema
from tag_platform.settings import Settings

MAX_USERS = 10_000


def source_plan(
    table: SourceTable,
    raw: RawFiles | None,
    as_of: date,
    shards: tuple[int, ...],
    output: str,
    settings: Settings,
    known: str | None = None,
) -> ShardSource:
    """The plan to copy the table's newest partition up to `as_of`: the files of `raw`, or a table of the metastore (no
    `raw`), whose files are not copied again where their digest is `known`.

    Raises `SourceUnusable` for a table of the metastore where the engine has none.
    """
    metastore = None
    if raw is None:
        if engine_name(settings) == "sail":
            raise SourceUnusable(
                f"Source table {table.name} is the metastore's table {table.catalog}, and the embedded engine has no "
                "metastore. Set SPARK_MASTER_URL or SPARK_REMOTE, or give the table's files with 'path'."
            )
        metastore = MetastoreTable(name=str(table.catalog), partition=table.partition, as_of=as_of, known=known)
    return ShardSource(
        table=table.name,
        user_id=table.user_id,
        files=raw.files if raw else (),
        bytes=raw.bytes if raw else 0,
        partition=raw.partition if raw else None,
        metastore=metastore,
        shards=shards,
        shard_count=settings.shards,
        output=output,
    )


def tags_plan(
    rulebook: Rulebook,
    schema: RuleSchema,
    tag_ids: Sequence[int],
    directories: Mapping[str, tuple[str, ...]],
    shards: tuple[int, ...],
    as_of: date,
    output: str,
    settings: Settings,
    users: tuple[str, ...] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> EvaluateTags:
    """The plan for tags whose rules are sound. `directories` are each source's shard directories that hold rows,
    `sizes` the bytes of each source table, where they are known."""
    return EvaluateTags(
        as_of=as_of,
        timezone=settings.timezone,
        tags=tuple(_tag_rule(tag_id, rulebook) for tag_id in tag_ids),
        references={tag_id: rule_json(rulebook.texts[tag_id]) for tag_id in _referenced(tag_ids, rulebook)},
        rule_schema=schema.to_json(),
        sources={
            table: Snapshot(
                directories=found,
                columns={name: column.stored for name, column in schema.tables[table].items()},
                bytes=(sizes or {}).get(table, 0) * len(shards) // settings.shards,
            )
            for table, found in directories.items()
        },
        shards=shards,
        shard_count=settings.shards,
        users=users,
        output=output,
    )


def check_users(user_ids: list[str]) -> None:
    """Raises `BadInput` where the list is empty or too long, or holds an id that no user can have."""
    if not 1 <= len(user_ids) <= MAX_USERS:
        raise BadInput(f"user_ids holds {len(user_ids):,} ids; 1 to {MAX_USERS:,} are allowed.")
    for position, user in enumerate(user_ids):
        if not user or len(user) > 100 or user.endswith(" "):
            raise BadInput(f"user_ids[{position}] is no usable user id: 1 to 100 characters, not ending in a blank.")


def gate_bounds(settings: Settings, catalog: Catalog) -> GateBounds:
    """How much a merge may change before it asks: the settings, and what a definition says of its own tag."""
    overall = TagBounds(max_left_share=settings.gate_max_left_share, max_entered_share=settings.gate_max_entered_share)
    own = {tag.tag_id: {name: n for name, n in tag.bounds.items() if n is not None} for tag in catalog.tags}
    return GateBounds(
        **overall.model_dump(),
        min_users=settings.gate_min_users,
        max_losing_share=settings.gate_max_losing_share,
        tags={tag_id: overall.model_copy(update=given) for tag_id, given in own.items() if given},
    )


def source_bounds(settings: Settings) -> SourceBounds:
    """How much a source may change before a run asks."""
    return SourceBounds(
        min_rows=settings.gate_min_users,
        max_lost_share=settings.gate_max_source_lost_share,
        max_gained_share=settings.gate_max_source_gained_share,
    )


def _tag_rule(tag_id: int, rulebook: Rulebook) -> TagRule:
    tag_class = rulebook.classes.get(tag_id)
    return TagRule(
        tag_id=tag_id,
        rule=rule_json(rulebook.texts[tag_id]),
        version=rulebook.version(tag_id),
        tag_class=tag_class.path() if tag_class else None,
        class_digest=tag_class.source_digest() if tag_class else None,
    )


def _referenced(tag_ids: Iterable[int], rulebook: Rulebook) -> set[int]:
    """The tags that the rules refer to, directly and through others."""
    found: set[int] = set()
    todo = list(tag_ids)
    while todo:
        for reference in rulebook.rules[todo.pop()].references - found:
            found.add(reference)
            todo.append(reference)
    return found
