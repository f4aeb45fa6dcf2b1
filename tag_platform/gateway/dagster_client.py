"""The GraphQL that the gateway speaks to Dagster's webserver. Every query and mutation it sends is in this file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product
from typing import Any

import httpx

from tag_platform.gateway.errors import unavailable

LOCATION, REPOSITORY = "tag_platform", "__repository__"

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId creationTime } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
_RUN = """
fragment Run on Run {
  runId jobName status creationTime startTime endTime
  runConfig
  tags { key value }
  assetSelection { path }
}
"""
RUN = (
    _RUN
    + """
query Run($id: ID!) { runOrError(runId: $id) { __typename ... on Run { ...Run } ... on PythonError { message } } }
"""
)
RUNS = (
    _RUN
    + """
query Runs($filter: RunsFilter!, $cursor: String, $limit: Int!) {
  runsOrError(filter: $filter, cursor: $cursor, limit: $limit) {
    __typename
    ... on Runs { results { ...Run } }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""
)
_ENTRIES = """
fragment Entries on MetadataEntry {
  label
  ... on IntMetadataEntry { intRepr }
  ... on FloatMetadataEntry { floatValue }
  ... on JsonMetadataEntry { jsonString }
  ... on TextMetadataEntry { text }
  ... on PathMetadataEntry { path }
}
"""
NEWEST_BY_PARTITION = (
    _ENTRIES
    + """
query NewestByPartition($keys: [AssetKeyInput!]!, $partitions: [String!]!) {
  assetNodes(assetKeys: $keys) {
    assetKey { path }
    latestMaterializationByPartition(partitions: $partitions) { partition metadataEntries { ...Entries } }
  }
}
"""
)
EVENTS = (
    _ENTRIES
    + """
query Events($id: ID!, $after: String) {
  logsForRun(runId: $id, afterCursor: $after, limit: 1000) {
    __typename
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on MaterializationEvent { assetKey { path } partition metadataEntries { ...Entries } }
        ... on ExecutionStepOutputEvent { metadataEntries { ...Entries } }
        ... on ExecutionStepFailureEvent { error { message cause { message } } }
        ... on RunFailureEvent { message error { message } }
      }
    }
    ... on RunNotFoundError { message }
    ... on PythonError { message }
  }
}
"""
)
TERMINATE = """
mutation Terminate($id: String!) {
  terminateRun(runId: $id, terminatePolicy: SAFE_TERMINATE) {
    __typename
    ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}
"""
NEWEST = (
    _ENTRIES
    + """
query Newest {
  assetNodes(loadMaterializations: true) {
    assetKey { path }
    assetMaterializations(limit: 1) { timestamp metadataEntries { ...Entries } }
  }
}
"""
)
VERSION = "query Version { version }"


class DagsterClient:
    """Sends the documents above. Keeps connections open, and nothing else."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=httpx.Timeout(30, connect=3), transport=transport)
        self._url = url

    def close(self) -> None:
        self._http.close()

    def launch(self, job: str, assets: list[list[str]] | None, config: dict[str, Any], tags: dict[str, str]) -> str:
        """Puts a run into the queue and returns its id. Raises `Refusal` 503 where it cannot tell or be done."""
        selector: dict[str, Any] = {
            "repositoryLocationName": LOCATION,
            "repositoryName": REPOSITORY,
            "jobName": job,
        }
        if assets is not None:
            selector["assetSelection"] = [{"path": path} for path in assets]
        params = {
            "selector": selector,
            "runConfigData": config,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self.ask(LAUNCH, {"params": params})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reason = answer.get("message") or "; ".join(e["message"] for e in answer.get("errors", []))
            raise unavailable(f"Dagster did not start the job {job}: {answer['__typename']} {reason}".strip())
        return str(answer["run"]["runId"])

    def run(self, run_id: str) -> dict[str, Any] | None:
        """The run, or None where there is none of this id."""
        answer = self.ask(RUN, {"id": run_id})["runOrError"]
        if answer["__typename"] == "RunNotFoundError":
            return None
        return self._expect(answer, "Run")

    def runs(self, filters: dict[str, Any], cursor: str | None, limit: int) -> list[dict[str, Any]]:
        """Runs that match, newest first, beginning after the run `cursor`."""
        answer = self.ask(RUNS, {"filter": filters, "cursor": cursor, "limit": limit})["runsOrError"]
        return list(self._expect(answer, "Runs")["results"])

    def figures(self, jobs: Collection[str], words: Mapping[str, list[str]]) -> dict[str, Any]:
        """For metrics: `counts` of runs by job and word (`words`: word → Dagster's statuses), how many are `queued`,
        each job's `last` completed run, and each asset's `newest` materialization (path, time, metadata entries)."""
        wanted = {f"n{i}": (job, word) for i, (job, word) in enumerate(product(jobs, words))}
        counts = [_count_of(name, {"pipelineName": j, "statuses": words[w]}) for name, (j, w) in wanted.items()]
        last = {f"l{i}": job for i, job in enumerate(jobs)}
        runs = [_last_of(name, job) for name, job in last.items()]
        found = self.ask("{" + "\n".join([*counts, *runs, _count_of("queued", {"statuses": ["QUEUED"]})]) + "}", {})
        return {
            "counts": {of: self._expect(found[name], "Runs")["count"] for name, of in wanted.items()},
            "queued": self._expect(found["queued"], "Runs")["count"],
            "last": {job: run for name, job in last.items() for run in self._expect(found[name], "Runs")["results"]},
            "newest": [
                (node["assetKey"]["path"], float(event["timestamp"]) / 1000, event["metadataEntries"])
                for node in self.ask(NEWEST, {})["assetNodes"]
                for event in node["assetMaterializations"]
            ],
        }

    def newest_by_partition(
        self, assets: list[list[str]], partitions: list[str]
    ) -> list[tuple[list[str], str, list[dict[str, Any]]]]:
        """Asset path, partition and metadata entries of each partition's newest materialization, where there is one."""
        variables = {"keys": [{"path": path} for path in assets], "partitions": partitions}
        return [
            (node["assetKey"]["path"], event["partition"], event["metadataEntries"])
            for node in self.ask(NEWEST_BY_PARTITION, variables)["assetNodes"]
            for event in node["latestMaterializationByPartition"]
            if event is not None
        ]

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """The run's events that carry counts or reasons, oldest first."""
        events: list[dict[str, Any]] = []
        cursor, more = None, True
        while more:
            answer = self.ask(EVENTS, {"id": run_id, "after": cursor})["logsForRun"]
            page = self._expect(answer, "EventConnection")
            events += [event for event in page["events"] if len(event) > 1]
            cursor, more = page["cursor"], page["hasMore"]
        return events

    def terminate(self, run_id: str) -> str | None:
        """Asks the run to stop. None where it was asked, otherwise why it could not be."""
        answer = self.ask(TERMINATE, {"id": run_id})["terminateRun"]
        if answer["__typename"] == "TerminateRunSuccess":
            return None
        return str(answer.get("message") or answer["__typename"])

    def version(self) -> str:
        return str(self.ask(VERSION, {})["version"])

    def ask(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        """One request. Raises `Refusal` 503 where the webserver does not answer or fails."""
        try:
            response = self._http.post("/graphql", json={"query": document, "variables": variables})
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise unavailable(f"Dagster's webserver at {self._url} does not answer: {type(error).__name__}.") from error
        if not isinstance(body, dict) or body.get("errors") or "data" not in body:
            raise unavailable(f"Dagster's webserver at {self._url} could not answer (HTTP {response.status_code}).")
        return dict(body["data"])

    @staticmethod
    def _expect(answer: dict[str, Any], kind: str) -> dict[str, Any]:
        if answer["__typename"] != kind:
            raise unavailable(f"Dagster answered {answer['__typename']}: {answer.get('message', '')}")
        return answer


def _count_of(name: str, filters: Mapping[str, Any]) -> str:
    """A field that counts runs. The filter's statuses are names of an enumeration, so they stand without quotes."""
    job = f'pipelineName: "{filters["pipelineName"]}", ' if "pipelineName" in filters else ""
    statuses = ", ".join(filters["statuses"])
    return f"{name}: runsOrError(filter: {{{job}statuses: [{statuses}]}}) {{ __typename ... on Runs {{ count }} }}"


def _last_of(name: str, job: str) -> str:
    """A field with the job's last completed run."""
    return (
        f'{name}: runsOrError(filter: {{pipelineName: "{job}", statuses: [SUCCESS]}}, limit: 1)'
        " { __typename ... on Runs { results { creationTime startTime endTime } } }"
    )
