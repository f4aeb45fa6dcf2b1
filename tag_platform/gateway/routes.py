"""Routes of tasks and tags. Each one checks, asks Dagster or MySQL, and translates the answer; nothing is remembered
here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pymysql.err import Error as DatabaseError

from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import load_catalog
from tag_platform.errors import TagPlatformError
from tag_platform.gateway import bodies, idempotency, tasks
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.gateway.dependencies import ANSWERS, Configured, Dagster
from tag_platform.gateway.errors import Refusal
from tag_platform.gateway.security import needs
from tag_platform.mysql import Database, transaction
from tag_platform.settings import Settings

# A few users are waited for by somebody; the whole population is not.
USERS_PRIORITY = "10"
router = APIRouter(prefix="/api/v1", responses=ANSWERS)
health_router = APIRouter()
TaskId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A retry with the same key gets the first task.",
    ),
]


@router.post("/tags/trigger", status_code=202, dependencies=[Depends(needs("trigger"))])
def trigger_tags(
    body: bodies.Trigger, request: Request, dagster: Dagster, settings: Configured, idempotency_key: Key = None
) -> bodies.Triggered:
    """Puts a task into the queue and answers with its id at once. Nothing is started where anything is refused."""
    tag_ids = sorted(set(body.tag_ids))
    _check_tags(tag_ids, settings)
    run_tags: dict[str, str] = {tasks.MODE_TAG: body.mode}

    def launch() -> str:
        if body.user_ids is not None:
            config = {"ops": {"tag_users": {"config": {"tag_ids": tag_ids, "user_ids": sorted(set(body.user_ids))}}}}
            return dagster.launch("tag_users", None, config, {**run_tags, "dagster/priority": USERS_PRIORITY})
        sources = [["source", name] for name in load_sources(settings.sources)]
        assets = [*sources, *(["tag", f"tag_{tag_id}"] for tag_id in tag_ids), ["merged_user_tags"]]
        return dagster.launch("tag_all", assets, {}, run_tags)

    if idempotency_key is None:
        task_id, started = launch(), True
    else:
        key = idempotency.key_digest(request.headers.get("authorization", ""), idempotency_key)
        run_tags[tasks.KEY_TAG] = key

        def find() -> str | None:
            runs = dagster.runs({"tags": [{"key": tasks.KEY_TAG, "value": key}]}, None, 1)
            return str(runs[0]["runId"]) if runs else None

        digest = idempotency.body_digest(body.model_dump())
        task_id, started = idempotency.once(Database.of(settings), key, digest, find, launch)
    submitted = datetime.now(UTC).isoformat(timespec="milliseconds")
    return bodies.Triggered(
        task_id=task_id,
        message="标签任务已成功提交" if started else "相同的请求已提交过，返回原任务",
        data=bodies.Submitted(
            tag_ids=tag_ids,
            user_ids=body.user_ids,
            mode=body.mode,
            environment=settings.env,
            submitted_at=submitted,
        ),
    )


@router.get("/tasks/{task_id}/status", dependencies=[Depends(needs("read"))], response_model_exclude_none=True)
def task_status(task_id: TaskId, dagster: Dagster) -> bodies.TaskStatus:
    """Where the task stands: progress while it runs, totals per tag and of rows at the end."""
    run = _run(task_id, dagster)
    waiting = tasks.STATUS[run["status"]] == "submitted"
    task = tasks.describe(run, [] if waiting else dagster.events(task_id))
    return bodies.TaskStatus(task_id=task_id, status=bodies.Task.model_validate(task))


@router.get("/tasks", dependencies=[Depends(needs("read"))], response_model_exclude_none=True)
def list_tasks(
    dagster: Dagster,
    status: Annotated[bodies.Word | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64, pattern=r"^[A-Za-z0-9-]+$")] = None,
) -> bodies.TaskList:
    """Tasks, newest first. `cursor` is the `next_cursor` of the page before."""
    if cursor is not None and dagster.run(cursor) is None:
        raise Refusal(422, "invalid_request", "The cursor is not one of a page before.", [{"path": "query.cursor"}])
    filters = {"statuses": tasks.statuses_of(status)} if status else {}
    found: list[dict[str, Any]] = []
    last = cursor
    # Other jobs of the code location are no tasks, so a page may need several of Dagster's.
    while len(found) <= limit:
        page = dagster.runs(filters, last, limit + 1)
        found += [run for run in page if run["jobName"] in tasks.JOBS]
        if len(page) <= limit:
            break
        last = page[-1]["runId"]
    shown = [bodies.Task.model_validate(tasks.describe(run)) for run in found[:limit]]
    more = shown[-1].task_id if len(found) > limit else None
    return bodies.TaskList(tasks=shown, count=len(shown), next_cursor=more)


@router.post("/tasks/{task_id}/cancel", status_code=202, dependencies=[Depends(needs("trigger"))])
def cancel_task(task_id: TaskId, dagster: Dagster) -> bodies.Canceled:
    """Takes the task out of the queue, or asks it to stop where it is running. What it wrote stays."""
    word = tasks.STATUS[_run(task_id, dagster)["status"]]
    if word == "canceled":
        return bodies.Canceled(task_id=task_id, message="任务已取消")
    if word in ("completed", "failed"):
        raise Refusal(409, "already_ended", f"The task has ended already ({word}).")
    reason = dagster.terminate(task_id)
    if reason is not None:
        ended = tasks.STATUS[_run(task_id, dagster)["status"]]
        if ended in ("completed", "failed", "canceled"):
            raise Refusal(409, "already_ended", f"The task has ended already ({ended}).")
        # Dagster cannot stop a run in the seconds in which its process starts.
        raise Refusal(409, "not_yet", f"The task cannot be stopped right now: {reason}", None, {"Retry-After": "2"})
    return bodies.Canceled(task_id=task_id, message="任务取消请求已提交")


@router.get("/tags/available", dependencies=[Depends(needs("read"))])
def available_tags(settings: Configured) -> bodies.AvailableTags:
    """The active tags of the catalog."""
    found = [
        bodies.AvailableTag(
            tag_id=tag.tag_id, tag_name=tag.name, tag_category=tag.category, description=tag.description
        )
        for tag in load_catalog(Database.of(settings)).active
    ]
    return bodies.AvailableTags(tags=found, count=len(found))


@health_router.get("/health", responses={503: {"model": bodies.Health, "description": "Something does not answer"}})
def health(response: Response, dagster: Dagster, settings: Configured) -> bodies.Health:
    """Whether the gateway, Dagster and the database answer. Needs no token and tells nothing but that."""
    checks = {"gateway": "ok"}
    try:
        dagster.version()
        checks["dagster"] = "ok"
    except Refusal:
        checks["dagster"] = "does not answer"
    try:
        with transaction(Database.of(settings)) as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = "ok"
    except (TagPlatformError, DatabaseError):
        checks["database"] = "does not answer"
    healthy = set(checks.values()) == {"ok"}
    response.status_code = 200 if healthy else 503
    return bodies.Health(status="healthy" if healthy else "unhealthy", checks=checks)


def _run(task_id: str, dagster: DagsterClient) -> dict[str, Any]:
    run = dagster.run(task_id)
    if run is None or run["jobName"] not in tasks.JOBS:
        raise Refusal(404, "not_found", "There is no task of this id.")
    return run


def _check_tags(tag_ids: list[int], settings: Settings) -> None:
    catalog = load_catalog(Database.of(settings))
    reasons = {
        tag_id: "retired" if tag_id in catalog.retired_ids else "manual" if tag_id in catalog.manual_ids else "unknown"
        for tag_id in tag_ids
        if tag_id not in catalog.by_id or tag_id in catalog.retired_ids | catalog.manual_ids
    }
    wrong = [{"path": "$.tag_ids", "tag_id": tag_id, "message": reason} for tag_id, reason in reasons.items()]
    if wrong:
        raise Refusal(422, "unknown_tags", "Some tag ids cannot be computed; nothing was started.", wrong)
