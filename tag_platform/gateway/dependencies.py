"""What routes have in common: the settings, the client of Dagster, and the refusals that any of them may give."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from tag_platform.gateway import bodies
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.settings import Settings

ANSWERS: dict[int | str, dict[str, Any]] = {
    code: {"model": bodies.Failure, "description": words}
    for code, words in {
        400: "The body is no JSON",
        401: "No valid token",
        403: "The token's role does not suffice",
        404: "There is no such thing",
        409: "It contradicts what happened before",
        413: "The body is too large",
        422: "Something in the request is wrong; `details` says what and where",
        429: "Too many requests",
        503: "Something behind the gateway does not answer",
    }.items()
}


def _dagster(request: Request) -> DagsterClient:
    client: DagsterClient = request.app.state.dagster
    return client


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _raw_body(request: Request) -> bytes:
    return await request.body()


Dagster = Annotated[DagsterClient, Depends(_dagster)]
Configured = Annotated[Settings, Depends(_settings)]
RawBody = Annotated[bytes, Depends(_raw_body)]  # the body as it was sent, beside its parsed form
