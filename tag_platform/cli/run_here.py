"""Runs a request as one Dagster run in this process, with progress a person can follow."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import Catalog, load_catalog
from tag_platform.cli.progress import showing_progress
from tag_platform.cli.run_request import RunRequest
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database
from tag_platform.settings import Settings

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult


def run_here(request: RunRequest, settings: Settings) -> dict[str, Any]:
    """Runs and returns the outcome as data. Raises `TagPlatformError` or `BadInput` with the reason of a failure."""
    started = time.monotonic()
    if settings.env == "local":
        from infra.local.deployment import ensure_services

        ensure_services(settings, lambda line: click.echo(line, err=True))
    catalog = load_catalog(Database.of(settings))
    tag_ids = request.chosen_tags(catalog)
    sources = load_sources(settings.sources)
    if request.user_ids is not None:
        from tag_platform.compute.planning import check_users

        check_users(request.user_ids)
    for name, value in settings.environment().items():
        os.environ.setdefault(name, value)

    from dagster import AssetKey, DagsterInstance

    from tag_platform.defs.definitions import build_definitions

    selection = request.asset_selection(tag_ids, sources)
    steps = len(sources) + 2
    with ExitStack() as stack:
        stack.enter_context(showing_progress(steps))
        instance = stack.enter_context(_instance(DagsterInstance))
        result = (
            build_definitions(catalog, sources, settings, checks_table=False)
            .resolve_job_def(request.job)
            .execute_in_process(
                # The stages are told by the platform's own log; Dagster's console would repeat every event.
                run_config={
                    **request.run_config(tag_ids),
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                instance=instance,
                tags=request.run_tags(settings),
                asset_selection=None if selection is None else [AssetKey(path) for path in selection],
                raise_on_error=False,
            )
        )
        if not result.success:
            raise failure(result)
    return {**outcome(result, catalog), "seconds": round(time.monotonic() - started, 1)}


def _instance(dagster_instance: Any) -> Any:
    try:
        return dagster_instance.get()
    except Exception as error:
        raise TagPlatformError(f"Dagster's instance cannot be opened: {str(error).splitlines()[0]}") from error


def failure(result: ExecuteInProcessResult) -> TagPlatformError:
    """The reason of the first failed step, in the words of whoever raised it."""
    from tag_platform import errors

    for event in result.all_events:
        if event.is_step_failure:
            info = event.step_failure_data.error
            while info is not None and info.cls_name is not None and info.cls_name.startswith("Dagster"):
                info = info.cause
            if info is None:
                continue
            bad_input = info.cls_name in ("BadInput", "InvalidRule")
            kind = errors.BadInput if bad_input else TagPlatformError
            # Dagster prefixes the class: "tag_platform.errors.BadInput: reason".
            _, _, reason = info.message.strip().partition(": ")
            return kind(f"{reason or info.message.strip()} (run {result.run_id}, step {event.step_key})")
    # A blocking check stops the run without a failed step.
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.blocking:
            where = f"{check.asset_key.to_user_string()}, check {check.check_name}"
            return TagPlatformError(f"{where}: {check.description} (run {result.run_id})")
    return TagPlatformError(f"Run {result.run_id} failed.")


def outcome(result: ExecuteInProcessResult, catalog: Catalog) -> dict[str, Any]:
    """What the run did, from the events it recorded: the last materialization of each asset."""
    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        values = {name: value.value for name, value in materialization.metadata.items()}
        found[materialization.asset_key.to_user_string()] = values
    merged = found.get("merged_user_tags") or _dry_run(result) or _output_metadata(result)
    broken = {
        (check.asset_key.path[-1]).removeprefix("tag_"): check.description
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.check_name == "rule_valid"
    } or merged.get("broken", {})
    return {
        "run_id": result.run_id,
        "status": "completed",
        "sources": {
            name.removeprefix("source/"): {
                "rows": values.get("dagster/row_count"),
                "set_aside": values.get("set_aside"),
                "partition": values.get("partition"),
                "copied": values.get("copied"),
                "seconds": values.get("seconds") if values.get("copied") else {},
            }
            for name, values in found.items()
            if name.startswith("source/")
        },
        "tags": _tags(found, merged, catalog),
        "broken": broken,
        "dry_run": "dry_run" in merged,
        "changes": _changes(merged, catalog),
        "gate": [*merged.get("closed", []), *merged.get("gate", [])],
        "user_tags": {name: merged.get(name, 0) for name in ("inserted", "updated", "unchanged")},
        "stages": {**_evaluation_seconds(found), **merged.get("seconds", {})},
    }


def _evaluation_seconds(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The tags of a run share one pass, so each of them says the same."""
    passes = [sum(values["seconds"].values()) for name, values in found.items() if name.startswith("tag/")]
    return {"evaluate": max(passes)} if passes else {}


def _changes(merged: dict[str, Any], catalog: Catalog) -> list[dict[str, Any]]:
    """The account: users of each tag before, entering, leaving, after."""
    names = ("before", "entered", "left", "after")
    tag_ids = sorted({int(tag_id) for name in names for tag_id in merged.get(name, {})} - {0})
    return [
        {
            "tag_id": tag_id,
            "tag_name": catalog.by_id[tag_id].name if tag_id in catalog.by_id else "",
            **{name: merged.get(name, {}).get(str(tag_id), 0) for name in names},
        }
        for tag_id in tag_ids
    ]


def _dry_run(result: ExecuteInProcessResult) -> dict[str, Any]:
    """What a dry run, which materializes nothing, observed."""
    for event in result.all_events:
        if event.event_type_value == "ASSET_OBSERVATION":
            return {
                name: value.value for name, value in event.asset_observation_data.asset_observation.metadata.items()
            }
    return {}


def _output_metadata(result: ExecuteInProcessResult) -> dict[str, Any]:
    """What the job `tag_users`, which materializes no tag asset, says of its output."""
    for event in result.all_events:
        if event.event_type_value == "STEP_OUTPUT" and "inserted" in event.step_output_data.metadata:
            return {name: value.value for name, value in event.step_output_data.metadata.items()}
    return {}


def _tags(found: dict[str, dict[str, Any]], merged: dict[str, Any], catalog: Catalog) -> list[dict[str, Any]]:
    hits = {name: values for name, values in found.items() if name.startswith("tag/")}
    rows = {int(name.rpartition("_")[2]): (values["hits"], values["users"]) for name, values in hits.items()}
    if not rows and "hits" in merged:
        rows = {int(tag_id): (n, merged["users"]) for tag_id, n in merged["hits"].items()}
    return [
        {
            "tag_id": tag_id,
            "tag_name": catalog.by_id[tag_id].name,
            "hits": n,
            "users": users,
            "coverage": round(n / users, 6) if users else 0.0,
            "entered": merged.get("entered", {}).get(str(tag_id), 0),
            "left": merged.get("left", {}).get(str(tag_id), 0),
        }
        for tag_id, (n, users) in sorted(rows.items())
    ]
