"""`tag-platform health`: one line for each part that a run or a trigger needs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from tag_platform.health import check_parts
from tag_platform.settings import load_settings


@click.command(name="health")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def health(as_json: bool) -> None:
    """Check database, object store, engine, orchestrator and gateway. Exit code 1 where a part that runs need fails;
    the orchestrator and the gateway may be down on a laptop."""
    results = check_parts(load_settings())
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results], ensure_ascii=False, indent=2))
    else:
        for result in results:
            click.echo(f"{result.part:<13} {result.state:<7} {result.note}")
    if any(result.state == "failed" for result in results):
        sys.exit(1)
