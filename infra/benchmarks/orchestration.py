"""What a run costs where there is next to nothing to compute."""

from __future__ import annotations

import json
from statistics import median

from infra.benchmarks.deployment import Bench, Servers
from infra.benchmarks.processes import measured
from infra.benchmarks.results import Result
from infra.benchmarks.runs import SCRIPT, run
from tag_platform.mysql import Database, transaction

FEW = 20  # users; a source without any row is refused
# Thresholds over every column that rules may use, so that a tag has about as many users as one of the first eight; with
# a running number, any number of different rules.
FIELDS = (
    ("total_asset_value", ">=", 60_000, 4_000),
    ("cash_balance", ">=", 20_000, 2_000),
    ("trade_count_30d", ">", 2, 1),
    ("risk_score", "<=", 5, 1),
    ("age", ">=", 30, 1),
    ("registration_date", "recent_days", 5, 3),
    ("last_login_date", "days_ago", 30, 2),
)


def empty_run(servers: Servers, tags: int, shards: int, repeat: int, reach: float) -> Result:
    """Seconds of the whole process beyond the start of an interpreter, tables and snapshots being there already."""
    bench = servers.platform(f"empty_{tags}_{shards}", FEW, TAG_PLATFORM_SHARDS=str(shards))
    add_tags(bench, tags)
    run(bench)
    start = median(measured(["-c", "pass"], bench.environment()).seconds for _ in range(repeat))
    ours = [run(bench).seconds - start for _ in range(repeat)]
    what = f"orchestration: a run of {tags} tags × {shards} shards over {FEW} users, beyond interpreter start"
    return Result(what, median(ours), "s", reach, "", tuple(ours))


def import_seconds(bench: Bench, repeat: int, reach: float) -> Result:
    command = ["-c", "import tag_platform.defs.definitions"]
    ours = [measured(command, bench.environment()).seconds for _ in range(repeat)]
    return Result("import of the definitions, whole process", median(ours), "s", reach, "", tuple(ours))


def latency(servers: Servers, users: int, triggers: int, reach: float) -> Result:
    """From a request to the gateway to the changed row, for one user, while the deployment does nothing else."""
    bench = servers.platform("latency", users)
    run(bench)
    measured([SCRIPT, "up"], bench.environment())
    try:
        took = measured(["-m", "infra.benchmarks.latency", "--json", "--triggers", str(triggers)], bench.environment())
    finally:
        servers.restart()
    rows = json.loads(took.output)["row"]
    what = "trigger → rows updated, one user, idle deployment"
    return Result(what, median(rows), "s", reach, f"{triggers} requests", tuple(rows))


def add_tags(bench: Bench, count: int) -> None:
    """Definitions and rules of the tags 9 … `count`, each a threshold of its own."""
    with transaction(Database.of(bench.settings)) as cursor:
        for tag_id in range(9, count + 1):
            field, operator, low, step = FIELDS[tag_id % len(FIELDS)]
            value = low + step * (tag_id // len(FIELDS))
            kind = "date" if field.endswith("_date") else "number"
            rule = {"field": field, "operator": operator, "value": value, "type": kind}
            cursor.execute(
                "INSERT INTO tag_definition (tag_id, tag_name, tag_category) VALUES (%s, %s, 'benchmark')",
                (tag_id, f"{field} {operator} {value}"),
            )
            cursor.execute(
                "INSERT INTO tag_rules (tag_id, rule_conditions) VALUES (%s, %s)",
                (tag_id, json.dumps({"logic": "AND", "conditions": [rule]})),
            )
