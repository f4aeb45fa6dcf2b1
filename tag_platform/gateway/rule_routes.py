"""Routes of rules that are not in the catalog yet."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from tag_platform.gateway import bodies, preview
from tag_platform.gateway.dependencies import ANSWERS, Configured, Dagster, RawBody
from tag_platform.gateway.security import needs

router = APIRouter(prefix="/api/v1", responses=ANSWERS)


@router.post("/rules/preview", dependencies=[Depends(needs("trigger"))])
def preview_rule(
    body: bodies.PreviewRequest, raw: RawBody, request: Request, dagster: Dagster, settings: Configured
) -> bodies.Previewed:
    """How many users the rule would tag, over the newest snapshots of the source tables. Nothing is written.

    A rule that cannot be used is refused with 422: every error at once, each with its JSON path.
    """
    return preview.preview_rule(body, raw, dagster, settings, request.app.state.preview_slot)
