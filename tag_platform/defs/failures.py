"""What happens when a run fails: one log line that says what to do and, where a webhook is set, the same as JSON.

`TAG_PLATFORM_FAILURE_WEBHOOK` is an http(s) address that takes a POST; most chat systems accept its `text`.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from urllib.parse import urlsplit

from dagster import DefaultSensorStatus, RunFailureSensorContext, SensorDefinition, run_failure_sensor

from tag_platform.errors import BadInput
from tag_platform.settings import Settings

log = logging.getLogger(__name__)
WEBHOOK = "TAG_PLATFORM_FAILURE_WEBHOOK"


def failed_runs_sensor(settings: Settings) -> SensorDefinition:
    """Reports each failed run of this deployment once."""

    @run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description=f"Logs each failed run with what to do next; {WEBHOOK} gets the same as JSON.",
    )
    def failed_runs(context: RunFailureSensorContext) -> None:
        message = describe(
            context.dagster_run.job_name,
            context.dagster_run.run_id,
            context.failure_event.message or "",
            f"http://{settings.ui_host}:{settings.ui_port}",
        )
        context.log.error(message)
        log.error("%s", message)
        address = os.environ.get(WEBHOOK)
        if address:
            notify(address, message, context.dagster_run.run_id, context.dagster_run.job_name)

    return failed_runs


def describe(job: str, run_id: str, reason: str, ui: str) -> str:
    """The line for the person on call: what failed, why, where to look, what to do."""
    first = reason.strip().splitlines()[0][:300] if reason.strip() else "no reason was recorded"
    return (
        f"Run {run_id} of {job} failed: {first} Users keep the tags they have. "
        f"See {ui}/runs/{run_id}; correct the cause and choose Re-execute from failure there."
    )


def notify(address: str, message: str, run_id: str, job: str) -> None:
    """Posts the message. Raises `BadInput` for an address that is no http(s) one, `OSError` where nobody takes it: the
    sensor's tick then fails and is shown as failed."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise BadInput(f"{WEBHOOK} must be an http or https address.")
    body = json.dumps({"text": message, "run_id": run_id, "job": job}).encode()
    request = urllib.request.Request(address, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310 (the scheme is checked above)
        pass
