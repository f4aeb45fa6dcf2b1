"""Plans: everything one computation needs, as frozen data that survives JSON.

The control plane writes plans, the data plane runs them (`tag_platform.compute.run`), inline or on another machine.
A plan names its database and its file systems and carries no password.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tag_platform.compute.gate import GateBounds


class _Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Snapshot(_Plan):
    """Rows of one asset for the plan's shards: the directories to read (shards without rows have none) and the types
    of the columns beside `user_id`, as Spark names them. `bytes` is their size as far as it is known, else 0."""

    directories: tuple[str, ...]
    columns: dict[str, str] = Field(default_factory=dict)
    bytes: int = 0


class MetastoreTable(_Plan):
    """A table that the engine's own catalog knows (Hive metastore, Glue Data Catalog): its newest `partition` up to
    `as_of` is read. Where its files are still those of the digest `known`, nothing is copied."""

    name: str
    partition: str | None = None
    as_of: date
    known: str | None = None


class ShardSource(_Plan):
    """Copy one raw table into a new snapshot, divided by user shard: `files` of `bytes` together, or a `metastore`
    table."""

    kind: Literal["shard_source"] = "shard_source"
    table: str
    user_id: str
    files: tuple[str, ...] = ()
    bytes: int = 0
    metastore: MetastoreTable | None = None
    partition: str | None = None
    shards: tuple[int, ...]
    shard_count: int
    output: str


class TagRule(_Plan):
    """One tag to evaluate; `rule` is the JSON of its rule, `version` the digest of what it means. `tag_class` is its
    Python class, `package.module:ClassName`, with the digest of its source; only a class that takes part is named."""

    tag_id: int
    rule: Any
    version: str
    tag_class: str | None = None
    class_digest: str | None = None


class EvaluateTags(_Plan):
    """Evaluate the chosen tags in one pass over the sources and write `(user_id, tag_ids)` by shard.

    `references` are the rules of tags that the chosen rules refer to. With `users` only these are looked at.
    """

    kind: Literal["evaluate_tags"] = "evaluate_tags"
    as_of: date
    timezone: str
    tags: tuple[TagRule, ...]
    references: dict[int, Any] = Field(default_factory=dict)
    rule_schema: dict[str, Any]
    sources: dict[str, Snapshot]
    shards: tuple[int, ...]
    shard_count: int
    users: tuple[str, ...] | None = None
    output: str


class ComputedTags(_Plan):
    """Tag snapshots to merge: of what is in `directories` only `tag_ids` count (others were computed again later)."""

    directories: tuple[str, ...]
    tag_ids: tuple[int, ...]


class MergeShards(_Plan):
    """Shards with the same owned tags: `new = (stored - owned - retired) ∪ computed`."""

    shards: tuple[int, ...]
    computed: tuple[ComputedTags, ...]

    @property
    def owned(self) -> frozenset[int]:
        return frozenset(tag_id for computed in self.computed for tag_id in computed.tag_ids)


class MergeTags(_Plan):
    """Bring `user_tags` to what was computed. `details` are the entries of `tag_details` by tag id.

    With `check_details` stored details are compared too (needed only where definitions changed since the last merge).
    `run_id` is the run that the ledger of merges will name; `ledger_at` is the newest merge that the plan knows of
    (None: it does not matter). Without `bounds` there is no gate; with `dry_run` nothing is written into MySQL.
    """

    kind: Literal["merge_tags"] = "merge_tags"
    groups: tuple[MergeShards, ...]
    retired: tuple[int, ...] = ()
    details: dict[int, dict[str, str]]
    check_details: bool = False
    users: tuple[str, ...] | None = None
    shard_count: int
    output: str
    run_id: str = ""
    ledger_at: int | None = None
    bounds: GateBounds | None = None
    dry_run: bool = False


class UndoRun(_Plan):
    """Put back what the run `undone_run` changed. `undone` are the directories of its changes, one list for each of its
    merges, oldest first; `later` those of all merges of the same shards since; `since` is when the run began to write
    (UTC), from which on people's decisions count."""

    kind: Literal["undo_run"] = "undo_run"
    undone_run: str
    undone: tuple[tuple[str, ...], ...]
    later: tuple[str, ...] = ()
    since: str | None = None
    shards: tuple[int, ...]
    shard_count: int
    details: dict[int, dict[str, str]]
    output: str
    run_id: str
    dry_run: bool = False


class CheckShards(MergeShards):
    """Shards whose last merge took the same tags: `computed` is what it took, `later` are the directories with the
    changes of each merge since, oldest first. Users on whom people decided after the decision numbered `decided_at` are
    not compared."""

    later: tuple[tuple[str, ...], ...] = ()
    decided_at: int = 0


class CheckTable(_Plan):
    """Compare `user_tags` with the lake. `giveable` are the tags that a pin can give (neither retired nor removed);
    `ledger_at` is the newest merge that the plan knows of."""

    kind: Literal["check_table"] = "check_table"
    groups: tuple[CheckShards, ...]
    giveable: tuple[int, ...]
    shard_count: int
    ledger_at: int


AnyPlan = ShardSource | EvaluateTags | MergeTags | UndoRun | CheckTable
Plan = Annotated[AnyPlan, Field(discriminator="kind")]
