"""Asks the running webserver whether it answers, and whether it could load the code."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from tag_platform.errors import TagPlatformError

LOCATIONS = """
query { workspaceOrError { ... on Workspace { locationEntries {
  name loadStatus locationOrLoadError { __typename ... on PythonError { message cause { message } } }
} } } }
"""


def not_ready(address: str) -> str | None:
    """None once the webserver at `http://host:port` answers, else what is missing."""
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=3) as response:  # noqa: S310  (our own address)
            return None if response.status == 200 else f"{address} answers with status {response.status}"
    except OSError:
        return f"{address} does not answer yet"


def require_loaded(address: str, patience: float = 180) -> None:
    """Waits for the code locations. Raises `TagPlatformError` with the reason where one could not be loaded."""
    deadline = time.monotonic() + patience
    while True:
        entries = _graphql(address, LOCATIONS)["workspaceOrError"].get("locationEntries", [])
        if entries and all(entry["loadStatus"] == "LOADED" for entry in entries):
            break
        if time.monotonic() > deadline:
            raise TagPlatformError(
                f"{address} has not loaded the code for {patience:.0f} s; see `tag-platform status`."
            )
        time.sleep(0.5)
    for entry in entries:
        loaded = entry["locationOrLoadError"] or {}
        if loaded.get("__typename") == "PythonError":
            reason = (loaded.get("cause") or loaded)["message"].strip()
            raise TagPlatformError(
                f"Everything runs, but the code location {entry['name']} could not be loaded: {reason}\n"
                f"Correct it, then reload it in the UI: {address}/deployment/locations"
            )


def _graphql(address: str, query: str) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  (our own address)
        f"{address}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  (our own address)
            answer: dict[str, Any] = json.load(response)["data"]
            return answer
    except (OSError, ValueError, KeyError) as error:
        raise TagPlatformError(f"{address}/graphql gives no answer: {error}") from error
