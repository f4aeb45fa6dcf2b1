"""Who may do what: bearer tokens with roles, compared in constant time, and a rate limit for each of them.

`TAG_PLATFORM_API_TOKENS` is a comma-separated list of `role:token` (`read`, `trigger`, `admin`; a token without a role
is an admin's). Without tokens everybody who reaches the gateway may do everything, so it then binds to loopback alone,
and answers no request that a proxy passed on.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tag_platform.errors import BadInput
from tag_platform.gateway.errors import Refusal
from tag_platform.settings import Settings

ROLES = ("read", "trigger", "admin")  # each may do what those before it may


@dataclass(frozen=True)
class Token:
    digest: bytes
    role: str


def parse_tokens(text: str | None) -> list[Token]:
    """Reads `read:abc,trigger:def,plain`. Raises `BadInput` for an empty or doubled token; never repeats one."""
    if text is None:
        return []
    tokens: list[Token] = []
    for position, part in enumerate(text.split(","), start=1):
        role, colon, secret = part.strip().partition(":")
        if not colon or role not in ROLES:
            role, secret = "admin", part.strip()
        if not secret:
            raise BadInput(
                f"TAG_PLATFORM_API_TOKENS: token {position} is empty; write role:token, separated by commas."
            )
        digest = _digest(secret)
        if any(token.digest == digest for token in tokens):
            raise BadInput(f"TAG_PLATFORM_API_TOKENS: token {position} is there twice.")
        tokens.append(Token(digest, role))
    return tokens


def check_binding(settings: Settings) -> None:
    """Raises `BadInput` where the gateway would stand open to the network: no token, and not on loopback."""
    if settings.api_tokens is None and not _is_loopback(settings.api_host):
        raise BadInput(
            f"Without TAG_PLATFORM_API_TOKENS the gateway binds to loopback only, not to API_HOST={settings.api_host}."
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class RateLimit:
    """A bucket for each caller: `per_second` requests in the long run, `burst` at once. Kept in this process, so two
    gateways behind one address allow twice as many."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: dict[bytes, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, caller: bytes) -> float:
        """Takes one request from the caller's bucket; 0, or the seconds after which there is one again."""
        with self._lock:
            now = self._clock()
            left, then = self._buckets.get(caller, (float(self._burst), now))
            left = min(float(self._burst), left + (now - then) * self._per_second)
            allowed = left >= 1
            self._buckets[caller] = (left - 1 if allowed else left, now)
            return 0.0 if allowed else (1 - left) / self._per_second


_bearer = HTTPBearer(auto_error=False, description="A token of TAG_PLATFORM_API_TOKENS; not needed where none is set.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


class Gate:
    """Lets a request through or refuses it with 401, 403 or 429."""

    def __init__(self, tokens: list[Token], limit: RateLimit) -> None:
        self._tokens, self._limit = tokens, limit

    def check(self, secret: str | None, role: str, forwarded: bool = False) -> None:
        """Raises `Refusal`. `forwarded` is whether a proxy passed the request on: from whom, only it knows."""
        if forwarded and not self._tokens:
            raise Refusal(401, "unauthorized", "Behind a proxy the gateway needs tokens: set TAG_PLATFORM_API_TOKENS.")
        caller = self._caller(secret)
        wait = self._limit.wait(caller.digest)
        if wait:
            seconds = str(int(wait) + 1)
            raise Refusal(
                429, "too_many_requests", f"Too many requests; again in {seconds} s.", None, {"Retry-After": seconds}
            )
        if ROLES.index(caller.role) < ROLES.index(role):
            raise Refusal(403, "forbidden", f"This needs a token of the role {role}; the given one has {caller.role}.")

    def _caller(self, secret: str | None) -> Token:
        if not self._tokens:
            return Token(b"", "admin")
        digest = _digest(secret or "")
        # Every token is compared, so that the time tells nothing of which one was near.
        found = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        if not found:
            raise Refusal(
                401,
                "unauthorized",
                "A valid token is needed: `Authorization: Bearer …`.",
                None,
                {"WWW-Authenticate": "Bearer"},
            )
        return found[0]


def needs(role: str) -> Callable[..., None]:
    """A dependency of a route: the caller's token must have this role or a higher one."""

    def check(request: Request, credentials: Credentials) -> None:
        gate: Gate = request.app.state.gate
        forwarded = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "via"))
        gate.check(credentials.credentials if credentials else None, role, forwarded)

    return check
