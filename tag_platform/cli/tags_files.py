"""`tag-platform tags export` and `import`: tags as files in git, and back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tag_platform.mysql import Database
from tag_platform.settings import load_settings

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(name="export")
@click.argument("folder", metavar="DIR", type=FOLDER)
def export_tags(folder: Path) -> None:
    """Write one file per tag, retired ones too, into DIR. Prints the files that changed."""
    from tag_platform.catalog import tag_files
    from tag_platform.catalog.tags import load_catalog

    catalog = load_catalog(Database.of(load_settings()))
    for path in tag_files.export_tags(catalog, folder):
        click.echo(str(path))
    known = {tag_files.file_name(tag.tag_id) for tag in catalog.tags}
    for path in sorted(folder.glob("tag_*.json")):
        if path.name not in known:
            click.echo(f"{path} is of no tag in the database; left as it is", err=True)


@click.command(name="import")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def import_tags(folder: Path, dry_run: bool, as_json: bool) -> None:
    """Bring definitions and rules to what the files in DIR say: all in one transaction, or nothing where any of them is
    wrong. A tag without a file is retired."""
    from tag_platform.catalog import tag_changes
    from tag_platform.catalog.rulebook import declared_schema
    from tag_platform.catalog.sources import load_sources

    settings = load_settings()
    schema = declared_schema(load_sources(settings.sources))
    found = tag_changes.import_tags(folder, Database.of(settings), schema, dry_run)
    if as_json:
        rows = [{"tag_id": change.after.tag_id, "kind": change.kind, "diff": change.diff} for change in found]
        click.echo(json.dumps({"changes": rows, "written": bool(found) and not dry_run}, ensure_ascii=False, indent=2))
        return
    for change in found:
        click.echo(change.diff, nl=False)
    counts = ", ".join(f"{sum(c.kind == kind for c in found)} {kind}" for kind in ("new", "changed", "retired"))
    click.echo(f"{counts}." + (" Nothing was written." if dry_run and found else ""))
