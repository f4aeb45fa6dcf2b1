"""How long a fresh interpreter takes to load the code location, without a database.

Run as a module, it prints the medians of some processes (wall and processor time) and the modules that take longest, as
JSON. What it costs is paid by each run once, and by each reload of the code server.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 5
LOAD = "import tag_platform; tag_platform.definitions"
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


def load(*options: str) -> tuple[float, float, str]:
    """Wall time and processor time of one process, and what it wrote to stderr. Nothing answers at the port that it is
    given."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TAG_PLATFORM_HOME": home, "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": "9"}
        started, used = time.monotonic(), os.times()
        done = subprocess.run(  # noqa: S603 (this interpreter)
            [sys.executable, *options, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
        )
        now = os.times()
        processor = now.children_user - used.children_user + now.children_system - used.children_system
        return time.monotonic() - started, processor, done.stderr


def main() -> None:
    load()  # byte code is compiled once
    runs = [load()[:2] for _ in range(RUNS)]
    lines = _LINE.findall(load("-X", "importtime")[2])
    own = sorted(((int(alone), name) for alone, _, _, name in lines), reverse=True)[:10]
    found = {
        "median_seconds": round(statistics.median(wall for wall, _ in runs), 2),
        "median_processor_seconds": round(statistics.median(processor for _, processor in runs), 2),
        "runs": [round(wall, 2) for wall, _ in runs],
        "slowest_modules_ms": {name: microseconds // 1000 for microseconds, name in own},
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
