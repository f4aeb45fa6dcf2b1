"""The benchmark works, at a size that takes seconds. What it measures here says nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def test_platform_and_floor_write_the_same_rows(tmp_path: Path) -> None:
    """`make bench` starts servers of its own, refuses to compare unless platform and floor have written the same rows,
    and leaves no file behind."""
    options = ["--users", "2000", "--repeat", "1", "--no-cold", "--only", "first-load,rerun", "--storage", "files"]
    with tempfile.TemporaryDirectory() as temporary:  # a short path: sockets are to lie in it
        done = subprocess.run(
            [sys.executable, "-m", "infra.benchmarks", *options, "--json", str(tmp_path / "measured.json")],
            env={**os.environ, "TMPDIR": temporary},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        left = list(Path(temporary).iterdir())
    assert done.returncode == 0, done.stderr[-3000:]
    load, rerun = json.loads((tmp_path / "measured.json").read_text())["results"]
    assert load["unit"] == rerun["unit"] == "×"
    for result in (load, rerun):
        assert result["value"] == pytest.approx(result["ours"][0] / result["other"][0])
        assert {"evaluate", "compare", "write"} <= set(result["stages"])
        assert result["memory"] > 0
        assert result["what"] in done.stdout
    assert left == []
