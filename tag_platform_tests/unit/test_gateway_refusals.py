"""What the gateway refuses before anything is asked of Dagster: tokens, roles, rates and bodies."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from tag_platform.errors import BadInput
from tag_platform.gateway.app import MAX_BODY, create_app
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.gateway.preview import masked
from tag_platform.gateway.security import RateLimit, check_binding, parse_tokens
from tag_platform.settings import Settings

TRIGGER = "/api/v1/tags/trigger"


def _refuse(_: httpx.Request) -> httpx.Response:
    raise AssertionError("a refused request must not reach Dagster")


def client(tokens: str | None = None, limit: RateLimit | None = None) -> TestClient:
    dagster = DagsterClient("http://dagster", httpx.MockTransport(_refuse))
    # Port 9 is closed: a request that asks the database is answered with 503, so 422 means that it was not asked.
    values: dict[str, Any] = {"TAG_PLATFORM_API_TOKENS": tokens, "MYSQL_PORT": 9, "MYSQL_HOST": "127.0.0.1"}
    return TestClient(create_app(Settings.model_validate(values), dagster, limit))


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tag_ids": []}, "$.tag_ids"),
        ({"tag_ids": ["1"]}, "$.tag_ids[0]"),
        ({"tag_ids": [True]}, "$.tag_ids[0]"),
        ({"tag_ids": [1.0]}, "$.tag_ids[0]"),
        ({"tag_ids": [0]}, "$.tag_ids[0]"),
        ({}, "$.tag_ids"),
        ({"tag_ids": [1], "user_ids": []}, "$.user_ids"),
        ({"tag_ids": [1], "user_ids": ["a ", "b"]}, "$.user_ids[0]"),
        ({"tag_ids": [1], "user_ids": ["u" * 101]}, "$.user_ids[0]"),
        ({"tag_ids": [1], "user_ids": [f"u{n}" for n in range(10_001)]}, "$.user_ids"),
        ({"tag_ids": [1], "mode": "half"}, "$.mode"),
        ({"tag_ids": [1], "users": ["a"]}, "$.users"),
    ],
)
def test_a_wrong_body_is_refused_and_the_place_is_named(body: dict[str, Any], path: str) -> None:
    """A misspelt or empty field must never turn into a run for everybody."""
    answer = client().post(TRIGGER, json=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert answer.json()["success"] is False
    assert path in [detail["path"] for detail in error["details"]]


def test_no_value_of_a_user_is_repeated_in_a_refusal() -> None:
    """Answers end up in logs, and user ids are personal."""
    answer = client().post(TRIGGER, json={"tag_ids": [1], "user_ids": ["very-personal "]})
    assert answer.status_code == 422
    assert "very-personal" not in answer.text


def test_a_body_that_is_no_json_and_one_that_is_too_large() -> None:
    """Both are refused in the fixed shape; the large one before it is parsed."""
    broken = client().post(TRIGGER, content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "bad_json")
    large = client().post(TRIGGER, content=b"[" * (MAX_BODY + 1), headers={"content-type": "application/json"})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")


def test_unknown_routes_and_methods_keep_the_shape() -> None:
    """A client parses one shape of error, whoever made it."""
    assert client().get("/nowhere").json()["error"]["code"] == "not_found"
    assert client().delete(TRIGGER).json()["error"]["code"] == "method_not_allowed"


def test_an_unreachable_database_is_503_and_says_so() -> None:
    """A back end retries 503, and must be able to tell it from a refusal."""
    answer = client().post(TRIGGER, json={"tag_ids": [1]})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "127.0.0.1:9" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("token", "expected"),
    [(None, 401), ("wrong", 401), ("reading", 403), ("starting", 422), ("ruling", 422), ("bare", 422)],
)
def test_roles(token: str | None, expected: int) -> None:
    """Only a token with the role gets as far as the body's check; no token and a wrong one look alike."""
    gateway = client("read:reading,trigger:starting,admin:ruling,bare")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = gateway.post(TRIGGER, json={"tag_ids": []}, headers=headers)
    assert answer.status_code == expected
    assert answer.json()["success"] is False


