"""The job `health`: looks at each part that runs need, from where runs are executed."""

from dagster import JobDefinition, OpExecutionContext, in_process_executor, job, op

from tag_platform.errors import TagPlatformError
from tag_platform.health import check_parts
from tag_platform.settings import Settings


def health_job(settings: Settings) -> JobDefinition:
    # Dagster refuses an op and a job of one name in a code location.
    @op(name="check_parts", description="Database, object store, engine, orchestrator, gateway.")
    def look_at_parts(context: OpExecutionContext) -> None:
        found = check_parts(settings)
        context.add_output_metadata({part.part.replace(" ", "_"): f"{part.state}: {part.note}" for part in found})
        for part in found:
            (context.log.info if part.state == "ok" else context.log.warning)(f"{part.part}: {part.state}, {part.note}")
        failed = [part for part in found if part.state == "failed"]
        if failed:
            raise TagPlatformError("; ".join(f"{part.part}: {part.note}" for part in failed))

    @job(
        name="health",
        executor_def=in_process_executor,
        description="Checks the parts that runs need; fails where one of them does not answer, and says which.",
    )
    def health_of_parts() -> None:
        look_at_parts()

    return health_of_parts
