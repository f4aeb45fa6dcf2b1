"""What Prometheus sees at `/metrics`: the gateway's own answers, and the platform's key figures as Dagster knows them
at the moment of the scrape. Nothing is kept here but the histogram of answers, so any number of gateways agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tag_platform.gateway import tasks
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.gateway.dependencies import ANSWERS
from tag_platform.gateway.errors import Refusal
from tag_platform.gateway.security import needs

PLAIN: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The metrics"}


def install(app: FastAPI, dagster: DagsterClient) -> None:
    """Measures every answer of the app, and adds the route."""
    registry = CollectorRegistry()
    seconds = Histogram("tag_platform_api_seconds", "Time to answer", ["method", "route", "status"], registry=registry)
    registry.register(KeyFigures(dagster))
    ProcessCollector(registry=registry)

    @app.middleware("http")
    async def measure(request: Request, call_next: Any) -> Any:
        started = time.monotonic()
        response = await call_next(request)
        # The route's pattern, never the path: a path holds user ids, and every id would be a time series of its own.
        route = getattr(request.scope.get("route"), "path", "none")
        seconds.labels(request.method, route, str(response.status_code)).observe(time.monotonic() - started)
        return response

    @app.get("/metrics", dependencies=[Depends(needs("read"))], responses={**ANSWERS, 200: PLAIN})
    def metrics() -> PlainTextResponse:
        """For Prometheus: time to answer by route, and the platform's key figures as they are now."""
        return PlainTextResponse(generate_latest(registry), media_type="text/plain; version=0.0.4")


class KeyFigures(Collector):
    """Asks Dagster at each scrape. Where it does not answer, `tag_platform_dagster_up` is 0 and the rest is missing."""

    def __init__(self, dagster: DagsterClient) -> None:
        self._dagster = dagster

    def describe(self) -> Iterator[Metric]:
        yield from ()  # else the registry would ask Dagster when the gateway starts

    def collect(self) -> Iterator[Metric]:
        try:
            figures = self._dagster.figures(tasks.JOBS, {word: tasks.statuses_of(word) for word in tasks.WORDS})
        except Refusal:
            yield _gauge("dagster_up", "Whether Dagster answers", [], [([], 0)])
            return
        yield _gauge("dagster_up", "Whether Dagster answers", [], [([], 1)])
        yield from _of_runs(figures)
        newest = {tuple(path): (at, tasks.metadata_values(entries)) for path, at, entries in figures["newest"]}
        yield from _of_tags(
            {path[-1].removeprefix("tag_"): found for path, found in newest.items() if path[0] == "tag"}
        )
        yield from _of_sources({path[-1]: found for path, found in newest.items() if path[0] == "source"})
        yield from _of_merge(newest.get(("merged_user_tags",)))


Found = tuple[float, dict[str, Any]]  # time of the materialization, its metadata
Samples = list[tuple[list[str], float]]


def _of_runs(figures: dict[str, Any]) -> Iterator[Metric]:
    counts = [([job, word], n) for (job, word), n in figures["counts"].items()]
    yield _gauge("tasks", "Runs that Dagster knows, by job and state", ["job", "status"], counts)
    yield _gauge("queue_length", "Runs of any job that wait in the queue", [], [([], figures["queued"])])
    last = figures["last"].items()
    ran = [([job], run["endTime"] - run["startTime"]) for job, run in last if run["startTime"]]
    yield _gauge("task_seconds", "From start to end of the job's last completed run", ["job"], ran)
    waited = [([job], run["startTime"] - run["creationTime"]) for job, run in last if run["startTime"]]
    yield _gauge("task_wait_seconds", "From request to start of the job's last completed run", ["job"], waited)


def _of_tags(tags: dict[str, Found]) -> Iterator[Metric]:
    """Of each tag's last computation: a run for some shards counts the users of these."""

    def each(name: str) -> Samples:
        return [([tag_id], values[name]) for tag_id, (_, values) in sorted(tags.items()) if name in values]

    yield _gauge("tag_hits", "Users with the tag, in its last computation", ["tag_id"], each("hits"))
    yield _gauge("tag_looked_at_users", "Users looked at, in the tag's last computation", ["tag_id"], each("users"))
    yield _gauge("tag_coverage_ratio", "Hits among the users looked at", ["tag_id"], each("coverage"))
    at: Samples = [([tag_id], when) for tag_id, (when, _) in sorted(tags.items())]
    yield _gauge("tag_computed_timestamp_seconds", "When the tag was last computed", ["tag_id"], at)
    spent = [(tag_id, values, sum(values["seconds"].values())) for tag_id, (_, values) in tags.items()]
    took: Samples = [([tag_id], seconds) for tag_id, _, seconds in sorted(spent)]
    yield _gauge("tag_compute_seconds", "The pass that last computed the tag, with others of its run", ["tag_id"], took)
    rate: Samples = [([tag_id], values["users"] / seconds) for tag_id, values, seconds in sorted(spent) if seconds]
    yield _gauge("tag_users_per_second", "Users looked at per second of that pass", ["tag_id"], rate)


def _of_sources(tables: dict[str, Found]) -> Iterator[Metric]:
    rows: Samples = [([table], values.get("dagster/row_count", 0)) for table, (_, values) in sorted(tables.items())]
    yield _gauge("source_rows", "Rows of the newest snapshot", ["table"], rows)
    read: Samples = [([table], values.get("bytes", 0)) for table, (_, values) in sorted(tables.items())]
    yield _gauge("source_bytes", "Bytes of the raw files of the newest snapshot", ["table"], read)
    rate: Samples = []
    for table, (_, values) in sorted(tables.items()):
        seconds = sum(values.get("seconds", {}).values())  # a table that has not changed was not read
        if seconds:
            rate.append(([table], values["dagster/row_count"] / seconds))
    yield _gauge("source_rows_per_second", "Rows read per second, where the last run read the table", ["table"], rate)


def _of_merge(found: Found | None) -> Iterator[Metric]:
    if found is None:
        return
    at, values = found
    rows: Samples = [([name], values[name]) for name in ("inserted", "updated", "unchanged") if name in values]
    yield _gauge("merge_rows", "Rows of user_tags in the last merge", ["change"], rows)
    took: Samples = [([step], seconds) for step, seconds in values.get("seconds", {}).items()]
    yield _gauge("merge_seconds", "Time of the last merge, by step", ["step"], took)
    yield _gauge("merge_timestamp_seconds", "When user_tags was last merged", [], [([], at)])


def _gauge(name: str, text: str, labels: list[str], samples: Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"tag_platform_{name}", text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family
