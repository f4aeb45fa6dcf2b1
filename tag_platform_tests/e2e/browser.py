"""Chromium without a window, driven by its DevTools protocol: opens pages, waits for their text, takes pictures."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

# No sandbox: Chromium has none for root, and it opens our own pages alone. The rest keeps it from calling anywhere.
OPTIONS: tuple[str, ...] = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
)
OPTIONS += ("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0")
WIDTH, HEIGHT = 1600, 1000


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._calls = 0
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def open(self, address: str, *expected: str, seconds: float = 90) -> str:
        """Opens the address and waits until its text has everything that is expected; returns the text."""
        self._call("Page.navigate", url=address)
        end = time.monotonic() + seconds
        while True:
            text = self.text()
            missing = [part for part in expected if part not in text]
            if not missing:
                return text
            if time.monotonic() > end:
                raise AssertionError(f"{address} does not show {missing}, but:\n{text[:3000]}")
            time.sleep(0.3)

    def text(self) -> str:
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def evaluate(self, expression: str) -> Any:
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, path: Path) -> None:
        """Writes what the page shows as a PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._calls += 1
        self._connection.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == self._calls:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with a profile of its own below `folder`, ended at exit."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "no Chromium; `make packages-test` installs it"
    profile = folder / "profile"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen([program, *OPTIONS, f"--user-data-dir={profile}"], stdout=log, stderr=log)
    try:
        port = _port(profile / "DevToolsActivePort", process, folder / "chromium.log")
        new = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(new, timeout=60) as response:  # noqa: S310 (our own loopback address)
            address = json.load(response)["webSocketDebuggerUrl"]
        with connect(address, max_size=None, open_timeout=60) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(file: Path, process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + 90
    while not (file.exists() and file.read_text().splitlines()):
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < end, "Chromium does not start"
        time.sleep(0.2)
    return int(file.read_text().splitlines()[0])
