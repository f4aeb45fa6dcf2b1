"""Ports of the local services: is one free, who holds it, and free ones for an instance beside the developer's own."""

from __future__ import annotations

import random
import socket
import time
from dataclasses import dataclass

import psutil

from tag_platform.errors import BadInput, TagPlatformError

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that none is lost to one.
FREE_RANGE = range(20000, 32000)


@dataclass(frozen=True)
class ServicePort:
    """A port that a program listens on, and the environment variable by which a person moves it."""

    number: int
    variable: str
    purpose: str


def answers(port: int, host: str = LOOPBACK, timeout: float = 1.0) -> bool:
    """True where something accepts TCP connections."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """True where a server could listen now. Closed connections that still time out do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def require_free(port: ServicePort, wait: float = 0.0) -> None:
    """Raises `BadInput` that names the port, its purpose, its holder and the variable that moves it. Waits up to `wait`
    seconds for a program that is just ending."""
    if port.number < 1024 and not is_free(port.number) and not answers(port.number):
        raise BadInput(f"Port {port.number} ({port.purpose}) cannot be used by this user; set {port.variable}.")
    deadline = time.monotonic() + wait
    while not is_free(port.number):
        if time.monotonic() >= deadline:
            raise BadInput(
                f"Port {port.number} on {LOOPBACK}, wanted for {port.purpose}, is taken{_holder(port.number)}. "
                f"Stop what holds it, or set {port.variable} to a free port."
            )
        time.sleep(0.1)


def _holder(port: int) -> str:
    """Words on who listens, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.Error, OSError):
        pass
    return ""


def free_block(size: int) -> int:
    """First of `size` ports in a row that are free now, chosen at random so that parallel test runs rarely meet."""
    for _ in range(200):
        first = random.randrange(FREE_RANGE.start, FREE_RANGE.stop - size)  # noqa: S311
        if all(is_free(port) for port in range(first, first + size)):
            return first
    raise TagPlatformError(f"No {size} free ports in a row between {FREE_RANGE.start} and {FREE_RANGE.stop}.")
