"""The evaluation stage by itself, in one warm session: 256 tags against 8, and the plan on Apache Spark against a plain
PySpark script with the same result (the snapshot of tags by shard, and the counts of the report), alternately.

Processes of their own, since PySpark leaves marks: `python -m infra.benchmarks.evaluation plan|tags|script FILE`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from infra.benchmarks.deployment import AS_OF, Bench, Servers
from infra.benchmarks.orchestration import add_tags
from infra.benchmarks.processes import measured
from infra.benchmarks.results import Result
from tag_platform.compute.plan import EvaluateTags
from tag_platform.errors import TagPlatformError
from tag_platform.settings import load_settings

MODULE = ("-m", "infra.benchmarks.evaluation")


def many_tags(servers: Servers, users: int, repeat: int, reach: float) -> Result:
    """The evaluation stage of 256 tags to that of 8, on the embedded engine."""
    bench = servers.platform("tags", users)
    add_tags(bench, 256)
    many, few = _pairs(bench, servers, "tags", repeat, bench.environment())
    what = f"8 → 256 tags, {users:,} users, evaluation stage"
    return Result(what, _median_ratio(many, few), "×", reach, "", tuple(many), tuple(few))


def against_a_script(servers: Servers, users: int, repeat: int, reach: float) -> Result:
    what = f"real Spark local[2], warm session, {users:,} users: evaluation plan to a plain PySpark script"
    if shutil.which("java") is None:
        return Result(what, float("nan"), "×", None, "not measured: no Java runtime here")
    root = servers.folder / "spark"
    bench = servers.platform(
        "spark", users, TAG_PLATFORM_WAREHOUSE=str(root / "warehouse"), TAG_PLATFORM_LAKE=str(root / "lake")
    )
    environment = {
        name: value for name, value in bench.environment().items() if not name.startswith(("SPARK_", "PYSPARK_"))
    }
    environment |= {"SPARK_MASTER_URL": "local[2]", "SPARK_LOCAL_IP": "127.0.0.1"}
    plan, script = _pairs(bench, servers, "script", repeat, environment)
    return Result(what, _median_ratio(plan, script), "×", reach, "", tuple(plan), tuple(script))


def _pairs(
    bench: Bench, servers: Servers, what: str, repeat: int, environment: dict[str, str]
) -> tuple[list[float], list[float]]:
    file = str(servers.folder / f"{what}.json")
    measured([*MODULE, "plan", file], bench.environment())
    took = measured([*MODULE, what, file, str(repeat)], environment)
    one, two = json.loads(took.output.splitlines()[-1])
    return one, two


def _median_ratio(ours: list[float], other: list[float]) -> float:
    return median(one / two for one, two in zip(ours, other, strict=True))


def main() -> None:
    what, file, *repeat = sys.argv[1:]
    if what == "plan":
        _make_plan(Path(file))
        return
    plan = EvaluateTags.model_validate_json(Path(file).read_text())
    compare = _tags if what == "tags" else _compare
    print(json.dumps(compare(plan, int(repeat[0]))))


class _PlanMade(Exception):
    """Ends the run where the plan is there: what comes after it is not asked for."""


def _make_plan(file: Path) -> None:
    """Copies the sources and keeps the plan of the tags that follows."""
    from tag_platform.compute.engine import session
    from tag_platform.compute.run import run
    from tag_platform.direct import run_direct
    from tag_platform.mysql import Database

    settings = load_settings()
    with session(settings) as spark:

        def keep(plan: Any) -> Any:
            if isinstance(plan, EvaluateTags):
                file.write_text(plan.model_dump_json())
                raise _PlanMade
            return run(plan, spark, Database.of(settings))

        with suppress(_PlanMade):
            run_direct(settings, keep, AS_OF)


def _tags(plan: EvaluateTags, repeat: int) -> tuple[list[float], list[float]]:
    from tag_platform.compute.engine import session
    from tag_platform.compute.evaluate_tags import evaluate_tags

    seconds: dict[int, list[float]] = {len(plan.tags): [], 8: []}
    with session(load_settings()) as spark:
        for n in range(-1, repeat):  # the first pair warms up and does not count
            for count, taken in seconds.items():
                part = plan.model_copy(update={"tags": plan.tags[:count], "output": f"{plan.output}-{count}-{n}"})
                report = evaluate_tags(part, spark)
                if n >= 0:
                    taken.append(sum(report.seconds.values()))
    many, few = seconds.values()
    return many, few


def _compare(plan: EvaluateTags, repeat: int) -> tuple[list[float], list[float]]:
    from tag_platform.compute.engine import session
    from tag_platform.compute.evaluate_tags import evaluate_tags

    ours: list[float] = []
    script: list[float] = []
    with session(load_settings()) as spark:
        for n in range(-1, repeat):  # the first pair warms up and does not count
            started = time.monotonic()
            report = evaluate_tags(plan.model_copy(update={"output": f"{plan.output}-plan{n}"}), spark)
            between = time.monotonic()
            hits = _script(plan, f"{plan.output}-script{n}", spark)
            ended = time.monotonic()
            counted = {tag_id: sum(by_shard.values()) for tag_id, by_shard in report.hits.items()}
            if counted != hits:
                raise TagPlatformError(f"Plan and script disagree on the users of each tag: {counted}, {hits}")
            if n >= 0:
                ours.append(between - started)
                script.append(ended - between)
    return ours, script


def _script(plan: EvaluateTags, output: str, spark: Any) -> dict[int, int]:
    """What somebody would write who needs these eight tags once, and their numbers."""
    from pyspark.sql import functions as F

    basic, assets, activity = (
        spark.read.parquet(*plan.sources[name].directories)
        for name in ("user_basic_info", "user_asset_summary", "user_activity_summary")
    )
    users = basic.join(assets, "user_id", "full").join(activity, "user_id", "full")
    day = F.lit(AS_OF)
    rules = [
        ~F.isnan("total_asset_value") & (F.col("total_asset_value") >= 100_000),
        F.col("trade_count_30d") > 10,
        F.trim("risk_score").cast("double") <= 30,
        F.col("registration_date").between(F.date_sub(day, 30), day),
        F.col("user_level").isin("VIP2", "VIP3") & (F.col("kyc_status") == "verified"),
        ~F.isnan("cash_balance") & (F.col("cash_balance") >= 50_000),
        F.col("age").between(18, 30),
        F.col("last_login_date").between(F.date_sub(day, 7), day),
    ]
    tag_ids = F.array_compact(F.array(*[F.when(rule, n) for n, rule in enumerate(rules, start=1)]))
    shard = F.lpad((F.crc32("user_id") % plan.shard_count).cast("string"), 3, "0")
    tagged = users.select("user_id", tag_ids.alias("tag_ids"), shard.alias("shard")).where(F.size("tag_ids") > 0)
    tagged.write.partitionBy("shard").parquet(output)
    written = spark.read.parquet(output)
    hits = written.select("shard", F.explode("tag_ids").alias("tag_id")).groupBy("shard", "tag_id").count().collect()
    written.groupBy("shard").count().collect()
    everybody = basic.select("user_id").union(assets.select("user_id")).union(activity.select("user_id")).distinct()
    everybody.groupBy(F.crc32("user_id") % plan.shard_count).count().collect()
    found: dict[int, int] = {}
    for row in hits:
        found[row["tag_id"]] = found.get(row["tag_id"], 0) + row["count"]
    return found


if __name__ == "__main__":
    main()
