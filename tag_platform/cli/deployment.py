"""Commands of the local deployment: `up`, `down`, `status`, `init`, `sample-data`, `env`."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from tag_platform.settings import load_settings

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command(name="up")
@click.option("--only", metavar="NAMES", help="Start only these, such as database,object-store.")
@click.option("--with", "added", metavar="NAMES", help="Beside all that: spark (a standalone cluster), notebook.")
@JSON
def up(only: str | None, added: str | None, as_json: bool) -> None:
    """Start the local deployment: database, object store, Dagster's UI, daemon and code server."""
    from infra.local import deployment

    names = None if only is None else _names(only)
    _print_status(deployment.up(load_settings(), _say, names, _names(added or "")), as_json)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@click.command(name="down")
def down() -> None:
    """Stop what `up` started, and nothing else. Data stay."""
    from infra.local import deployment

    _say("Stopped. The data stay." if deployment.down(load_settings(), _say) else "Nothing was running.")


@click.command(name="status")
@JSON
def status(as_json: bool) -> None:
    """Show each program of the local deployment. Exit code 1 where one of them failed."""
    from infra.local import deployment

    rows = deployment.status(load_settings())
    _print_status(rows, as_json)
    if any(row.state in ("failed", "not answering") for row in rows):
        sys.exit(1)


def _print_status(rows: list, as_json: bool) -> None:  # type: ignore[type-arg]
    if as_json:
        click.echo(json.dumps([row.as_json() for row in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("program", "state", "pid", "port", "up for", "address"):
        table.add_column(title)
    for row in rows:
        cells = [row.name, row.state, row.pid or "", row.port or "", _duration(row.uptime_seconds), row.address]
        table.add_row(*(str(cell) for cell in cells))
    Console().print(table)


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@click.command(name="init")
@click.option(
    "--reset", is_flag=True, help="First drop all data of the platform: tables, warehouse, lake, run history."
)
@click.option("--yes", is_flag=True, help="Do not ask before a reset.")
def init(reset: bool, yes: bool) -> None:
    """Create databases, tables, the eight first tags and the bucket, where they are missing."""
    from infra.local import deployment
    from tag_platform.catalog.migrate import migrate

    settings = load_settings()
    if reset:
        from infra.local import reset_data

        deployment.require_stopped(settings, "code-server", "webserver", "daemon")
    if reset and not yes:
        _say(f"This drops all data of the platform: {reset_data.describe(settings)}.")
        click.confirm("Go on?", abort=True, err=True)
    deployment.ensure_services(settings, _say)
    if reset:
        reset_data.drop(settings)
        _say("All data dropped.")
    applied = migrate(settings, reset=reset)
    click.echo(f"Database {settings.mysql_database}: " + (f"applied {', '.join(applied)}" if applied else "up to date"))
    click.echo(f"Warehouse {settings.warehouse}, lake {settings.lake}: ready")


@click.command(name="sample-data")
@click.option("--users", default=100_000, show_default=True, type=click.IntRange(1), help="How many users.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="The same seed, the same data.")
@click.option("--days", default=2, show_default=True, type=click.IntRange(1, 366), help="How many dt= partitions.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The last day. Default: today.")
@click.option("--if-empty", is_flag=True, help="Do nothing where the warehouse holds the tables already.")
def sample_data(users: int, seed: int, days: int, as_of: datetime | None, if_empty: bool) -> None:
    """Write the three source tables with made-up users to the warehouse."""
    from infra.local import deployment
    from tag_platform.sample_data import warehouse as samples

    settings = load_settings()
    if settings.warehouse.startswith("s3://"):
        deployment.ensure_services(settings, _say)
    if if_empty and samples.exist(settings):
        click.echo(f"Warehouse {settings.warehouse}: has data already, nothing written")
        return
    last_day = as_of.date() if as_of else datetime.now(UTC).astimezone(settings.zone).date()
    written = samples.write(settings, samples.Request(users, seed, days, last_day), _say)
    click.echo(written.closing_line())


@click.command(name="env")
def env() -> None:
    """Print `export` lines that plain `dagster` commands need: eval "$(tag-platform env)"."""
    for name, value in load_settings().environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")
