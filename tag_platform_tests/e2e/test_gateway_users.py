"""What the gateway tells of users and rules, on real services: reasons, pins, previews, figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tag_platform.mysql import transaction
from tag_platform_tests.e2e.gateway_deployment import Deployment, finished, trigger

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
RICH = {
    "logic": "AND",
    "conditions": [{"field": "total_asset_value", "operator": ">=", "value": 100000, "type": "number"}],
}


@pytest.fixture(scope="module")
def computed(deployed: Deployment) -> dict[str, Any]:
    """The task that computed tags 1 and 2 for everybody: half of the 200 users are rich."""
    with deployed.gateway(), httpx.Client(base_url=deployed.api, timeout=60) as api:
        return finished(api, trigger(api, {"tag_ids": [1, 2]}))


@pytest.fixture
def limited(deployed: Deployment) -> Iterator[httpx.Client]:
    """A client of a gateway whose previews may take less memory than any engine needs."""
    with (
        deployed.gateway(TAG_PLATFORM_PREVIEW_MEMORY_MB="64"),
        httpx.Client(base_url=deployed.api, timeout=60) as client,
    ):
        yield client


def test_a_preview_counts_what_a_run_would_tag(computed: dict[str, Any], api: httpx.Client) -> None:
    """A rule is tried before it is saved; its number must be the number of the run that follows."""
    whole = api.post("/api/v1/rules/preview", json={"rule": RICH})
    assert whole.status_code == 200, whole.text
    found = whole.json()
    assert (found["exact"], found["matched"], found["users"]) == (True, 100, 200)
    assert {key: computed["result"]["tags"]["1"][key] for key in ("hits", "users", "coverage")} == {
        "hits": found["matched"],
        "users": found["users"],
        "coverage": found["coverage"],
    }
    assert found["matched_of_all"] == 100
    assert found["examples"] == ["u***0", "u***1", "u***2", "u***3", "u***4"]
    sample = api.post("/api/v1/rules/preview", json={"rule": RICH, "sample_shards": 1}).json()
    assert (sample["exact"], sample["matched_of_all"]) == (False, sample["matched"] * 4)
    assert 0 < sample["users"] < 200


def test_a_preview_refuses_what_the_catalog_would_refuse(computed: dict[str, Any], api: httpx.Client) -> None:  # noqa: ARG001
    """Every error at once, with its path in the body that was sent; a key twice is one of them."""
    leaf = '{"field": "age", "operator": ">=", "value": 1, "value": 2, "type": "number"}'
    twice = f'{{"rule": {{"logic": "AND", "conditions": [{leaf}]}}}}'
    leaves = [{"field": "nothing", "operator": ">=", "value": 1}, {"field": "age", "operator": "~"}]
    wrong = {"logic": "AND", "conditions": leaves}
    refused = {
        "$.rule.conditions[0].value": api.post(
            "/api/v1/rules/preview", content=twice, headers={"Content-Type": "application/json"}
        ),
        "$.rule.conditions[0].field": api.post("/api/v1/rules/preview", json={"rule": wrong}),
        "$.rule.conditions[1].operator": api.post("/api/v1/rules/preview", json={"rule": wrong}),
        "$.as_of": api.post("/api/v1/rules/preview", json={"rule": RICH, "as_of": "2026-02-30"}),
        "$.sample_shards": api.post("/api/v1/rules/preview", json={"rule": RICH, "sample_shards": 0}),
        "$.rules": api.post("/api/v1/rules/preview", json={"rule": RICH, "rules": []}),
    }
    for path, answer in refused.items():
        assert answer.status_code == 422, answer.text
        assert path in [detail["path"] for detail in answer.json()["error"]["details"]]


def test_a_preview_that_needs_too_much_ends_alone(computed: dict[str, Any], limited: httpx.Client) -> None:  # noqa: ARG001
    """Counting happens in a process of its own, so the gateway lives on when that one runs out of memory."""
    answer = limited.post("/api/v1/rules/preview", json={"rule": RICH})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert limited.get("/health").status_code == 200


def test_the_reasons_of_a_user(computed: dict[str, Any], deployed: Deployment, api: httpx.Client) -> None:  # noqa: ARG001
    """Support sees why, with the user's own values; nobody is told apart from somebody without tags."""
    rich = api.get("/api/v1/users/u150/tags", params={"explain": 1, "tag_id": 1}).json()
    [reason] = rich["reasons"]
    assert (reason["tag_id"], reason["truth"], reason["error"]) == (1, "TRUE", None)
    assert reason["tree"]["members"][0]["values"] == {"user_asset_summary.total_asset_value": 150000.0}
    with transaction(deployed.database) as cursor:
        cursor.execute("DELETE FROM user_tags WHERE user_id = 'u0'")
    poor = api.get("/api/v1/users/u0/tags", params={"explain": 1, "tag_id": 1}).json()
    assert (poor["tag_ids"], poor["created_time"], poor["reasons"][0]["truth"]) == ([], None, "FALSE")
    assert poor["reasons"][0]["missing"]
    every = api.get("/api/v1/users/u150/tags", params={"explain": 1}).json()["reasons"]
    assert [reason["tag_id"] for reason in every] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert api.get("/api/v1/users/nobody/tags", params={"explain": 1}).status_code == 404
    assert api.get("/api/v1/users/u150/tags", params={"explain": 1, "tag_id": 999}).status_code == 422


