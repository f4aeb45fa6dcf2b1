"""Puts the gateway together: routes, security, the limit on bodies, metrics."""

from __future__ import annotations

from threading import Semaphore

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pymysql.err import Error as DatabaseError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tag_platform import __version__
from tag_platform.gateway import errors, metrics, routes, rule_routes, user_routes
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.gateway.security import Gate, RateLimit, parse_tokens
from tag_platform.settings import Settings

# 10,000 user ids of 100 characters, each up to 4 bytes long, with quotes and commas.
MAX_BODY = 5 * 1024 * 1024
PER_SECOND, BURST = 50.0, 400


def create_app(settings: Settings, dagster: DagsterClient | None = None, limit: RateLimit | None = None) -> FastAPI:
    """The gateway for these settings; `dagster` and `limit` replace their own. Raises `BadInput` for bad tokens."""
    tokens = parse_tokens(settings.api_tokens.get_secret_value() if settings.api_tokens else None)
    app = FastAPI(
        title="tag_platform",
        version=__version__,
        summary="Trigger tag computations and follow them.",
        generate_unique_id_function=lambda route: route.name,  # a generated client's functions have these names
    )
    app.state.settings = settings
    app.state.dagster = dagster or DagsterClient(f"http://{settings.ui_host}:{settings.ui_port}")
    app.state.gate = Gate(tokens, limit or RateLimit(PER_SECOND, BURST))
    app.state.preview_slot = Semaphore(1)
    errors.install(app)

    @app.exception_handler(DatabaseError)
    def database_failed(_: Request, error: DatabaseError) -> JSONResponse:
        code = error.args[0] if error.args else 0
        body = errors.error_body("unavailable", f"The database could not answer (error {code}).")
        return JSONResponse(body, 503, {"Retry-After": "2"})

    metrics.install(app, app.state.dagster)
    for router in (routes.router, user_routes.router, rule_routes.router, routes.health_router):
        app.include_router(router)
    app.add_middleware(BodyLimit)
    return app


class BodyLimit:
    """Refuses a body over `MAX_BODY` with 413, before it is read as JSON and whatever length it was said to have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY:
                text = f"The body is larger than {MAX_BODY:,} bytes."
                await JSONResponse(errors.error_body("body_too_large", text), 413)(scope, receive, send)
                return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)
