"""The one shape in which the gateway refuses: `{"success": false, "error": {"code", "message", "details"}}`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tag_platform.errors import TagPlatformError


class Refusal(Exception):
    """An answer other than success: `code` for programs, `message` for people, `details` for what is wrong where."""

    def __init__(
        self, status: int, code: str, message: str, details: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details, self.headers = status, code, message, details, headers


def unavailable(message: str) -> Refusal:
    """503: something behind the gateway does not answer; the same request may succeed in a moment."""
    return Refusal(503, "unavailable", message, headers={"Retry-After": "2"})


def error_body(code: str, message: str, details: Any = None) -> dict[str, Any]:
    return {"success": False, "error": {"code": code, "message": message, "details": details}}


def install(app: FastAPI) -> None:
    """Makes every error of the app, the framework's own included, take the one shape."""

    @app.exception_handler(Refusal)
    def refused(_: Request, error: Refusal) -> JSONResponse:
        return JSONResponse(error_body(error.code, error.message, error.details), error.status, error.headers)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # The value itself is left out: it may hold user ids, and answers end up in logs.
        details = [{"path": _path(e["loc"]), "message": e["msg"]} for e in error.errors()]
        if any(e["type"] == "json_invalid" for e in error.errors()):
            return JSONResponse(error_body("bad_json", "The body is no JSON.", details), 400)
        return JSONResponse(error_body("invalid_request", "The request cannot be used as it is.", details), 422)

    @app.exception_handler(HTTPException)
    def framework(_: Request, error: HTTPException) -> JSONResponse:
        codes = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "error")
        return JSONResponse(error_body(code, str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(TagPlatformError)
    def failed(_: Request, error: TagPlatformError) -> JSONResponse:
        return JSONResponse(error_body("unavailable", str(error)), 503, {"Retry-After": "2"})


def _path(location: tuple[Any, ...] | list[Any]) -> str:
    """Pydantic's location as a JSON path into the body, or the name of the parameter."""
    where, *rest = location
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return f"${path}" if where == "body" else f"{where}{path}"
