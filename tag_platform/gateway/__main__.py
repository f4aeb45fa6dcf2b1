"""`python -m tag_platform.gateway`: serves the REST gateway on API_HOST and API_PORT until it is ended."""

from __future__ import annotations

import logging
import sys

import uvicorn

from tag_platform.errors import TagPlatformError
from tag_platform.gateway.app import create_app
from tag_platform.gateway.security import check_binding
from tag_platform.logs import configure_logging
from tag_platform.settings import load_settings

log = logging.getLogger("tag_platform.gateway")


def main() -> None:
    configure_logging("INFO", "text")
    try:
        settings = load_settings()
        check_binding(settings)
        app = create_app(settings)
    except TagPlatformError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if settings.api_tokens is None:
        log.warning("TAG_PLATFORM_API_TOKENS is not set: no token is asked for, and only loopback is served.")
    # No access log: its lines hold paths, and paths hold user ids. /metrics counts and times the requests.
    uvicorn.run(app, host=settings.api_host, port=settings.api_port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
