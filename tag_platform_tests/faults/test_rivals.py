"""Three real runs at once over the same users and tags, beside the run queue and in it, with people at work on the same
rows."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.local.services import dagster_programs
from tag_platform_tests.faults import process
from tag_platform_tests.faults.moments import newest_merge
from tag_platform_tests.faults.proof import last_recorded, prove, rows_now
from tag_platform_tests.faults.rounds import details_of, people_at_work
from tag_platform_tests.faults.servers import Ground, Server, ground
from tag_platform_tests.faults.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_three_runs_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two runs beside the queue and one in it, whose tags overlap, while people change and pin tags of the same users:
    every run ends well, and the table is what one run after the other would have left. No tag goes and comes again."""
    with ground(tmp_path) as place:
        truth = World(place, random.Random(7))
        truth.prepare()
        with _deployment(place):
            for _ in range(2):
                before, recorded, ledger = rows_now(place.admin), last_recorded(place.admin), newest_merge(place.admin)
                step = truth.step(busy=True)
                active = [tag_id for tag_id in (1, 2, 3, 4, 5) if tag_id not in truth.retired]
                runs = [
                    process.command(None, tmp_path / "all.log", "--submit", "--wait"),
                    process.command(active[:4], tmp_path / "some.log"),
                    process.command(active[1:], tmp_path / "others.log"),
                ]
                people = people_at_work(place, step, [8.0, 9.0])  # seconds: when the runs have started their work
                ends = [run.outcome() for run in runs]
                for person in people:
                    person.join()
                assert [end["event"] for end in ends] == ["done"] * 3, ends
                decided = {user for user, _, _ in step.decisions}
                found = prove(
                    place, before, truth.table, recorded, ledger, decided, ends, details_of(place), different_runs=3
                )
                assert found.all() == []
                assert last_recorded(place.admin) > recorded


@contextmanager
def _deployment(place: Ground) -> Iterator[None]:
    """Code server, webserver and daemon, with their sensors off: what they would start is none of the three runs."""
    servers = [Server(program, place.folder / f"{program.name}.log") for program in dagster_programs(place.settings)]
    try:
        for server in servers:
            server.start()
        listed = _graphql(place, _SENSORS)
        for sensor in listed["sensorsOrError"]["results"]:
            stop = "mutation ($id: String!) { stopSensor(id: $id) { __typename } }"
            assert _graphql(place, stop, id=sensor["id"])["stopSensor"]["__typename"] == "StopSensorMutationResult"
        yield
    finally:
        for server in reversed(servers):
            server.kill()


_SENSORS = """
{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "tag_platform"}) {
  ... on Sensors { results { id name } } } }
"""


def _graphql(place: Ground, query: str, **variables: Any) -> Any:
    request = urllib.request.Request(
        f"http://{place.settings.ui_host}:{place.settings.ui_port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 (our own loopback address)
        return json.load(response)["data"]
