"""Routes of single users: the row, the reasons behind it, and what people decide for the user."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from tag_platform import overrides
from tag_platform.errors import BadInput
from tag_platform.gateway import bodies
from tag_platform.gateway.dependencies import ANSWERS, Configured
from tag_platform.gateway.errors import Refusal
from tag_platform.gateway.security import needs
from tag_platform.mysql import Database, transaction
from tag_platform.settings import Settings

router = APIRouter(prefix="/api/v1", responses=ANSWERS)
User = Annotated[str, Path(min_length=1, max_length=100, pattern=r"[^ ]$")]
# A merge at work on the user's shard is waited for, but no longer than a back end waits for an answer.
WAIT_SECONDS = 20


@router.get("/users/{user_id}/tags", dependencies=[Depends(needs("read"))])
def user_tags(
    user_id: User,
    settings: Configured,
    explain: Annotated[bool, Query(description="Also say why, for each tag.")] = False,
    tag_id: Annotated[
        list[bodies.PathTagId] | None, Query(max_length=100, description="Explain these tags only.")
    ] = None,
) -> bodies.UserTags:
    """The user's row of `user_tags`, and with `explain=1` the reasons."""
    row = _row(user_id, settings)
    if not explain:
        if row is None:
            raise Refusal(404, "not_found", "There is no row for this user.")
        return bodies.UserTags.model_validate(row)
    reasons = _reasons(user_id, tag_id, settings)
    in_force = [one.as_json() for one in overrides.list_overrides(settings, user_id)]
    empty: dict[str, Any] = {"user_id": user_id, "tag_ids": [], "tag_details": {}}
    return bodies.UserTags.model_validate({**(row or empty), "reasons": reasons, "overrides": in_force})


def _row(user_id: str, settings: Settings) -> dict[str, Any] | None:
    with transaction(Database.of(settings)) as cursor:
        cursor.execute(
            "SELECT CAST(tag_ids AS CHAR), CAST(tag_details AS CHAR), created_time, updated_time"
            " FROM user_tags WHERE user_id = %s",
            (user_id,),
        )
        found = cursor.fetchone()
    if found is None:
        return None
    tag_ids, details, created, updated = found
    return {
        "user_id": user_id,
        "tag_ids": json.loads(tag_ids),
        "tag_details": json.loads(details or "{}"),
        "created_time": created.isoformat() + "Z",
        "updated_time": updated.isoformat() + "Z",
    }


def _reasons(user_id: str, tag_ids: list[int] | None, settings: Settings) -> list[dict[str, Any]]:
    # Reading the newest snapshots loads Dagster, which takes a second: not before somebody asks for reasons.
    from tag_platform.explaining import UnknownUser, explain_user

    try:
        return explain_user(user_id, tag_ids, settings)
    except UnknownUser as error:
        raise Refusal(404, "not_found", "There is no row for this user in any source table.") from error
    except BadInput as error:
        raise Refusal(422, "invalid_request", str(error), [{"path": "query.tag_id", "message": str(error)}]) from error


@router.put("/users/{user_id}/tags/{tag_id}", dependencies=[Depends(needs("admin"))])
def decide(user_id: User, tag_id: bodies.PathTagId, body: bodies.Decision, settings: Configured) -> bodies.Decided:
    """Pins a tag to the user, excludes it, or releases it, in the row at once and in every run from then on.

    Asking again, by the same person for the same reason, changes nothing and gets the first decision.
    """
    act = {"pin": overrides.pin, "exclude": overrides.exclude, "release": overrides.release}[body.decision]
    try:
        made = act(settings, user_id, tag_id, body.by, body.why, wait_seconds=WAIT_SECONDS)
    except BadInput as error:
        raise Refusal(422, "invalid_request", str(error), [{"path": "path.tag_id", "message": str(error)}]) from error
    return bodies.Decided(override=bodies.Override.model_validate(made.as_json()))


@router.get("/overrides", dependencies=[Depends(needs("read"))])
def list_overrides(
    settings: Configured,
    user_id: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[int, Query(ge=0, le=2**63 - 1, description="`next_cursor` of the page before.")] = 0,
) -> bodies.Overrides:
    """Pins and exclusions in force, of all users or of one, the oldest first."""
    found = overrides.list_overrides(settings, user_id, limit + 1, cursor)
    shown = [bodies.Override.model_validate(one.as_json()) for one in found[:limit]]
    more = shown[-1].override_id if len(found) > limit else None
    return bodies.Overrides(overrides=shown, count=len(shown), next_cursor=more)
