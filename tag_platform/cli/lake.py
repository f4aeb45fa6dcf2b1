"""`tag-platform lake gc`: removes snapshots that nothing needs any more, in this process."""

from __future__ import annotations

import json
import os

import click

from tag_platform.settings import load_settings


@click.group(name="lake")
def lake() -> None:
    """The snapshots in the lake."""


@lake.command(name="gc")
@click.option(
    "--keep-days", default=30, show_default=True, type=click.IntRange(0), help="How long undo stays possible."
)
@click.option("--dry-run", is_flag=True, help="Count what would be removed, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def gc(keep_days: int, dry_run: bool, as_json: bool) -> None:
    """Remove the snapshots that are older than --keep-days and that nothing needs. The latest ones of every asset, and
    those that a run under way may read, stay whatever their age."""
    from dagster import DagsterInstance

    from tag_platform.defs.lake_gc import collect_garbage

    settings = load_settings()
    for name, value in settings.environment().items():
        os.environ.setdefault(name, value)
    with DagsterInstance.get() as instance:
        done = collect_garbage(instance, settings, keep_days, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps({"removed": done.removed, "kept": done.kept, "dry_run": dry_run}))
    elif dry_run:
        click.echo(f"{done.removed:,} snapshots would be removed, {done.kept:,} kept.")
    else:
        click.echo(f"{done.removed:,} snapshots removed, {done.kept:,} kept.")
