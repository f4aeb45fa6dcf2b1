"""`tag-platform run`: computes and merges, in this process or through the run queue of the running deployment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.settings import Settings, load_settings


@click.command(name="run")
@click.option("--tags", metavar="IDS", help="Only these tags, such as 1,3,5. Default: all active tags.")
@click.option("--users", metavar="IDS", help="Only these users, separated by commas.")
@click.option("--users-file", type=click.Path(dir_okay=False, path_type=Path), help="Only these users, one id a line.")
@click.option("--shards", metavar="RANGE", help="Only these user shards, such as 3 or 0-3.")
@click.option("--as-of", metavar="DATE", help="Compute as of this day (YYYY-MM-DD). Default: today.")
@click.option("--dry-run", is_flag=True, help="Show what would enter and leave each tag, and write nothing.")
@click.option("--allow-large-change", is_flag=True, help="Write even where a tag's population jumps.")
@click.option("--reconcile", is_flag=True, help="Compare every row with what was computed, and repair drift.")
@click.option("--submit", is_flag=True, help="Send it to the run queue of the running deployment; prints the run id.")
@click.option("--wait", is_flag=True, help="With --submit: wait until the run has ended.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(
    tags: str | None,
    users: str | None,
    users_file: Path | None,
    shards: str | None,
    as_of: str | None,
    dry_run: bool,
    allow_large_change: bool,
    reconcile: bool,
    submit: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Compute tags and bring user_tags up to date."""
    settings = load_settings()
    if wait and not submit:
        raise BadInput("--wait goes with --submit; without it, `run` waits anyway.")
    if as_of is not None:
        from tag_platform.dates import parse_date

        parse_date(as_of)
    tag_ids = parse_tag_ids(tags)
    user_ids = _users(users, users_file)
    if user_ids is not None and shards is not None:
        raise BadInput("--users and --shards exclude each other: the users decide the shards.")
    from tag_platform.cli.run_request import RunRequest

    request = RunRequest(
        tag_ids, user_ids, _shard_range(shards, settings), as_of, dry_run, allow_large_change, reconcile
    )
    if submit:
        from tag_platform.cli.run_submitted import run_submitted

        outcome = run_submitted(request, settings, wait)
    else:
        from tag_platform.cli.run_here import run_here

        outcome = run_here(request, settings)
    if as_json:
        click.echo(json.dumps(outcome, ensure_ascii=False, indent=2))
    else:
        from tag_platform.cli.run_table import print_outcome

        print_outcome(outcome, settings)
    _raise_failure(outcome, tag_ids)


def _raise_failure(outcome: dict[str, Any], tag_ids: list[int] | None) -> None:
    if outcome.get("status") in ("failed", "canceled"):
        raise TagPlatformError(f"Run {outcome['run_id']} {outcome['status']}.")
    broken = sorted(int(tag_id) for tag_id in outcome.get("broken", {}))
    asked = [tag_id for tag_id in broken if tag_ids is not None and tag_id in tag_ids]
    if asked:
        raise TagPlatformError(f"Not computed, since the rule is broken: tag {', '.join(map(str, asked))}.")


def parse_tag_ids(text: str | None) -> list[int] | None:
    """Reads "1,3,5". Raises `BadInput` for anything else; None stays None."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise BadInput(f"--tags {text!r} cannot be read; write tag ids separated by commas, such as 1,3,5.")
    return sorted({int(part) for part in parts})


def _users(listed: str | None, file: Path | None) -> list[str] | None:
    if listed is not None and file is not None:
        raise BadInput("--users and --users-file exclude each other.")
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--users-file {file} cannot be read: {error}") from error
        # Blanks at the end are part of an id (and refused later); only line ends go.
        return [line.removesuffix("\r") for line in lines if line.strip()]
    return None if listed is None else [user.strip() for user in listed.split(",")]


def _shard_range(text: str | None, settings: Settings) -> list[int] | None:
    from tag_platform.shards import parse_shards

    return None if text is None else parse_shards(text, settings.shards)
