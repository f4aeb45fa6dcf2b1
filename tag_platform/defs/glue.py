"""Runs plans as AWS Glue job runs, through Dagster Pipes: chosen by TAG_SYSTEM_ENV=glue-dev or glue-prod.

The plan goes to S3, the job writes its report beside it, and log lines come live through Pipes. What decides is the
report: a job run without one has died, whatever Pipes has heard. Two runs of one plan never share an output, so a start
that was sent twice, or an attempt that lives on, harms nothing; a merge that another overtook is planned anew.
"""

from __future__ import annotations

import json
import random
import string
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dagster_aws.pipes import PipesGlueClient, PipesS3ContextInjector, PipesS3MessageReader
from pydantic import TypeAdapter

from tag_platform.compute.plan import AnyPlan
from tag_platform.compute.report import Report
from tag_platform.defs.resources import Context, StepLauncher
from tag_platform.errors import TagPlatformError
from tag_platform.glue.plan_run import report_key
from tag_platform.settings import Settings, load_settings

PREFIX = "tag_platform/runs"  # below the environment's bucket: plans, reports, Pipes messages
ENDED = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"}
BUSY = {"ConcurrentRunsExceededException", "ResourceNumberLimitExceededException", "ThrottlingException"}
DIED = {
    "FAILED",
    "ERROR",
    "EXPIRED",
    "SUCCEEDED",
}  # what was stopped or took too long is not repeated
STOP_SECONDS = 60
_REPORT: TypeAdapter[Report] = TypeAdapter(Report)


class GlueJobFailed(TagPlatformError):
    """A Glue job run ended without a report, took too long, or could not be started."""


class GlueStepLauncher(StepLauncher):
    """Each plan is one run of the environment's Glue job, which `python -m infra.aws deploy` has made."""

    def launch(self, context: Context, plan: AnyPlan) -> Report:
        """Runs the plan and returns its report, with the job run's id, console link, DPU seconds and cost in
        `launched`. Raises what the plan raised, by the same name, and `GlueJobFailed`."""
        settings = load_settings()
        s3 = boto3.client("s3", config=_RETRIES)
        key = f"{PREFIX}/{context.run.run_id}/{plan.kind}-{uuid.uuid4().hex[:8]}.json"
        s3.put_object(Bucket=settings.bucket, Key=key, Body=plan.model_dump_json().encode())
        for attempt in range(1, settings.glue_attempts + 1):
            runs = _JobRuns(s3, settings)
            try:
                _start_and_wait(runs, context, plan, f"s3://{settings.bucket}/{key}", settings)
                reason = "ended without a report"
            except RuntimeError as error:  # the word of PipesGlueClient for any end but SUCCEEDED
                reason = str(error).strip()
            answer = _answer(s3, settings.bucket, report_key(key, runs.job_run_id))
            if answer is not None and "report" in answer:
                if runs.state != "SUCCEEDED":
                    context.log.warning(f"The plan is done, though its Glue job run ended as {runs.state}.")
                report = _REPORT.validate_python(answer["report"])
                return report.model_copy(update={"launched": runs.facts()})
            if answer is not None:
                raise _as_raised(answer["error"], runs.job_run_id)
            if runs.state not in DIED or attempt == settings.glue_attempts:
                raise GlueJobFailed(f"{reason} ({runs.console_url})")
            context.log.warning(f"{reason}; trying again ({attempt} of {settings.glue_attempts})")
        raise AssertionError("unreachable")


_RETRIES = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=60)


class _Messages(PipesS3MessageReader):
    """The same reader below our prefix, so that the job's rights can end there."""

    @contextmanager
    def get_params(self) -> Iterator[dict[str, Any]]:
        name = "".join(random.choices(string.ascii_letters, k=30))  # noqa: S311 (a name, no secret)
        yield {"bucket": self.bucket, "key_prefix": f"{PREFIX}/pipes/{name}", "include_stdio_in_messages": False}