def test_a_pin_stays_until_it_is_released(computed: dict[str, Any], api: httpx.Client) -> None:  # noqa: ARG001
    """What a person decides survives the runs, and says who and why. (The docs' examples decide too, as another.)"""
    why = {"by": "pat", "why": "asked for it"}

    def decide(decision: str, user: str = "u10", tag_id: int = 1) -> httpx.Response:
        return api.put(f"/api/v1/users/{user}/tags/{tag_id}", json={"decision": decision, **why})

    pinned = decide("pin").json()["override"]
    assert (pinned["kind"], pinned["by"], pinned["why"]) == ("pin", "pat", "asked for it")
    assert decide("pin").json()["override"] == pinned  # a retry
    assert finished(api, trigger(api, {"tag_ids": [1], "user_ids": ["u10"]}))["status"] == "completed"
    row = api.get("/api/v1/users/u10/tags", params={"explain": 1, "tag_id": 1}).json()
    assert 1 in row["tag_ids"]
    assert (row["reasons"][0]["truth"], row["overrides"]) == ("FALSE", [pinned])
    other = decide("exclude", "u150").json()["override"]
    pages, cursor = [], 0
    while cursor is not None:
        page = api.get("/api/v1/overrides", params={"limit": 1, "cursor": cursor}).json()
        pages += [made for made in page["overrides"] if made["by"] == "pat"]
        cursor = page["next_cursor"]
    assert pages == [pinned, other]
    assert decide("release").json()["override"]["kind"] == "release"
    assert decide("release", "u150").status_code == 200
    assert decide("release", "u11").status_code == 422
    assert decide("pin", tag_id=999).status_code == 422
    assert finished(api, trigger(api, {"tag_ids": [1], "user_ids": ["u10", "u150"]}))["status"] == "completed"
    tags_now = {user: api.get(f"/api/v1/users/{user}/tags").json()["tag_ids"] for user in ("u10", "u150")}
    assert (1 in tags_now["u10"], 1 in tags_now["u150"]) == (False, True)


def test_the_figures_are_those_of_the_run(computed: dict[str, Any], api: httpx.Client) -> None:
    """An alert on hits, coverage or failures must rest on what the run itself said. Paths with ids stay out."""
    api.get("/api/v1/users/some-person/tags")
    text = api.get("/metrics").text
    assert "/api/v1/users/{user_id}/tags" in text
    assert "some-person" not in text
    figures = _figures(text)
    for tag_id in ("1", "2"):
        of_run = computed["result"]["tags"][tag_id]
        assert figures["tag_platform_tag_hits", tag_id] == of_run["hits"]
        assert figures["tag_platform_tag_looked_at_users", tag_id] == of_run["users"]
        assert figures["tag_platform_tag_coverage_ratio", tag_id] == of_run["coverage"]
        assert figures["tag_platform_tag_users_per_second", tag_id] > 0
    assert figures["tag_platform_source_rows", "user_basic_info"] == 200
    assert figures["tag_platform_tasks", "tag_all", "completed"] >= 1
    assert figures["tag_platform_task_seconds", "tag_all"] > 0
    assert figures["tag_platform_queue_length",] == 0
    assert figures["tag_platform_dagster_up",] == 1
    assert api.get("/health").json()["status"] == "healthy"


def _figures(text: str) -> dict[tuple[str, ...], float]:
    """Name and label values → value."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}
