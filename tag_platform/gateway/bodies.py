"""The requests and answers of the API, as the OpenAPI description shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

MAX_USERS = 10_000
MAX_TAGS = 1_000

TagId = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
# What `user_tags.user_id` can hold; a blank at the end is refused because older tables ignore it in comparisons.
UserId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100, pattern=r"[^ ]$")]
Word = Literal["submitted", "running", "completed", "failed", "canceled"]


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


class UserTags(BaseModel):
    success: Literal[True] = True
    user_id: str
    tag_ids: list[int]
    tag_details: dict[str, dict[str, str]]
    created_time: str
    updated_time: str


class Health(BaseModel):
    """`status` is `healthy` where everything behind the gateway answers."""

    status: Literal["healthy", "unhealthy"]
    checks: dict[str, str]