class _JobRuns(PipesGlueClient):
    """PipesGlueClient that knows when to stop waiting: it takes EXPIRED for an end, has its own deadline, and stops
    the job run whenever it leaves early, whatever the reason (cancelled, interrupted, AWS does not answer)."""

    def __init__(self, s3: Any, settings: Settings) -> None:
        super().__init__(
            context_injector=PipesS3ContextInjector(bucket=settings.bucket, client=s3, key_prefix=f"{PREFIX}/pipes/"),
            message_reader=_Messages(bucket=settings.bucket, client=s3, interval=settings.glue_poll_seconds),
            client=boto3.client("glue", config=_RETRIES),
            forward_termination=False,  # done below, for every kind of leaving
        )
        self.settings = settings
        self.job_run_id = ""
        self.job_run: dict[str, Any] = {}

    @property
    def state(self) -> str:
        return str(self.job_run.get("JobRunState", "UNKNOWN"))

    @property
    def console_url(self) -> str:
        region = self._client.meta.region_name
        place = f"#/job/{self.settings.glue_job}/run/{self.job_run_id}"
        return f"https://{region}.console.aws.amazon.com/gluestudio/home?region={region}{place}"

    def facts(self) -> dict[str, str | float]:
        """What is recorded of the job run. DPU seconds are measured by Glue where workers scale by themselves, and are
        time × capacity otherwise."""
        run = self.job_run
        dpu_seconds = float(run.get("DPUSeconds") or run.get("ExecutionTime", 0) * float(run.get("MaxCapacity") or 0))
        return {
            "glue_job": self.settings.glue_job,
            "glue_job_run": self.job_run_id,
            "glue_console": self.console_url,
            "glue_seconds": float(run.get("ExecutionTime", 0)),
            "glue_dpu_seconds": round(dpu_seconds, 1),
            "glue_cost_usd": round(dpu_seconds / 3600 * self.settings.glue_dpu_hour_usd, 4),
        }

    def _wait_for_job_run_completion(self, job_name: str, run_id: str) -> Any:
        self.job_run_id = run_id
        deadline = time.monotonic() + 60 * self.settings.glue_timeout_minutes
        try:
            while True:
                response: Any = self._client.get_job_run(JobName=job_name, RunId=run_id)
                self.job_run = response["JobRun"]
                if self.state in ENDED:
                    return response
                if time.monotonic() > deadline:
                    limit = f"{self.settings.glue_timeout_minutes:g} minutes (TAG_PLATFORM_GLUE_TIMEOUT_MINUTES)"
                    raise GlueJobFailed(
                        f"Glue job {job_name} run {run_id} is {self.state} after {limit}; it was stopped. "
                        f"{self.console_url}"
                    )
                time.sleep(self.settings.glue_poll_seconds)
        except BaseException:
            self._stop(job_name, run_id)
            raise

    def _stop(self, job_name: str, run_id: str) -> None:
        """Asks Glue to stop the job run, and waits until it has, so that nothing is written behind our back."""
        self._client.batch_stop_job_run(JobName=job_name, JobRunIds=[run_id])
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            response: Any = self._client.get_job_run(JobName=job_name, RunId=run_id)
            if response["JobRun"]["JobRunState"] in ENDED:
                return
            time.sleep(self.settings.glue_poll_seconds)


def _start_and_wait(runs: _JobRuns, context: Context, plan: AnyPlan, uri: str, settings: Settings) -> None:
    """Starts the job run and waits for its end; where Glue is busy, tries to start for as long as a run may take."""
    deadline = time.monotonic() + 60 * settings.glue_timeout_minutes
    wait = settings.glue_poll_seconds
    while True:
        params: Any = {
            "JobName": settings.glue_job,
            "Arguments": {"--mode": "plan", "--plan": uri},
            "Timeout": max(1, round(settings.glue_timeout_minutes)),
        }
        try:
            runs.run(context=context, start_job_run_params=params, extras={"plan": plan.kind})
            return
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if runs.job_run_id or code not in BUSY or time.monotonic() + wait > deadline:
                raise GlueJobFailed(f"Glue job {settings.glue_job}: {error}") from error
            context.log.warning(f"Glue is busy ({code}): trying to start the job again in {wait:.0f} s")
        except BotoCoreError as error:
            raise GlueJobFailed(f"AWS cannot be reached for Glue job {settings.glue_job}: {error}") from error
        time.sleep(wait)
        wait = min(wait * 2, 60)


def _answer(s3: Any, bucket: str, key: str) -> dict[str, Any] | None:
    """The file that the job run left; None where it left none."""
    try:
        body: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise GlueJobFailed(f"The report s3://{bucket}/{key} cannot be read: {error}") from error
    return body


def _as_raised(error: dict[str, Any], job_run_id: str) -> TagPlatformError:
    """The job's error under its own class, so that whoever launched the plan can react to it (a stale plan is made
    anew)."""
    kinds: list[type[TagPlatformError]] = [TagPlatformError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    kind = next((k for k in kinds if error["known"] and k.__name__ == error["type"]), GlueJobFailed)
    prefix = "" if error["known"] else f"Glue job run {job_run_id} failed with {error['type']}: "
    raised = kind.__new__(kind)  # some take more than a message
    raised.args = (f"{prefix}{error['message']}",)
    return raised
