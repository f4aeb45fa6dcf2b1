"""The code location: definitions built from the tag catalog, the source catalog and the settings.

`build_definitions` makes a fresh `Definitions` from parts. `definitions` is what Dagster loads: the tags as MySQL has
them when the code location is loaded (or the last good ones), handed on to each run, so that a run sees one catalog
from start to end and needs no database to import this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import Definitions
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

from tag_platform.catalog.last_good import current_catalog
from tag_platform.catalog.sources import SourceTable, load_sources
from tag_platform.catalog.tags import Catalog
from tag_platform.defs.failures import failed_runs_sensor
from tag_platform.defs.health_job import health_job
from tag_platform.defs.jobs import tag_all_job, tag_users_job
from tag_platform.defs.lake_gc import lake_gc_job, weekly_lake_gc
from tag_platform.defs.live_tags import live_tags_sensor
from tag_platform.defs.partitions import in_process_for_all_shards
from tag_platform.defs.resources import Engine, InlineStepLauncher, RunOptions, StepLauncher
from tag_platform.defs.schedules import daily_refresh, new_data_sensor
from tag_platform.defs.source_assets import source_assets
from tag_platform.defs.table_check import check_table_job
from tag_platform.defs.tag_assets import tag_assets
from tag_platform.defs.undo_job import undo_run_job
from tag_platform.settings import Settings, load_settings

CATALOG_STATE = "tag_platform_catalog"
# The queue's runs that merge: see `concurrency` in dagster.yaml. What keeps the table safe are the locks of its shards,
# also for runs that pass the queue by (`tag-platform run`).
USER_TAGS_POOL = "user_tags"


def build_definitions(
    catalog: Catalog,
    sources: Mapping[str, SourceTable],
    settings: Settings,
    resources: Mapping[str, Any] | None = None,
    pool: str | None = None,
    checks_table: bool = True,
) -> Definitions:
    """All assets, checks, jobs and resources for one catalog. `resources` replaces some of the resources; `pool` is the
    pool that the step of tags and merge waits for. Without `checks_table` a run of chosen assets does not compare the
    whole table: Dagster would add the check to it."""
    engine = Engine()
    tag_all, lake_gc = tag_all_job(checks_table), lake_gc_job(settings)
    return Definitions(
        assets=[*source_assets(sources, settings), tag_assets(catalog, sources, settings, pool, checks_table)],
        jobs=[
            tag_all,
            tag_users_job(catalog, sources, settings),
            undo_run_job(catalog, settings),
            lake_gc,
            health_job(settings),
            *([check_table_job()] if checks_table else []),
        ],
        schedules=[daily_refresh(tag_all, settings), weekly_lake_gc(lake_gc, settings)],
        sensors=[
            live_tags_sensor(catalog, sources, settings, tag_all),
            new_data_sensor(sources, settings, tag_all),
            failed_runs_sensor(settings),
        ],
        executor=in_process_for_all_shards,
        resources={
            "engine": engine,
            "launcher": _launcher(engine, settings),
            "options": RunOptions(),
            **(resources or {}),
        },
    )


def _launcher(engine: Engine, settings: Settings) -> StepLauncher:
    """Plans of a Glue environment run as its Glue job, all others in this process. An own Spark is used where the
    environment names one."""
    if settings.env == "local" or settings.spark_master_url or settings.spark_remote:
        return InlineStepLauncher(engine=engine)
    from tag_platform.defs.glue import GlueStepLauncher

    return GlueStepLauncher()


def load_definitions() -> Definitions:
    """The definitions for this process: the catalog that the code location was loaded with, where this is one of its
    runs, and the current one otherwise."""
    settings = load_settings()
    context = DefinitionsLoadContext.get()
    if context.load_type == DefinitionsLoadType.RECONSTRUCTION and CATALOG_STATE in context.reconstruction_metadata:
        catalog = Catalog.model_validate_json(context.reconstruction_metadata[CATALOG_STATE])
    else:
        catalog = current_catalog(settings)
    built = build_definitions(catalog, load_sources(settings.sources), settings, pool=USER_TAGS_POOL)
    return built.with_reconstruction_metadata({CATALOG_STATE: catalog.model_dump_json()})


definitions = load_definitions()
