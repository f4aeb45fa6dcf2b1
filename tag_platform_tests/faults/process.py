"""The processes that rounds start and break: a warm worker, with a spare one getting ready, and the command line."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from tag_platform_tests.platform import TODAY

PATIENCE = 240  # seconds for one run, on a busy machine and with every retry


class Run:
    """A run under way in another process: what it says of itself, and how it ends."""

    def __init__(self, process: subprocess.Popen[bytes], events: queue.Queue[dict[str, Any]]) -> None:
        self.process, self._events = process, events
        self.stages: list[str] = []
        self.end: dict[str, Any] | None = None

    def pump(self, wait: float = 0.0) -> None:
        """Takes in what the run has said, waiting up to `wait` seconds for something new."""
        try:
            event = self._events.get(timeout=wait) if wait else self._events.get_nowait()
        except queue.Empty:
            if self.process.poll() is not None and self._events.empty():
                self.end = self.end or {"event": "dead"}
            return
        if event["event"] == "stage" and not event["ended"]:
            self.stages.append(event["name"])
        elif event["event"] in ("done", "failed", "dead"):
            self.end = event
        self.pump()

    def outcome(self) -> dict[str, Any]:
        """Waits for the end: `done` with its report, `failed` with its reason, or `dead`."""
        deadline = time.monotonic() + PATIENCE
        while self.end is None:
            self.pump(0.05)
            if time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError("the run hangs")
        return self.end

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Workers:
    """One worker that runs, and one that gets ready to take its place."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._current = self._launch()
        self._spare: tuple[subprocess.Popen[bytes], queue.Queue[dict[str, Any]]] | None = None

    def start(self, tag_ids: list[int] | None, lake: str | None = None) -> Run:
        process, events = self._ready()
        assert process.stdin is not None
        process.stdin.write((json.dumps({"tags": tag_ids, "lake": lake}) + "\n").encode())
        process.stdin.flush()
        return Run(process, events)

    def prepare_spare(self) -> None:
        if self._spare is None:
            self._spare = self._launch()

    def _ready(self) -> tuple[subprocess.Popen[bytes], queue.Queue[dict[str, Any]]]:
        if self._current[0].poll() is not None:
            self._current, self._spare = self._spare or self._launch(), None
        process, events = self._current
        while not events.empty():  # left over from a run that was given up
            if events.get()["event"] == "ready":
                process.__dict__["warm"] = True
        if not process.__dict__.get("warm"):
            event = events.get(timeout=PATIENCE)
            if event["event"] != "ready":
                raise RuntimeError(f"the worker does not start; see {self._log}")
            process.__dict__["warm"] = True
        return process, events

    def _launch(self) -> tuple[subprocess.Popen[bytes], queue.Queue[dict[str, Any]]]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tag_platform_tests.faults.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert process.stdout is not None
        return process, _reading(process.stdout)

    def stop(self) -> None:
        for process, _ in filter(None, (self._current, self._spare)):
            process.kill()
            process.wait()


def command(tag_ids: list[int] | None, log: Path, *options: str) -> Run:
    """`tag-platform run`, a whole Dagster run, in a process of its own."""
    tags = [] if tag_ids is None else ["--tags", ",".join(map(str, tag_ids))]
    program = str(Path(sys.executable).parent / "tag-platform")
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [program, "run", "--as-of", TODAY.isoformat(), "--json", *tags, *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(os.environ),
        )
    events: queue.Queue[dict[str, Any]] = queue.Queue()

    def wait() -> None:
        text, _ = process.communicate()
        if process.returncode == 0:
            events.put({"event": "done", "run_id": json.loads(text)["run_id"], "merge": None})
        else:
            events.put({"event": "dead" if process.returncode < 0 else "failed", "error": f"exit {process.returncode}"})

    threading.Thread(target=wait, daemon=True).start()
    return Run(process, events)


def _reading(stream: IO[bytes]) -> queue.Queue[dict[str, Any]]:
    events: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in stream:
            events.put(json.loads(line))

    threading.Thread(target=read, daemon=True).start()
    return events
