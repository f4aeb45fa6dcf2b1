"""Reports: what a plan's run found and did, as data. Counts are by shard number; seconds are wall time."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    seconds: dict[str, float] = Field(default_factory=dict)
    launched: dict[str, str | float] = Field(default_factory=dict)  # of a Glue job run: id, link, cost


class SourceReport(_Report):
    """`rows` per shard; `set_aside` rows have no usable user id and lie in the snapshot's `shard=set_aside`.

    Of a metastore table also what only the engine can tell: the `partition` read, the `bytes` of its files and their
    `digest` (None where the table has no files of its own, as a view). `unchanged`: it is the digest that the plan
    knows, and nothing was copied."""

    kind: Literal["shard_source"] = "shard_source"
    columns: dict[str, str]
    rows: dict[int, int]
    set_aside: int
    partition: str | None = None
    bytes: int = 0
    digest: str | None = None
    unchanged: bool = False


class TagsReport(_Report):
    """`users` looked at per shard, `rows` written per shard (users with at least one of the tags), and per tag the
    `hits` per shard. `broken` are tags whose Python class failed, with the reason: they were not computed. `sample` are
    a few users per tag, masked."""

    kind: Literal["evaluate_tags"] = "evaluate_tags"
    users: dict[int, int]
    rows: dict[int, int]
    hits: dict[int, dict[int, int]]
    broken: dict[int, str] = Field(default_factory=dict)
    sample: dict[int, list[str]] = Field(default_factory=dict)


class MergeReport(_Report):
    """Per shard: rows `inserted`, `updated` and `unchanged`; per tag and shard: users who `entered` and `left`.
    `rivals` counts rows that somebody else changed between our reading and our writing, and that were merged anew.
    `before` and `after` are the users per tag and shard, both counted in the table. `disturbed` says where they did not
    come out even the first time, because somebody else wrote in between. An undo has `deleted` rows (which the undone
    run had inserted) and, by tag, users `left_alone` because a later run changed their tag again. `gate` says what the
    bounds would forbid, in a dry run."""

    kind: Literal["merge_tags"] = "merge_tags"
    inserted: dict[int, int]
    updated: dict[int, int]
    unchanged: dict[int, int]
    entered: dict[int, dict[int, int]]
    left: dict[int, dict[int, int]]
    rivals: int = 0
    before: dict[int, dict[int, int]] = Field(default_factory=dict)
    after: dict[int, dict[int, int]] = Field(default_factory=dict)
    disturbed: tuple[str, ...] = ()
    deleted: dict[int, int] = Field(default_factory=dict)
    left_alone: dict[int, int] = Field(default_factory=dict)
    gate: tuple[str, ...] = ()
    dry_run: bool = False


class CheckReport(_Report):
    """`differences` are `(shard, tag, users in the table, users in the lake)`; the numbers may be equal where the users
    are others. `pairs` of user and tag were compared."""

    kind: Literal["check_table"] = "check_table"
    differences: tuple[tuple[int, int, int, int], ...]
    pairs: int


Report = SourceReport | TagsReport | MergeReport | CheckReport
