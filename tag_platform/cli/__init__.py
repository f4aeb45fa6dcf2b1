"""The command line `tag-platform`. Each command lives in a module of its own and is imported when it is called, so
that `--help` and `rules check` answer at once."""

from __future__ import annotations

import gc
import importlib
import sys

import click

from tag_platform.errors import TagPlatformError
from tag_platform.logs import configure_logging

# command → module that defines a click command of that name with `-` written as `_`
COMMANDS = {
    "health": "tag_platform.cli.health",
    "tags": "tag_platform.cli.tags",
    "run": "tag_platform.cli.run",
    "undo": "tag_platform.cli.undo",
    "history": "tag_platform.cli.history",
    "explain": "tag_platform.cli.explain",
    "rules": "tag_platform.cli.rules",
    "lake": "tag_platform.cli.lake",
    "init": "tag_platform.cli.deployment",
    "sample-data": "tag_platform.cli.deployment",
    "up": "tag_platform.cli.deployment",
    "down": "tag_platform.cli.deployment",
    "status": "tag_platform.cli.deployment",
    "env": "tag_platform.cli.deployment",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name]), name.replace("-", "_"))
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    help="What is logged to stderr.",
)
@click.option(
    "--log-format",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="Log lines for people, or JSON lines.",
)
@click.version_option(package_name="tag-platform")
def cli(log_level: str, log_format: str) -> None:
    """Computes which tags apply to which users, and keeps one row per user in MySQL."""
    configure_logging(log_level, log_format)  # type: ignore[arg-type]


def main() -> None:
    """Runs the command line. Exit code 0 ok, 1 failed, 2 bad input; the reason is one sentence on stderr."""
    # A command makes hundreds of thousands of objects that stay (modules, classes) and little garbage: looking for it
    # every 700 objects is a tenth of a small run's time.
    gc.set_threshold(100_000, 20, 20)
    try:
        code = cli.main(standalone_mode=False)
        if isinstance(code, int):  # what a command gave to `ctx.exit`
            sys.exit(code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except TagPlatformError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        # Only where a command has used the database is its driver there: `--help` answers without it.
        driver = sys.modules.get("pymysql")
        if driver is None or not isinstance(error, driver.err.Error):
            raise
        click.echo(f"Error: the database refused: {error.args[-1] if error.args else error}", err=True)
        sys.exit(1)
