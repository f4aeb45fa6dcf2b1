"""The gate before the write: a source that lost or gained too many rows stops the run before tags are computed, and a
merge that would move too many users stops before the first row is written.

Bounds look at whole tables, whole tags and all users of the plan. Below `min_users` moves nothing is judged: small
populations swing widely, and a first load has nothing to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from tag_platform.compute.account import ROWS
from tag_platform.errors import TagPlatformError

ALLOW = (
    "If this is meant, run again with --allow-large-change (in a run configuration: "
    "resources.options.config.allow_large_change: true)."
)
Totals = Mapping[int, int]  # tag id → users


class GateClosed(TagPlatformError):
    """The merge would change more than its bounds allow; nothing was written."""


class TagBounds(BaseModel):
    """`max_left_share`: share of its users that a tag may lose, 0 to 1. `max_entered_share`: users who may enter it,
    per user who has it (2 = it may grow to three times its size)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_left_share: float = Field(0.8, ge=0)
    max_entered_share: float = Field(2.0, ge=0)


class GateBounds(TagBounds):
    """The bounds of every tag, of single `tags`, and `max_losing_share`: the share of users who may lose any tag."""

    min_users: int = Field(1_000, ge=1)
    max_losing_share: float = Field(0.5, ge=0)
    tags: dict[int, TagBounds] = Field(default_factory=dict)


class SourceBounds(BaseModel):
    """Shares of the rows that were accepted last: how many a source may lose, how many it may gain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rows: int = Field(1_000, ge=1)
    max_lost_share: float = Field(0.3, ge=0)
    max_gained_share: float = Field(2.0, ge=0)


def source_violation(table: str, before: int | None, rows: int, bounds: SourceBounds) -> str | None:
    """What the bounds forbid of a source with `rows` rows, as a sentence; None where it is nothing."""
    if before is None or abs(rows - before) < bounds.min_rows:
        return None
    share = (rows - before) / before if before else float("inf")
    if -bounds.max_lost_share <= share <= bounds.max_gained_share:
        return None
    return (
        f"Source table {table} has {rows:,} rows, {before:,} when it was last accepted ({rows - before:+,}, "
        f"{share:+.0%}; from -{bounds.max_lost_share:.0%} to +{bounds.max_gained_share:.0%} is allowed)."
    )


def source_closed(reasons: list[str]) -> GateClosed:
    return GateClosed("Nothing was computed: " + " ".join(reasons) + f" {ALLOW}")


def violations(before: Totals, entered: Totals, left: Totals, losing: int, bounds: GateBounds) -> list[str]:
    """What the bounds forbid, a sentence each. `before[ROWS]` are all users; `losing` are those who lose any tag."""
    found = []
    for tag_id in sorted({*entered, *left}):
        had, comes, goes = before.get(tag_id, 0), entered.get(tag_id, 0), left.get(tag_id, 0)
        limit = bounds.tags.get(tag_id, bounds)
        if goes >= bounds.min_users and goes > limit.max_left_share * had:
            found.append(
                f"tag {tag_id} would leave {goes:,} of its {had:,} users ({goes / had:.0%}; up to "
                f"{limit.max_left_share:.0%} is allowed)"
            )
        if had and comes >= bounds.min_users and comes > limit.max_entered_share * had:
            found.append(
                f"tag {tag_id} would enter {comes:,} users beside the {had:,} who have it (+{comes / had:.0%}; up to "
                f"+{limit.max_entered_share:.0%} is allowed)"
            )
    users = before.get(ROWS, 0)
    if losing >= bounds.min_users and losing > bounds.max_losing_share * users:
        found.append(
            f"{losing:,} of {users:,} users would lose a tag ({losing / users:.0%}; up to "
            f"{bounds.max_losing_share:.0%} is allowed)"
        )
    return found


def moves_table(before: Totals, entered: Totals, left: Totals, names: Mapping[int, str]) -> str:
    """What a merge changes, as text: a line per tag that moves."""
    lines = [f"{'tag':>6} {'before':>12} {'entering':>12} {'leaving':>12} {'after':>12}  name"]
    for tag_id in sorted({*entered, *left}):
        had, comes, goes = before.get(tag_id, 0), entered.get(tag_id, 0), left.get(tag_id, 0)
        name = names.get(tag_id, "")
        lines.append(f"{tag_id:>6} {had:>12,} {comes:>12,} {goes:>12,} {had + comes - goes:>12,}  {name}".rstrip())
    return "\n".join(lines) if len(lines) > 1 else "No user enters or leaves a tag."


def closed(reasons: list[str], table: str) -> GateClosed:
    return GateClosed(
        "Nothing was written: the merge would change more than its bounds allow.\n  "
        + "\n  ".join(reasons)
        + f"\n{table}\n{ALLOW}"
    )
