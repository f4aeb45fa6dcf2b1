"""`tag-platform history USER`: every change that runs made to a user's tags, from the before-images, and every decision
of a person on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tag_platform.settings import Settings, load_settings

if TYPE_CHECKING:
    from tag_platform.compute.ledger import Merge
    from tag_platform.overrides import Override


READERS = 16


@click.command(name="history")
@click.argument("user_id", metavar="USER")
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def history(user_id: str, as_json: bool) -> None:
    """Show how runs and people changed the tags of USER, oldest first."""
    changes = user_history(user_id, load_settings())
    if as_json:
        click.echo(json.dumps(changes, ensure_ascii=False, indent=2))
        return
    if not changes:
        click.echo(f"Nothing changed the tags of {user_id}.")
    for change in changes:
        what = [f"+{tag_id}" for tag_id in change["entered"]] + [f"-{tag_id}" for tag_id in change["left"]]
        after = "row deleted" if change["after"] is None else change["after"]
        click.echo(f"{change['time']}  {' '.join(what) or 'no change'}  → {after}  {_cause(change)}")


def _cause(change: dict[str, Any]) -> str:
    if change["override"]:
        decision = change["override"]
        return f"{decision['kind']} of tag {decision['tag_id']} by {decision['by']}: {decision['why']}"
    return f"run {change['run_id']}" + (f" (undo of {change['undoes']})" if change["undoes"] else "")


def user_history(user_id: str, settings: Settings) -> list[dict[str, Any]]:
    """The changes of one user: time (UTC), run_id, undoes, before, after, entered, left, and `override` (kind, tag_id,
    by, why) where it was no run but a person. Reads the one shard of the user in each merge's snapshot; snapshots that
    were removed from the lake are left out."""
    from concurrent.futures import ThreadPoolExecutor

    from tag_platform.compute.ledger import merges_that_changed
    from tag_platform.mysql import Database
    from tag_platform.overrides import decisions_of
    from tag_platform.shards import shard_of

    def read(merge: Merge) -> list[dict[str, Any]]:
        return _changes(merge, shard_of(user_id, merge.shard_count), user_id, settings)

    with ThreadPoolExecutor(READERS) as readers:  # mostly waiting for the object store
        found = [
            change for part in readers.map(read, merges_that_changed(Database.of(settings), user_id)) for change in part
        ]
    found += map(_decision, decisions_of(settings, user_id))
    return sorted(found, key=lambda change: change["time"])


def _decision(decision: Override) -> dict[str, Any]:
    before, after = decision.before or (), decision.after or ()
    return {
        "time": f"{decision.time:%Y-%m-%d %H:%M:%S.%f}",
        "run_id": None,
        "undoes": None,
        "override": {name: getattr(decision, name) for name in ("kind", "tag_id", "by", "why")},
        "before": None if decision.before is None else list(before),
        "after": None if decision.after is None else list(after),
        "entered": sorted(set(after) - set(before)),
        "left": sorted(set(before) - set(after)),
    }


def _changes(merge: Merge, shard: int, user_id: str, settings: Settings) -> list[dict[str, Any]]:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    from pyarrow.fs import FileSelector

    from tag_platform.lake.filesystem import open_filesystem
    from tag_platform.lake.snapshots import shard_directory

    filesystem, path = open_filesystem(shard_directory(merge.path, shard), settings)
    files = [
        info.path
        for info in filesystem.get_file_info(FileSelector(path, allow_not_found=True))
        if info.base_name.endswith(".parquet")
    ]
    if not files:
        return []
    rows = ds.dataset(files, filesystem=filesystem, format="parquet").to_table(filter=pc.field("user_id") == user_id)
    return [
        {
            "time": f"{merge.started:%Y-%m-%d %H:%M:%S.%f}",
            "run_id": merge.run_id,
            "undoes": merge.undoes,
            "override": None,
            **{name: row[name] for name in ("before", "after", "entered", "left")},
        }
        for row in rows.to_pylist()
    ]
