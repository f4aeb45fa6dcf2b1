"""The example of one address for everything, with a real nginx: who may see, who may act, and what a browser of a
stranger's page may not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tag_platform.settings import CHECKOUT
from tag_platform_tests.e2e.gateway_deployment import BIN, Deployment, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ACTS, LOOKS = ("kim", "acting"), ("lee", "looking")
LOCATIONS = "{ repositoriesOrError { __typename } }"
# A mutation that changes nothing: there is no such run.
MUTATION = 'mutation { terminateRun(runId: "00000000-0000-0000-0000-000000000000") { __typename } }'
MAIN = """
daemon off; pid nginx.pid; {user}
events {{}}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include tag_platform.conf;
}}
"""


@pytest.fixture(scope="module")
def proxy(deployed: Deployment) -> Iterator[str]:
    """The address of nginx, in front of both webservers and of a gateway with tokens."""
    program = shutil.which("nginx") or shutil.which("nginx", path=f"{CHECKOUT}/.nginx/usr/sbin:/usr/sbin")
    assert program, "nginx is not installed; `make test` installs what the tests need"
    folder = deployed.folder / "nginx"
    folder.mkdir()
    text = (CHECKOUT / "infra" / "nginx" / "tag_platform.conf").read_text()
    of = {"8080": "proxy", "3000": "ui", "3001": "looking", "5000": "api"}
    for port, name in of.items():
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{deployed.ports[name]}")
    (folder / "tag_platform.conf").write_text(text.replace("/etc/nginx/tag_platform.passwords", f"{folder}/passwords"))
    (folder / "nginx.conf").write_text(MAIN.format(user="user root;" if os.geteuid() == 0 else ""))
    (folder / "passwords").write_text("".join(f"{name}:{_hash(password)}\n" for name, password in (ACTS, LOOKS)))
    address = f"http://127.0.0.1:{deployed.ports['proxy']}"
    looking = ("--read-only", "-h", "127.0.0.1", "-p", str(deployed.ports["looking"]))
    with ExitStack() as stack:
        workspace = ("-w", str(deployed.folder / "workspace.yaml"))
        stack.enter_context(deployed.process("looking", str(BIN / "dagster-webserver"), *looking, *workspace))
        stack.enter_context(deployed.gateway(TAG_PLATFORM_API_TOKENS="read:reading,trigger:starting"))
        options = ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"))
        stack.enter_context(deployed.process("nginx", program, *options))
        until(lambda: httpx.get(f"{address}/health").status_code == 200, "nginx", deployed.folder / "nginx.log")
        page = f"{address}/server_info"
        until(lambda: httpx.get(page, auth=LOOKS).status_code == 200, "the webserver", deployed.folder / "looking.log")
        yield address


def _hash(password: str) -> str:
    asked = ("openssl", "passwd", "-apr1", password)
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def ask(proxy: str, document: str, who: tuple[str, str] | None, **headers: str) -> httpx.Response:
    return httpx.post(f"{proxy}/graphql", json={"query": document}, auth=who, headers=headers, timeout=60)


def test_nobody_sees_anything_without_a_password(proxy: str) -> None:
    """Open-source Dagster has no log-in of its own: what nginx lets through is open."""
    for who in (None, ("kim", "wrong"), ("nobody", "acting")):
        assert httpx.get(proxy, auth=who).status_code == 401
        assert ask(proxy, LOCATIONS, who).status_code == 401
        assert httpx.post(f"{proxy}/report_asset_materialization/x", auth=who).status_code == 401


def test_some_act_and_the_others_look(proxy: str) -> None:
    """The same page and the same queries for both; a mutation only for those who act."""
    for who in (ACTS, LOOKS):
        assert httpx.get(proxy, auth=who).text.startswith("<!DOCTYPE html>")
        answer = ask(proxy, LOCATIONS, who).json()
        assert answer["data"]["repositoriesOrError"]["__typename"] == "RepositoryConnection"
    answers = {name: ask(proxy, MUTATION, (name, word)).json()["data"]["terminateRun"] for name, word in (ACTS, LOOKS)}
    assert answers == {"kim": {"__typename": "RunNotFoundError"}, "lee": {"__typename": "UnauthorizedError"}}
    reported = httpx.post(f"{proxy}/report_asset_materialization/x", auth=LOOKS, json={})
    assert reported.status_code in (401, 403), reported.text


def test_the_gateway_asks_for_its_own_tokens(proxy: str) -> None:
    """Back ends use one address too, with the roles of their tokens."""
    for token, code in ((None, 401), ("wrong", 401), ("reading", 200)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert httpx.get(f"{proxy}/api/v1/tags/available", headers=headers).status_code == code
    starting = {"Authorization": "Bearer starting"}
    empty = httpx.post(f"{proxy}/api/v1/tags/trigger", json={"tag_ids": []}, headers=starting)
    assert (empty.status_code, empty.json()["error"]["code"]) == (422, "invalid_request")
    assert httpx.get(f"{proxy}/api/v1/tags/available", auth=ACTS).status_code == 401


def test_subscriptions_go_through(proxy: str, deployed: Deployment) -> None:
    """Without the upgrade the UI would show a run's log only after a reload."""
    address = f"ws://127.0.0.1:{deployed.ports['proxy']}/graphql"
    basic = {"Authorization": "Basic " + b64encode(":".join(LOOKS).encode()).decode()}
    speaks, own = [Subprotocol("graphql-ws")], Origin(proxy)
    with connect(address, subprotocols=speaks, additional_headers=basic, origin=own, proxy=None) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(socket.recv(timeout=30))["type"] == "connection_ack"


def test_a_strangers_page_reaches_nothing(proxy: str) -> None:
    """The browser adds the password to what any page asks; such requests carry the page's origin, or are a GET."""
    assert ask(proxy, LOCATIONS, ACTS, Origin="http://evil.example").status_code == 403
    assert ask(proxy, LOCATIONS, ACTS, Origin="null").status_code == 403
    assert ask(proxy, LOCATIONS, ACTS, Origin=proxy).status_code == 200
    assert httpx.get(f"{proxy}/graphql", params={"query": MUTATION}, auth=ACTS).status_code == 405
