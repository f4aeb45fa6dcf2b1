"""Resources of the assets: the engine's session, where plans run, and what a run may be asked for."""

from __future__ import annotations

import logging
import time
from datetime import date, datetime
from typing import Any

from dagster import AssetExecutionContext, ConfigurableResource, OpExecutionContext
from pydantic import PrivateAttr

from tag_platform.compute.engine import EmbeddedEngine, engine_name, explained_start, spark_config
from tag_platform.compute.plan import AnyPlan
from tag_platform.compute.report import Report
from tag_platform.dates import parse_date
from tag_platform.mysql import Database
from tag_platform.settings import Settings, load_settings

log = logging.getLogger(__name__)

# A plan of a run, its report: `tag-platform run` follows the stages here, in the process that runs them.
Context = AssetExecutionContext | OpExecutionContext


class Engine(ConfigurableResource[Any]):
    """The run's Spark session, made when a plan first needs it and ended with the run: one engine start per run.

    The session comes from dagster-pyspark's resource; with neither SPARK_MASTER_URL nor SPARK_REMOTE set, it is a
    session of the embedded engine, which is started in this process.
    """

    _embedded: EmbeddedEngine | None = PrivateAttr(default=None)
    _pyspark: Any = PrivateAttr(default=None)

    @property
    def spark(self) -> Any:
        if self._pyspark is None:
            from dagster_pyspark import LazyPySparkResource  # PySpark takes a second to import: not before it is needed

            settings = load_settings()
            if engine_name(settings) == "sail":
                self._embedded = EmbeddedEngine(settings)
            config = spark_config(settings, self._embedded.remote if self._embedded else None)
            pyspark = LazyPySparkResource(spark_config=config)
            with explained_start(settings):
                _ = pyspark.spark_session
            self._pyspark = pyspark
        return self._pyspark.spark_session

    def teardown_after_execution(self, context: Any) -> None:  # noqa: ARG002
        if self._pyspark is not None:
            self._pyspark.spark_session.stop()
            self._pyspark = None
        if self._embedded is not None:
            self._embedded.stop()
            self._embedded = None


class StepLauncher(ConfigurableResource[Any]):
    """Where plans run."""

    def launch(self, context: Context, plan: AnyPlan) -> Report:
        """Runs the plan and returns its report."""
        raise NotImplementedError


class InlineStepLauncher(StepLauncher):
    """Runs plans in this process, on whatever session the engine resource has."""

    engine: Engine

    def launch(self, context: Context, plan: AnyPlan) -> Report:
        """Runs the plan and returns its report; says in the run's log how long it took."""
        from tag_platform.compute.run import run

        started = time.monotonic()
        report = run(plan, self.engine.spark, Database.of(load_settings()))
        context.log.info(f"{plan.kind}: {time.monotonic() - started:.1f} s")
        return report


class RunOptions(ConfigurableResource[Any]):
    """What a run can be asked for beyond its assets and shards. Set once in the run configuration:
    `resources: {options: {config: {as_of: "2026-01-31"}}}`."""

    as_of: str | None = None
    dry_run: bool = False  # show what a merge would change, write nothing into MySQL, record nothing as computed
    allow_large_change: bool = False  # pass the gate
    reconcile: bool = False  # merge every tag from its latest snapshot, and check details: repairs drift

    def date(self, context: Context, settings: Settings) -> date:
        """The run's calendar date: `as_of`, or the day on which the run started in the platform's time zone. The same
        for every step of a run. Raises `BadInput` for anything but YYYY-MM-DD."""
        if self.as_of is not None:
            return parse_date(self.as_of)
        record = context.instance.get_run_record_by_id(context.run.run_id)
        started = (record.start_time or record.create_timestamp.timestamp()) if record else time.time()
        return datetime.fromtimestamp(started, settings.zone).date()
