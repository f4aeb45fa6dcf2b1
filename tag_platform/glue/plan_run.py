"""Runs one plan that the control plane left in S3, and leaves its report (or the reason of a failure) beside it.

Stages are told live through Dagster Pipes where Dagster started the job. What decides is the file: Pipes messages may
be cut off, and a job run whose start was sent twice writes a report and an output of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tag_platform.compute.plan import CheckTable
from tag_platform.compute.run import read_plan, run
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database
from tag_platform.settings import Settings
from tag_platform.stages import Stage, listening

if TYPE_CHECKING:
    from dagster_pipes import PipesContext


def report_key(plan_key: str, job_run_id: str) -> str:
    """The key of the report that a job run writes for the plan at `plan_key`."""
    return f"{plan_key.removesuffix('.json')}-{job_run_id}.json"


def run_sent_plan(uri: str, job_run_id: str, settings: Settings) -> dict[str, Any]:
    """Runs the plan at `uri` (`s3://bucket/key`). Its output gets the job run's id, so that two job runs of one plan
    never write into one directory. Raises what the plan raises, after having written it down."""
    import boto3

    s3 = boto3.client("s3")
    place = urlsplit(uri)
    bucket, key = place.netloc, place.path.lstrip("/")
    plan = read_plan(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    if not isinstance(plan, CheckTable):  # which writes nothing
        plan = plan.model_copy(update={"output": f"{plan.output}-{job_run_id.removeprefix('jr_')[:12]}"})
    answer: dict[str, Any] = {}
    try:
        with _pipes(s3) as pipes, listening(lambda stage: _tell(pipes, stage)):
            if pipes is not None:
                pipes.log.info(f"Glue job run {job_run_id} has the plan; its engine starts")
            from tag_platform.compute.engine import session

            with session(settings) as spark:
                answer = {"report": run(plan, spark, Database.of(settings)).model_dump(mode="json")}
    except Exception as error:
        known = isinstance(error, TagPlatformError)
        answer = {"error": {"type": type(error).__name__, "message": str(error), "known": known}}
        raise
    finally:
        if answer:  # not where the process is being ended from outside
            body = json.dumps(answer, ensure_ascii=False).encode()
            s3.put_object(Bucket=bucket, Key=report_key(key, job_run_id), Body=body)
    return {"plan": uri, "report": report_key(key, job_run_id)}


@contextmanager
def _pipes(s3: Any) -> Iterator[PipesContext | None]:
    """The Pipes session with the Dagster run that started this job; None where nobody did."""
    from dagster_pipes import PipesCliArgsParamsLoader, PipesS3ContextLoader, PipesS3MessageWriter, open_dagster_pipes

    if not any(argument.startswith("--dagster-pipes-context") for argument in sys.argv):
        yield None
        return
    with open_dagster_pipes(
        context_loader=PipesS3ContextLoader(client=s3),
        message_writer=PipesS3MessageWriter(client=s3, interval=3),
        params_loader=PipesCliArgsParamsLoader(),  # type: ignore[no-untyped-call]
    ) as pipes:
        yield pipes


def _tell(pipes: PipesContext | None, stage: Stage) -> None:
    if pipes is None:
        return
    if stage.seconds is None:
        pipes.log.info(f"{stage.name}: started, {stage.shards} shards")
    else:
        rows = "" if stage.rows is None else f"{stage.rows:,} rows, "
        pipes.log.info(f"{stage.name}: {rows}{stage.seconds:.1f} s{f' ({stage.note})' if stage.note else ''}")
