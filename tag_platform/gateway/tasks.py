"""Runs as tasks: what a back end is told of a Dagster run, in words that need no Dagster."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

STATUS = {
    "NOT_STARTED": "submitted",
    "QUEUED": "submitted",
    "MANAGED": "submitted",
    "STARTING": "submitted",
    "STARTED": "running",
    "CANCELING": "running",
    "SUCCESS": "completed",
    "FAILURE": "failed",
    "CANCELED": "canceled",
}
WORDS = ("submitted", "running", "completed", "failed", "canceled")
JOBS = ("tag_all", "tag_users")
TAG_IDS_TAG, MODE_TAG, KEY_TAG = "tag_platform/tag_ids", "tag_platform/mode", "tag_platform/request"


def statuses_of(word: str) -> list[str]:
    """Dagster's statuses behind one of `WORDS`."""
    return [status for status, name in STATUS.items() if name == word]


def describe(run: dict[str, Any], events: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The task as the API shows it. With `events` it carries progress while running, and totals at the end."""
    word = STATUS[run["status"]]
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    task: dict[str, Any] = {
        "task_id": run["runId"],
        "tag_ids": _tag_ids(run),
        "status": word,
        "mode": tags.get(MODE_TAG, "users" if run["jobName"] == "tag_users" else "full"),
        "submitted_at": _time(run["creationTime"]),
        "started_at": _time(run["startTime"]),
        "completed_at": _time(run["endTime"]),
    }
    if events is None:
        return task
    found = _counts(events)
    if word == "running":
        task["progress"] = {
            "stages_done": len(found.shards_of),
            "stages": sorted(found.shards_of),
            "shards_done": max((len(shards) for shards in found.shards_of.values()), default=0),
            "users": found.users,
        }
    elif word == "completed":
        task["result"] = found.result()
    elif word == "failed":
        reasons = found.reasons or ["Dagster's page of the run says more."]
        task["error"] = {"message": reasons[0], "reasons": reasons[:20]}
        task["result"] = found.result()
    return task


class _Counts:
    def __init__(self) -> None:
        self.shards_of: dict[str, set[str]] = {}
        self.tags: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, Any] = {}
        self.sources: dict[str, int] = {}
        self.users = 0
        self.reasons: list[str] = []

    def result(self) -> dict[str, Any]:
        keys = ("inserted", "updated", "unchanged", "entered", "left")
        return {
            "total_users": self.users,
            "message": f"Successfully processed {self.users} users" if not self.reasons else self.reasons[0],
            "tags": self.tags,
            "rows": {key: self.rows[key] for key in keys if key in self.rows},
            "source_rows": self.sources,
        }


def _counts(events: list[dict[str, Any]]) -> _Counts:
    found = _Counts()
    for event in events:
        kind = event["__typename"]
        if kind == "MaterializationEvent":
            # Every shard's event of one asset carries the asset's totals of the run, so each replaces the one before.
            path = event["assetKey"]["path"]
            found.shards_of.setdefault("/".join(path), set()).add(event["partition"] or "")
            values = metadata_values(event["metadataEntries"])
            if path[0] == "tag":
                tag: dict[str, Any] = {key: values[key] for key in ("hits", "users", "coverage") if key in values}
                found.tags[path[-1].removeprefix("tag_")] = tag
                found.users = max(found.users, int(values.get("users", 0)))
            elif path == ["merged_user_tags"]:
                found.rows = values
            elif path[0] == "source":
                found.sources[path[-1]] = int(values.get("dagster/row_count", 0))
        elif kind == "ExecutionStepOutputEvent":
            values = metadata_values(event["metadataEntries"])
            if "hits" in values and isinstance(values["hits"], dict):
                users = int(values.get("users", 0))
                found.users, found.rows = users, values
                found.tags = {
                    tag_id: {"hits": n, "users": users, "coverage": round(n / users, 6) if users else 0.0}
                    for tag_id, n in values["hits"].items()
                }
        elif kind == "ExecutionStepFailureEvent":
            error = event["error"] or {}
            deepest = (error.get("cause") or error).get("message", "")
            found.reasons.append(deepest.strip())
        elif kind == "RunFailureEvent":
            found.reasons.append(event["message"].strip())
    return found


def metadata_values(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Metadata entries of GraphQL as plain values: numbers, JSON, texts and paths."""
    values: dict[str, Any] = {}
    for entry in entries:
        if entry.get("intRepr") is not None:
            values[entry["label"]] = int(entry["intRepr"])
        elif entry.get("floatValue") is not None:
            values[entry["label"]] = entry["floatValue"]
        elif entry.get("jsonString") is not None:
            values[entry["label"]] = json.loads(entry["jsonString"])
        elif (text := entry.get("text") or entry.get("path")) is not None:
            values[entry["label"]] = text
    return values


def _tag_ids(run: dict[str, Any]) -> list[int]:
    """From the run's own selection and configuration; a run of everything names none."""
    if run["jobName"] == "tag_users":
        config = run["runConfig"] if isinstance(run["runConfig"], dict) else json.loads(run["runConfig"] or "{}")
        return sorted(config.get("ops", {}).get("tag_users", {}).get("config", {}).get("tag_ids", []))
    keys = [key["path"] for key in run["assetSelection"] or []]
    return sorted(int(path[1].removeprefix("tag_")) for path in keys if path[0] == "tag")


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
