"""`tag-platform tags pin | exclude | release | overrides`: what people decide for single users."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from typing import Any

import click

from tag_platform.settings import load_settings


def _decision(function: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments that the three commands share."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print the decision as JSON."),
        click.option("--by", default=None, help="Who decides. Default: the user of this machine's session."),
        click.option("--why", required=True, help="The reason, kept with the decision."),
        click.argument("tag_id", metavar="TAG", type=int),
        click.argument("user_id", metavar="USER"),
    ):
        function = decorate(function)
    return function


@click.command(name="pin")
@_decision
def pin(**given: Any) -> None:
    """Give USER the TAG for good: no run takes it away."""
    _decide("pin", **given)


@click.command(name="exclude")
@_decision
def exclude(**given: Any) -> None:
    """Take the TAG from USER for good: no run gives it."""
    _decide("exclude", **given)


@click.command(name="release")
@_decision
def release(**given: Any) -> None:
    """End a pin or an exclusion: the next run decides by the tag's rule."""
    _decide("release", **given)


def _decide(kind: str, user_id: str, tag_id: int, why: str, by: str | None, as_json: bool) -> None:
    from tag_platform import overrides as decisions

    decide = {"pin": decisions.pin, "exclude": decisions.exclude, "release": decisions.release}[kind]
    decided = decide(load_settings(), user_id, tag_id, by or getpass.getuser(), why)
    if as_json:
        click.echo(json.dumps(decided.as_json(), ensure_ascii=False, indent=2))
        return
    words = {"pin": "pinned", "exclude": "excluded", "release": "released"}[kind]
    after = "no row" if decided.after is None else list(decided.after)
    click.echo(f"Tag {tag_id} {words} for {user_id} by {decided.by}. Tags now: {after}")


@click.command(name="overrides")
@click.option("--user", "user_id", metavar="USER", help="Only those of this user.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def overrides(user_id: str | None, as_json: bool) -> None:
    """The pins and exclusions in force, with who and why."""
    from tag_platform.overrides import list_overrides

    found = list_overrides(load_settings(), user_id)
    if as_json:
        click.echo(json.dumps([decision.as_json() for decision in found], ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in ("user", "tag", "kind", "by", "why", "time (UTC)"):
        table.add_column(name, overflow="fold")
    for d in found:
        table.add_row(d.user_id, str(d.tag_id), d.kind, d.by, d.why, f"{d.time:%Y-%m-%d %H:%M:%S}")
    Console().print(table)
