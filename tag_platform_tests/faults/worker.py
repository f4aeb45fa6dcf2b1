"""A process that runs the platform's main path with a warm engine: one order a line on stdin (`{"tags", "lake"}`), one
line for each stage and for the end of the run on stdout. It is what gets killed."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tag_platform.compute import upsert
from tag_platform.compute.engine import session
from tag_platform.compute.plan import AnyPlan
from tag_platform.compute.report import Report
from tag_platform.compute.run import run
from tag_platform.direct import run_direct
from tag_platform.logs import configure_logging
from tag_platform.mysql import Database
from tag_platform.settings import load_settings
from tag_platform.stages import listening
from tag_platform_tests.platform import TODAY


def main() -> None:
    configure_logging("INFO", "text")
    upsert.BATCH = 25  # many transactions, as a large table has
    settings = load_settings()
    database = Database.of(settings)
    with session(settings) as spark, listening(lambda s: say(event="stage", name=s.name, ended=s.seconds is not None)):
        spark.range(1).collect()

        def plan(plan: AnyPlan) -> Report:
            return run(plan, spark, database)

        say(event="ready")
        for line in sys.stdin:
            order = json.loads(line)
            own = settings.model_copy(update={"lake_given": order["lake"]}) if order["lake"] else settings
            try:
                outcome = run_direct(own, plan, TODAY, order["tags"])
                say(event="done", run_id=outcome.run_id, merge=json.loads(outcome.merge.model_dump_json()))
            except Exception as error:  # noqa: BLE001 (told to the suite)
                say(event="failed", error=f"{type(error).__name__}: {str(error)[:2000]}")


def say(**event: Any) -> None:
    # In one write, so that a kill leaves no half of a line.
    os.write(OUT, (json.dumps(event) + "\n").encode())


if __name__ == "__main__":
    OUT = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints goes to the log
    main()
