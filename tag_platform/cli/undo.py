"""`tag-platform undo RUN_ID`: puts back what a run changed in user_tags, as a run of its own in this process."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from tag_platform.errors import TagPlatformError
from tag_platform.settings import load_settings


@click.command(name="undo")
@click.argument("run_id")
@click.option("--dry-run", is_flag=True, help="Show what would be put back, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def undo(run_id: str, dry_run: bool, as_json: bool) -> None:
    """Put back what RUN_ID changed in user_tags, where no later run changed it again."""
    from dagster import DagsterInstance

    from tag_platform.catalog.tags import load_catalog
    from tag_platform.cli.run_here import failure
    from tag_platform.defs.resources import Engine, InlineStepLauncher, RunOptions
    from tag_platform.defs.undo_job import plan_undo, undo_run_job
    from tag_platform.mysql import Database

    settings = load_settings()
    catalog = load_catalog(Database.of(settings))
    plan_undo(run_id, "", catalog, settings)  # a run that changed nothing is bad input, before anything starts
    for name, value in settings.environment().items():
        os.environ.setdefault(name, value)
    engine = Engine()
    with DagsterInstance.get() as instance:
        result = undo_run_job(catalog, settings).execute_in_process(
            run_config={
                "ops": {"undo": {"config": {"run_id": run_id}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            resources={
                "engine": engine,
                "launcher": InlineStepLauncher(engine=engine),
                "options": RunOptions(dry_run=dry_run),
            },
            instance=instance,
            raise_on_error=False,
        )
    if not result.success:
        raise failure(result)
    said = _outcome(result)
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False, indent=2))
        return
    if dry_run:
        come, go = sum(said["entered"].values()), sum(said["left"].values())
        click.echo(f"Run {run_id}: {come:,} tags would be given back, {go:,} taken away. Nothing was written.")
    else:
        click.echo(
            f"Run {run_id}: {said['updated']:,} rows were put back, {said['inserted']:,} inserted again, "
            f"{said['deleted']:,} deleted."
        )
    for tag_id, n in said["left_alone"].items():
        click.echo(f"Left alone: tag {tag_id} of {n:,} users, which a later run changed again.")
    if not dry_run:
        click.echo(f"To undo this: tag-platform undo {said['run_id']}")


def _outcome(result: Any) -> dict[str, Any]:
    for event in result.all_events:
        if event.event_type_value == "STEP_OUTPUT":
            values = {name: value.value for name, value in event.step_output_data.metadata.items()}
            names = ("undone_run", "updated", "inserted", "deleted", "entered", "left", "left_alone", "path")
            return {"run_id": result.run_id, **{name: values[name] for name in names}}
    raise TagPlatformError(f"Run {result.run_id} ended without a result.")
