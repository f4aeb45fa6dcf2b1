"""Sends a request to the run queue of the running deployment, by GraphQL, and follows it if asked."""

from __future__ import annotations

import time
from typing import Any

from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import load_catalog
from tag_platform.cli.run_request import RunRequest
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database
from tag_platform.settings import Settings

ENDED = {"SUCCESS": "completed", "FAILURE": "failed", "CANCELED": "canceled"}


def run_submitted(request: RunRequest, settings: Settings, wait: bool) -> dict[str, Any]:
    """Returns run id and status. Raises `TagPlatformError` where the deployment does not answer or refuses."""
    from dagster import AssetKey, DagsterRunStatus
    from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError

    tag_ids = request.chosen_tags(load_catalog(Database.of(settings)))
    selection = request.asset_selection(tag_ids, load_sources(settings.sources))
    try:
        client = DagsterGraphQLClient(settings.ui_host, port_number=settings.ui_port)
        run_id = client.submit_job_execution(
            request.job,
            run_config=request.run_config(tag_ids),
            tags=request.run_tags(settings),
            asset_selection=None if selection is None else [AssetKey(path) for path in selection],
        )
        status = DagsterRunStatus.QUEUED
        while wait and status.value not in ENDED:
            time.sleep(1)
            status = client.get_run_status(run_id)
    except DagsterGraphQLClientError as error:
        raise TagPlatformError(f"The deployment refused the run: {error}") from error
    except Exception as error:
        address = f"http://{settings.ui_host}:{settings.ui_port}"
        raise TagPlatformError(f"Nothing answers at {address} ({error}); `tag-platform up` starts it.") from error
    return {"run_id": run_id, "status": ENDED.get(status.value, "submitted")}
