"""Brings definitions and rules in MySQL to what files say, in one transaction."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tag_platform.catalog.tag_files import check_tags, file_name, file_text, read_tags, same
from tag_platform.catalog.tags import Catalog, Tag, read_catalog
from tag_platform.errors import BadInput
from tag_platform.mysql import Database, retrying, transaction
from tag_platform.rules import RuleSchema


@dataclass(frozen=True)
class TagChange:
    """`before` is None for a new tag. A tag whose file is gone is `retired`: it is never deleted, since users' history
    refers to it."""

    kind: Literal["new", "changed", "retired"]
    before: Tag | None
    after: Tag

    @property
    def diff(self) -> str:
        """The change as a unified diff of the tag's file."""
        name = file_name(self.after.tag_id)
        before = [] if self.before is None else _lines(self.before)
        return "".join(difflib.unified_diff(before, _lines(self.after), f"database/{name}", f"files/{name}"))


def changes(stored: Catalog, wanted: Mapping[int, Tag]) -> list[TagChange]:
    """What has to change so that MySQL says what the files say, by tag id."""
    found = []
    for tag_id in sorted({*stored.by_id, *wanted}):
        before, after = stored.by_id.get(tag_id), wanted.get(tag_id)
        if after is None:
            assert before is not None  # noqa: S101 (the id is from one of the two)
            if before.is_active:
                found.append(TagChange("retired", before, before.model_copy(update={"is_active": False})))
        elif before is None:
            found.append(TagChange("new", None, after))
        elif not _same(before, after):
            found.append(TagChange("changed", before, after))
    return found


def import_tags(folder: Path, database: Database, schema: RuleSchema, dry_run: bool = False) -> list[TagChange]:
    """Reads the files, checks all of them, and writes what differs: everything or nothing. Returns what differs.

    Raises `BadInput`, before anything is written, with everything that is wrong with any file.
    """
    wanted = read_tags(folder)

    def write() -> list[TagChange]:
        with transaction(database) as cursor:
            stored = read_catalog(cursor, lock=not dry_run)
            found = changes(stored, wanted)
            after = {**stored.by_id, **{change.after.tag_id: change.after for change in found}}
            check_tags(folder, Catalog(tags=tuple(after[tag_id] for tag_id in sorted(after))), schema)
            for change in found if not dry_run else []:
                _write(cursor, change)
            return found

    return retrying(write, "importing tags")


def _same(before: Tag, after: Tag) -> bool:
    try:
        return same(before, after)
    except BadInput:  # what is stored cannot be read
        return False


def _lines(tag: Tag) -> list[str]:
    try:
        return file_text(tag).splitlines(keepends=True)
    except BadInput:  # broken in MySQL, and about to be corrected
        return [f"{rule}\n" for rule in tag.rules]


def _write(cursor: Any, change: TagChange) -> None:
    tag = change.after
    values = {
        "tag_name": tag.name,
        "tag_category": tag.category,
        "description": tag.description,
        "is_active": tag.is_active,
        "is_manual": tag.is_manual,
        "max_left_share": tag.max_left_share,
        "max_entered_share": tag.max_entered_share,
        "tag_id": tag.tag_id,
    }
    cursor.execute("SELECT COUNT(*) FROM tag_category WHERE category_name = %s", (tag.category,))
    if cursor.fetchone()[0] == 0:
        cursor.execute("INSERT INTO tag_category (category_name) VALUES (%s)", (tag.category,))
    if change.before is None:
        marks = ", ".join(f"%({name})s" for name in values)
        cursor.execute(f"INSERT INTO tag_definition ({', '.join(values)}) VALUES ({marks})", values)  # noqa: S608
    else:
        columns = ", ".join(f"{name} = %({name})s" for name in values)
        cursor.execute(f"UPDATE tag_definition SET {columns} WHERE tag_id = %(tag_id)s", values)  # noqa: S608
        if _same(tag.model_copy(update={"rules": change.before.rules}), tag):
            return
        # The rule that was stays in the table, inactive.
        cursor.execute("UPDATE tag_rules SET is_active = FALSE WHERE tag_id = %s", (tag.tag_id,))
    for rule in tag.rules:
        cursor.execute("INSERT INTO tag_rules (tag_id, rule_conditions) VALUES (%s, %s)", (tag.tag_id, rule))
