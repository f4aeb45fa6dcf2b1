"""The requests and answers of the API, as the OpenAPI description shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

MAX_USERS = 10_000
MAX_TAGS = 1_000

TagId = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
PathTagId = Annotated[int, Field(ge=1, le=2**31 - 1)]  # in a path or a query, where all is text
# What `user_tags.user_id` can hold; a blank at the end is refused because older tables ignore it in comparisons.
UserId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100, pattern=r"[^ ]$")]
RULE_EXAMPLE = {
    "logic": "AND",
    "conditions": [{"field": "total_asset_value", "operator": ">=", "value": 100000, "type": "number"}],
}


class Word(StrEnum):
    """Where a task stands. A schema of its own, so that generated clients have one type for it."""

    submitted = "submitted"
    running = "running"
    completed = "completed"
    failed = "failed"
    canceled = "canceled"


class Trigger(BaseModel):
    """Which tags to compute, and for whom: everybody, or the named users."""

    model_config = ConfigDict(extra="forbid")

    tag_ids: Annotated[list[TagId], Field(min_length=1, max_length=MAX_TAGS, examples=[[1, 2, 3]])]
    user_ids: Annotated[list[UserId], Field(min_length=1, max_length=MAX_USERS)] | None = None
    mode: Literal["full"] = "full"


class Problem(BaseModel):
    code: str
    message: str
    details: Any = None


class Failure(BaseModel):
    success: Literal[False] = False
    error: Problem


class Submitted(BaseModel):
    tag_ids: list[int]
    user_ids: list[str] | None = None
    mode: str
    environment: str
    submitted_at: str


class Triggered(BaseModel):
    success: Literal[True] = True
    task_id: str
    message: str
    data: Submitted


class Progress(BaseModel):
    """`stages` are the assets that are done for at least one shard; `users` is how many have been looked at."""

    stages_done: int
    stages: list[str]
    shards_done: int
    users: int


class TaskError(BaseModel):
    message: str
    reasons: list[str]


class TagTotals(BaseModel):
    hits: int = 0
    users: int = 0
    coverage: float = 0.0


class Result(BaseModel):
    """`rows`: rows of `user_tags` inserted, updated and unchanged, and users who entered and left by tag id."""

    total_users: int
    message: str
    tags: dict[str, TagTotals]
    rows: dict[str, Any]
    source_rows: dict[str, int]


class Task(BaseModel):
    """`tag_ids` is empty for a run of everything that was not started here."""

    task_id: str
    tag_ids: list[int]
    status: Word
    mode: str
    submitted_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    progress: Progress | None = None
    result: Result | None = None
    error: TaskError | None = None


class TaskStatus(BaseModel):
    success: Literal[True] = True
    task_id: str
    status: Task


class TaskList(BaseModel):
    """`next_cursor` is given to the next call; left out at the end."""

    success: Literal[True] = True
    tasks: list[Task]
    count: int
    next_cursor: str | None = None


class Canceled(BaseModel):
    success: Literal[True] = True
    task_id: str
    message: str


class AvailableTag(BaseModel):
    tag_id: int
    tag_name: str
    tag_category: str
    description: str


class AvailableTags(BaseModel):
    success: Literal[True] = True
    tags: list[AvailableTag]
    count: int


class Decision(BaseModel):
    """What a person decides on one tag of one user. `pin` gives the tag for good, `exclude` takes it for good,
    `release` leaves it to the rule again."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["pin", "exclude", "release"]
    by: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100, pattern=r"\S")]
    why: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=1_000, pattern=r"\S")]


class Override(BaseModel):
    """A decision as it was made. `before` and `after` are the user's tags around it, null where there was no row."""

    override_id: int
    user_id: str
    tag_id: int
    kind: Literal["pin", "exclude", "release"]
    by: str
    why: str
    time: str
    before: list[int] | None
    after: list[int] | None


class Decided(BaseModel):
    success: Literal[True] = True
    override: Override


class Overrides(BaseModel):
    """Pins and exclusions in force. `next_cursor` is given to the next call; left out at the end."""

    success: Literal[True] = True
    overrides: list[Override]
    count: int
    next_cursor: int | None = None


class ReasonNode(BaseModel):
    """One node of a rule: what it asks in words, the user's own values, and what keeps it from being TRUE."""

    path: str
    kind: Literal["condition", "group", "tag"]
    text: str
    truth: Literal["TRUE", "FALSE", "UNKNOWN"]
    values: dict[str, Any]
    missing: list[str]
    members: list[ReasonNode]


class Reason(BaseModel):
    """Why the rule of a tag is TRUE for the user or not, or in `error` why it cannot be evaluated. `partitions` are
    those of the source tables that were read."""

    tag_id: int
    tag_name: str
    tag_category: str
    as_of: str
    partitions: dict[str, str]
    truth: Literal["TRUE", "FALSE", "UNKNOWN"] | None = None
    rule: str | None = None
    missing: list[str] | None = None
    tree: ReasonNode | None = None
    error: str | None = None


class UserTags(BaseModel):
    """Times are UTC. With `explain=1` also the reasons, computed anew, and the pins and exclusions in force; a user
    without a row then has no tags and no times."""

    success: Literal[True] = True
    user_id: str
    tag_ids: list[int]
    tag_details: dict[str, dict[str, str]]
    created_time: str | None = None
    updated_time: str | None = None
    reasons: list[Reason] | None = None
    overrides: list[Override] | None = None


class PreviewRequest(BaseModel):
    """A rule to try. With `sample_shards` only so many of the user shards are read, and the number for all of them is
    an estimate; a user's shard is a hash of the user id, so each shard is a random sample."""

    model_config = ConfigDict(extra="forbid")

    rule: Annotated[dict[str, Any], Field(examples=[RULE_EXAMPLE])]
    as_of: Annotated[str, StringConstraints(strict=True, pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    sample_shards: Annotated[StrictInt, Field(ge=1, le=1024)] | None = None


class Warned(BaseModel):
    path: str
    message: str


class Previewed(BaseModel):
    """Of `users` users looked at, the rule is TRUE for `matched`. `matched_of_all` is the number for all users: the
    same where `exact`, else an estimate. `examples` are a few of their ids, masked."""

    success: Literal[True] = True
    exact: bool
    users: int
    matched: int
    coverage: float
    matched_of_all: int
    examples: list[str]
    rule: str
    as_of: str
    partitions: dict[str, str]
    warnings: list[Warned]


class Health(BaseModel):
    """`status` is `healthy` where everything behind the gateway answers."""

    status: Literal["healthy", "unhealthy"]
    checks: dict[str, str]
