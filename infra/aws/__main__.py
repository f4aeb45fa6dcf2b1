"""`python -m infra.aws deploy glue-dev|glue-prod [--dry-run | --destroy]`."""

from __future__ import annotations

import os
import sys

import click

from infra.aws.deploy import Deployment
from tag_platform.errors import TagPlatformError
from tag_platform.settings import load_settings


@click.group()
def main() -> None:
    """The Glue environments."""


@main.command()
@click.argument("environment", type=click.Choice(["glue-dev", "glue-prod"]))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--destroy", is_flag=True, help="Take job, role, policies and code away; data stay.")
def deploy(environment: str, dry_run: bool, destroy: bool) -> None:
    """Bring ENVIRONMENT to what this checkout says."""
    os.environ["TAG_SYSTEM_ENV"] = environment
    try:
        deployment = Deployment(load_settings(), click.echo, dry_run)
        changes = deployment.destroy() if destroy else deployment.deploy()
    except TagPlatformError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"{environment}: {changes} changes{' would be made' if dry_run else ''}" if changes else "Up to date.")


if __name__ == "__main__":
    main()
