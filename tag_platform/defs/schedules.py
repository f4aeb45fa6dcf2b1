"""When everything is computed without anybody asking: once a day, and when new data has arrived."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dagster import (
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    ScheduleDefinition,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from tag_platform.catalog.sources import SourceTable
from tag_platform.defs.priorities import FULL_REFRESH, NEW_DATA, priority
from tag_platform.errors import TagPlatformError
from tag_platform.lake.raw import RawFiles, list_raw_files
from tag_platform.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DEADLINE = timedelta(hours=2)  # after the first table's new partition, the run no longer waits for the others
INTERVAL = 60  # seconds; each tick lists every table once


def daily_refresh(job: UnresolvedAssetJobDefinition, settings: Settings) -> ScheduleDefinition:
    """Every day at 02:00 in the platform's zone: relative dates move on even where no data is new."""
    return ScheduleDefinition(
        name="daily_refresh",
        job=job,
        cron_schedule="0 2 * * *",
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        tags={
            **priority(FULL_REFRESH),
            "tag_platform/trigger": "daily refresh",
        },
        description="Every tag for every user. What did not change is neither copied nor written again.",
    )


@dataclass(frozen=True)
class Arrival:
    """What is to be done about the newest partitions. `waiting` names tables that still lack the newest one."""

    run: bool
    newest: str
    waiting: tuple[str, ...] = ()
    late: bool = False


def decide(
    partitions: Mapping[str, str], done: str | None, first_seen: datetime | None, now: datetime, deadline: timedelta
) -> Arrival:
    """Whether to run for the newest of the `partitions` (table → newest partition value).

    A run is due once every table has it, or `deadline` after it was first seen; never twice for the same (`done`).
    """
    newest = max(partitions.values(), default="")
    waiting = tuple(sorted(table for table, value in partitions.items() if value < newest))
    if not newest or (done is not None and newest <= done):
        return Arrival(False, newest)
    late = bool(waiting) and first_seen is not None and now - first_seen >= deadline
    return Arrival(not waiting or late, newest, waiting, late)


def new_data_sensor(
    sources: Mapping[str, SourceTable], settings: Settings, job: UnresolvedAssetJobDefinition
) -> SensorDefinition:
    """A run of everything when a new partition has arrived in all source tables, or when the deadline has passed."""
    dated = {name: table for name, table in sources.items() if table.partition and table.path}

    @sensor(
        name="new_data",
        job=job,
        minimum_interval_seconds=INTERVAL,
        default_status=DefaultSensorStatus.RUNNING,
        description="Watches the raw tables for a new partition: all of them there, or two hours after the first.",
    )
    def new_data(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        now = datetime.now(settings.zone)
        state: dict[str, Any] = json.loads(context.cursor) if context.cursor else {}
        partitions, missing = _newest(dated, now, settings)
        if missing:
            return SkipReason("; ".join(missing))
        seen = datetime.fromisoformat(state["since"]) if state.get("seen") == max(partitions.values()) else None
        arrival = decide(partitions, state.get("done"), seen, now, DEADLINE)
        if not context.cursor:
            # What lies there when the deployment starts is a person's or the schedule's to compute.
            state = {"done": arrival.newest}
            return SensorResult(
                skip_reason=SkipReason(f"Waiting for a partition after {arrival.newest}."), cursor=json.dumps(state)
            )
        if arrival.run:
            request = RunRequest(
                run_key=f"new_data:{arrival.newest}",
                tags={
                    **priority(NEW_DATA),
                    "tag_platform/trigger": f"new data {arrival.newest}" + (" (deadline)" if arrival.late else ""),
                },
            )
            return SensorResult(run_requests=[request], cursor=json.dumps({"done": arrival.newest}))
        if arrival.waiting:
            if seen is None:
                state |= {"seen": arrival.newest, "since": now.isoformat()}
            reason = f"{arrival.newest} has arrived; waiting for {', '.join(arrival.waiting)}."
            return SensorResult(skip_reason=SkipReason(reason), cursor=json.dumps(state))
        return SkipReason(f"No partition after {arrival.newest}.")

    return new_data


def _newest(dated: Mapping[str, SourceTable], now: datetime, settings: Settings) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    missing: list[str] = []
    for name, table in dated.items():
        try:
            raw: RawFiles = list_raw_files(table, now.date(), settings)
            found[name] = raw.partition or ""
        except (TagPlatformError, OSError) as error:
            missing.append(str(error))
    if not found and not missing:
        missing.append("No source table has dated partitions.")
    return found, missing
