"""`tag-platform explain USER`: why the user has tags or not, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import click

from tag_platform.errors import BadInput
from tag_platform.rules.words import say
from tag_platform.settings import load_settings

_WIDEST = len("UNKNOWN")


@click.command()
@click.argument("user_id", metavar="USER")
@click.option("--tag", "tag_ids", type=int, multiple=True, help="This tag only; may be given several times.")
@click.option("--as-of", help="The date that relative dates count from. [default: today in the platform's zone]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(user_id: str, tag_ids: tuple[int, ...], as_of: str | None, as_json: bool) -> None:
    """Show why USER has tags or not: each rule as a tree with the user's own values, and what is missing.

    Computed anew from the rules as they are now and the latest snapshots of the source tables.
    """
    from tag_platform.explaining import explain_user

    found = explain_user(user_id, list(tag_ids) or None, load_settings(), _day(as_of))
    if as_json:
        click.echo(json.dumps({"user_id": user_id, "tags": found}, ensure_ascii=False, indent=2))
        return
    click.echo(f"User {user_id}")
    for tag in found:
        click.echo("")
        for line in tag_lines(tag):
            click.echo(line)
    if found:
        partitions = ", ".join(f"{table} of {day or 'now'}" for table, day in found[0]["partitions"].items())
        click.echo(f"\nAs of {found[0]['as_of']}; data: {partitions}")


def tag_lines(tag: dict[str, Any]) -> Iterator[str]:
    """One tag as lines: verdict, tree, and what is missing."""
    name = f"tag {tag['tag_id']} {tag['tag_name']} ({tag['tag_category']})"
    if "error" in tag:
        yield f"! {name}: its rule is broken, users keep the tag as they have it"
        yield from (f"    {line}" for line in tag["error"].splitlines())
        return
    yield f"{'✓' if tag['truth'] == 'TRUE' else '✗'} {name}: {tag['truth']}"
    yield from node_lines(tag["tree"], 0)
    for reason in tag["missing"]:
        yield f"    → {reason}"


def node_lines(node: dict[str, Any], depth: int) -> Iterator[str]:
    """A node and what is below it, two blanks deeper for each level; a group that adds nothing is left out."""
    if node["kind"] == "group" and node["text"] == "that":
        yield from node_lines(node["members"][0], depth)
        return
    values = ", ".join(f"{field.rpartition('.')[2]} = {_shown(value)}" for field, value in node["values"].items())
    yield f"    {node['truth']:{_WIDEST}}  {'  ' * depth}{node['text']}{f'   [{values}]' if values else ''}"
    for member in node["members"]:
        yield from node_lines(member, depth + 1)


def _shown(value: Any) -> str:
    if value is None:
        return "NULL"
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else say(value)


def _day(text: str | None) -> date | None:
    from tag_platform.rules.values import parse_date

    day = None if text is None else parse_date(text)
    if text is not None and day is None:
        raise BadInput(f"--as-of {text!r} is no date, such as 2026-01-31.")
    return day
