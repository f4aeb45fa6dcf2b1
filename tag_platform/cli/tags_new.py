"""`tag-platform tags new`: class, test and SQL of a tag that a rule alone cannot decide."""

from __future__ import annotations

import click

from tag_platform.catalog.rulebook import declared_schema
from tag_platform.catalog.sources import load_sources
from tag_platform.settings import load_settings
from tag_platform.tags.scaffold import NewTag, new_tag_files, write_files


@click.command(name="new")
@click.argument("tag_id", type=click.IntRange(1))
@click.argument("class_name")
@click.option("--name", required=True, help="The tag's name, such as 高频交易用户.")
@click.option("--category", required=True, help="The tag's category, such as 行为分析.")
@click.option("--field", "fields", required=True, multiple=True, help="A column the class reads; may be repeated.")
def new_tag(tag_id: int, class_name: str, name: str, category: str, fields: tuple[str, ...]) -> None:
    """Write a Python class CLASS_NAME for TAG_ID, with its test and SQL, into the package that TAG_PLATFORM_TAGS names
    or else into this checkout. A tag that its rule alone decides needs no class."""
    settings = load_settings()
    schema = declared_schema(load_sources(settings.sources))
    contents = new_tag_files(NewTag(tag_id, class_name, name, category, fields), schema, settings.tags_package)
    write_files(contents)
    for path in contents:
        click.echo(str(path))