def test_the_rate_limit_is_per_token_and_recovers() -> None:
    """One noisy back end must not lock out another."""
    now = [0.0]
    gateway = client("read:one,read:two", RateLimit(1.0, 2, lambda: now[0]))

    def ask(token: str) -> int:
        return int(gateway.post(TRIGGER, json={}, headers={"Authorization": f"Bearer {token}"}).status_code)

    codes = [ask("one") for _ in range(3)]
    assert codes[-1] == 429
    assert ask("two") != 429
    now[0] += 1.0
    assert ask("one") != 429


def test_without_tokens_only_loopback_is_served() -> None:
    """A gateway without tokens on a network address would let everybody trigger."""
    with pytest.raises(BadInput, match="loopback only"):
        check_binding(Settings.model_validate({"API_HOST": "0.0.0.0"}))  # noqa: S104 (refused)
    check_binding(Settings.model_validate({"API_HOST": "::1"}))
    check_binding(Settings.model_validate({"API_HOST": "0.0.0.0", "TAG_PLATFORM_API_TOKENS": "t"}))  # noqa: S104


@pytest.mark.parametrize("text", ["a,,b", "read:", "a,a"])
def test_tokens_that_cannot_be_used_are_not_repeated(text: str) -> None:
    """A typing error in the tokens stops the start, and the message holds no token."""
    with pytest.raises(BadInput, match=r"token [12] is"):
        parse_tokens(text)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"decision": "pin", "by": "kim"}, "$.why"),
        ({"decision": "pin", "by": " ", "why": "asked"}, "$.by"),
        ({"decision": "give", "by": "kim", "why": "asked"}, "$.decision"),
        ({"decision": "pin", "by": "kim", "why": "asked", "tag_id": 1}, "$.tag_id"),
    ],
)
def test_a_decision_names_who_and_why(body: dict[str, Any], path: str) -> None:
    """A pin without an author cannot be questioned later."""
    answer = client().put("/api/v1/users/u1/tags/1", json=body)
    assert answer.status_code == 422
    assert path in [detail["path"] for detail in answer.json()["error"]["details"]]


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/api/v1/users/u1/tags?tag_id=0", "read"),
        ("GET", "/api/v1/overrides?limit=0", "read"),
        ("GET", "/api/v1/tasks?limit=0", "read"),
        ("POST", "/api/v1/rules/preview", "trigger"),
        ("POST", "/api/v1/tasks/_/cancel", "trigger"),
        ("PUT", "/api/v1/users/u1/tags/0", "admin"),
    ],
)
def test_the_role_that_each_route_needs(method: str, path: str, role: str) -> None:
    """Reading is not triggering, and neither of them decides for a user in place of the rules. Who may ask gets as far
    as the check of the request, which is wrong here."""
    gateway = client("read:read-token,trigger:trigger-token,admin:admin-token")
    roles = ["read", "trigger", "admin"]
    codes = [
        gateway.request(method, path, headers={"Authorization": f"Bearer {given}-token"}).status_code for given in roles
    ]
    assert codes == [403 if roles.index(given) < roles.index(role) else 422 for given in roles]


@pytest.mark.parametrize(
    ("user", "shown"),
    [("user_000123", "us***23"), ("abcd", "a***d"), ("abc", "***"), ("张三李四", "张***四")],
)
def test_masked_ids_do_not_name_the_user(user: str, shown: str) -> None:
    """Examples of a preview end up in tickets."""
    assert masked(user) == shown


def test_metrics_without_dagster_say_so() -> None:
    """A scrape that failed as a whole would hide the gateway's own answers, and the reason."""

    def closed(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("closed", request=request)

    gateway = TestClient(create_app(Settings(), DagsterClient("http://dagster", httpx.MockTransport(closed))))
    gateway.get("/nowhere")
    text = gateway.get("/metrics").text
    assert "tag_platform_dagster_up 0.0" in text
    assert 'tag_platform_api_seconds_count{method="GET",route="none",status="404"} 1.0' in text


def test_a_gateway_without_tokens_is_closed_behind_a_proxy() -> None:
    """A proxy on the same machine would open to the network what binds to loopback."""
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    answer = client().post(TRIGGER, json={"tag_ids": []}, headers=forwarded)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert "TAG_PLATFORM_API_TOKENS" in answer.json()["error"]["message"]
    with_tokens = client("t").post(TRIGGER, json={"tag_ids": []}, headers={**forwarded, "Authorization": "Bearer t"})
    assert with_tokens.status_code == 422
