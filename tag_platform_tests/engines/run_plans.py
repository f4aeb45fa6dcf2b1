"""Runs plan files with one session of the engine that the environment asks for; prints each report as a JSON line."""

import sys
from pathlib import Path

from tag_platform.compute.engine import session
from tag_platform.compute.run import read_plan, run
from tag_platform.mysql import Database
from tag_platform.settings import load_settings

if __name__ == "__main__":
    settings = load_settings()
    with session(settings) as spark:
        for name in sys.argv[1:]:
            report = run(read_plan(Path(name).read_bytes()), spark, Database.of(settings))
            print(report.model_dump_json(), flush=True)
