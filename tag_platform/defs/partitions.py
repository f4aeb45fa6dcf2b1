"""User shards as Dagster partitions. A run is for one shard or for a range of them, and for all of them where it says
nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagster import (
    AssetExecutionContext,
    BackfillPolicy,
    DagsterEvent,
    Executor,
    InitExecutorContext,
    StaticPartitionsDefinition,
    executor,
)
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from tag_platform.settings import Settings
from tag_platform.shards import shard_key, shard_keys

PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def shards_definition(settings: Settings) -> StaticPartitionsDefinition:
    return StaticPartitionsDefinition(shard_keys(settings.shards))


def backfill_policy(settings: Settings) -> BackfillPolicy:
    """How a backfill divides its shards into runs: all in one, or so many a run (`TAG_PLATFORM_SHARDS_PER_RUN`)."""
    if settings.shards_per_run is None:
        return BackfillPolicy.single_run()
    return BackfillPolicy.multi_run(max_partitions_per_run=settings.shards_per_run)


def range_tags(shards: Sequence[int]) -> dict[str, str]:
    """Run tags that select the shards `shards[0]` … `shards[-1]`."""
    return {RANGE_START: shard_key(shards[0]), RANGE_END: shard_key(shards[-1])}


def selected_shards(context: AssetExecutionContext) -> tuple[int, ...]:
    """The shard numbers that the run is for."""
    return tuple(int(key) for key in context.partition_keys)


@executor(name="in_process")
def in_process_for_all_shards(_: InitExecutorContext) -> Executor:
    """One process per run: one engine start, and one session for all of its steps. A run that names no partition is for
    all shards."""
    return _InProcessForAllShards(retries=RetryMode.DISABLED)


class _InProcessForAllShards(InProcessExecutor):
    """Range tags as the job's default would do the same, but for `dagster/partition`, which Dagster refuses beside
    them: choosing one shard in the UI, and backfills of the job, would fail."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        run = plan_context.dagster_run
        if not {PARTITION, RANGE_START} & set(run.tags):
            partitions = next(
                spec.partitions_def
                for spec in plan_context.job.get_definition().asset_layer.asset_graph.asset_nodes
                if spec.partitions_def
            )
            missing = range_tags(range(len(partitions.get_partition_keys())))
            plan_context.instance.add_run_tags(run.run_id, missing)
            plan_context = PlanOrchestrationContext(
                plan_data=plan_context.plan_data._replace(dagster_run=run.with_tags({**run.tags, **missing})),
                log_manager=plan_context.log,
                executor=plan_context.executor,
                output_capture=plan_context.output_capture,
                resume_from_failure=plan_context.resume_from_failure,
            )
        yield from super().execute(plan_context, execution_plan)
