"""How long a fresh interpreter takes to load the code location, without a database. Run as a module, it
prints the median of some processes and the modules that take longest, as JSON. What it costs is paid by each run once,
and by each reload of the code server.
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


def seconds(*options: str) -> tuple[float, str]:
    """Wall time of one process, and what it wrote to stderr. Nothing answers at the port that it is given."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TAG_PLATFORM_HOME": home, "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": "9"}
        started = time.monotonic()
        done = subprocess.run(  # noqa: S603 (this interpreter)
            [sys.executable, *options, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
        )
        return time.monotonic() - started, done.stderr


def main() -> None:
    seconds()  # byte code is compiled once
    times = [seconds()[0] for _ in range(RUNS)]
    lines = _LINE.findall(seconds("-X", "importtime")[1])
    own = sorted(((int(alone), name) for alone, _, _, name in lines), reverse=True)[:10]
    found = {
        "median_seconds": round(statistics.median(times), 2),
        "runs": [round(value, 2) for value in times],
        "slowest_modules_ms": {name: microseconds // 1000 for microseconds, name in own},
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
