"""`tag-platform tags`: the tags as they are now, as files, and new ones."""

from __future__ import annotations

import json
from typing import Any

import click

from tag_platform.catalog.rulebook import declared_schema, parse_catalog
from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import Tag, load_catalog
from tag_platform.catalog.users_now import count_users
from tag_platform.cli.overrides import exclude, overrides, pin, release
from tag_platform.cli.tags_files import export_tags, import_tags
from tag_platform.cli.tags_new import new_tag
from tag_platform.mysql import Database
from tag_platform.settings import load_settings


@click.group(name="tags")
def tags() -> None:
    """Tags and their rules."""


for _command in (new_tag, export_tags, import_tags, pin, exclude, release, overrides):
    tags.add_command(_command)


@tags.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_tags(as_json: bool) -> None:
    """Tags with id, name, category, rule, state and the users who have them now."""
    settings = load_settings()
    database = Database.of(settings)
    catalog = load_catalog(database)
    rulebook = parse_catalog(catalog, declared_schema(load_sources(settings.sources)))
    users = count_users(database)
    rows: list[dict[str, Any]] = []
    for tag in catalog.tags:
        rule = rulebook.rules.get(tag.tag_id)
        rows.append(
            {
                "tag_id": tag.tag_id,
                "tag_name": tag.name,
                "tag_category": tag.category,
                "rule": rule.describe() if rule else rulebook.broken.get(tag.tag_id, ""),
                "state": _state(tag, rule is not None),
                "users": users.get(tag.tag_id, 0),
            }
        )
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in ("tag", "name", "category", "rule", "state", "users"):
        table.add_column(name, justify="right" if name in ("tag", "users") else "left", overflow="fold")
    for row in rows:
        cells = [str(row[name]) for name in ("tag_id", "tag_name", "tag_category", "rule", "state")]
        table.add_row(*cells, f"{row['users']:,}")
    Console().print(table)


def _state(tag: Tag, has_rule: bool) -> str:
    if not tag.is_active:
        return "retired"
    return "manual" if tag.is_manual else "active" if has_rule else "broken rule"
