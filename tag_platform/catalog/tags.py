"""The tag catalog: tag definitions and their active rules, as one consistent reading of MySQL.

A `Catalog` is data: frozen, JSON-serialisable, with a digest. A run is built from one catalog and sees no other. Rules
stay text here; `tag_platform.catalog.rulebook` parses them against the columns that the sources really have.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict

from tag_platform.mysql import Database, retrying, transaction

log = logging.getLogger(__name__)


class Tag(BaseModel):
    """One row of `tag_definition` with its active rules. `rules` holds the JSON text of each active row of `tag_rules`
    (exactly one is usable; none or several is an error of the tag, not of the catalog). A manual tag is given and
    taken by people alone (`tag_platform.overrides`); its rules are not looked at."""

    model_config = ConfigDict(frozen=True)

    tag_id: int
    name: str
    category: str
    description: str = ""
    is_active: bool = True
    is_manual: bool = False
    rules: tuple[str, ...] = ()
    max_left_share: float | None = None
    max_entered_share: float | None = None

    @property
    def bounds(self) -> dict[str, float | None]:
        """The tag's own bounds of the gate (`tag_platform.compute.gate`); None stands for the setting of all tags."""
        return {"max_left_share": self.max_left_share, "max_entered_share": self.max_entered_share}

    @property
    def details(self) -> dict[str, str]:
        """The tag's entry in `user_tags.tag_details`."""
        return {"tag_name": self.name, "tag_category": self.category}


class Catalog(BaseModel):
    """All tags, ordered by id."""

    model_config = ConfigDict(frozen=True, ignored_types=(cached_property,))

    tags: tuple[Tag, ...] = ()

    @property
    def active(self) -> tuple[Tag, ...]:
        """The tags that runs compute: neither retired nor manual."""
        return tuple(tag for tag in self.tags if tag.is_active and not tag.is_manual)

    @property
    def manual_ids(self) -> frozenset[int]:
        """Tags that runs never give or take; one that is retired as well is among `retired_ids` alone."""
        return frozenset(tag.tag_id for tag in self.tags if tag.is_active and tag.is_manual)

    @property
    def retired_ids(self) -> frozenset[int]:
        return frozenset(tag.tag_id for tag in self.tags if not tag.is_active)

    @cached_property
    def by_id(self) -> dict[int, Tag]:
        return {tag.tag_id: tag for tag in self.tags}

    @cached_property
    def digest(self) -> str:
        """Changes when any definition or rule changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_catalog(database: Database) -> Catalog:
    """Reads definitions and active rules in one snapshot of the database. Raises `TagPlatformError` where the database
    cannot be reached; what is wrong inside a rule is left to the rule's own tag."""

    def read() -> Catalog:
        with transaction(database) as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            return read_catalog(cursor)

    catalog = retrying(read, "reading the tag catalog", attempts=3)
    log.debug("tag catalog: %d active of %d tags", len(catalog.active), len(catalog.tags))
    return catalog


def read_catalog(cursor: Any, lock: bool = False) -> Catalog:
    """Reads the catalog in the caller's transaction; with `lock` nobody else changes it until that ends."""
    locking = " FOR UPDATE" if lock else ""
    cursor.execute(
        "SELECT tag_id, tag_name, tag_category, COALESCE(description, ''), COALESCE(is_active, TRUE),"  # noqa: S608
        f" is_manual, max_left_share, max_entered_share FROM tag_definition ORDER BY tag_id{locking}"
    )
    definitions = list(cursor.fetchall())
    cursor.execute(
        "SELECT tag_id, CAST(rule_conditions AS CHAR) FROM tag_rules"  # noqa: S608
        f" WHERE COALESCE(is_active, TRUE) ORDER BY tag_id, rule_id{locking}"
    )
    rules_of: dict[int, list[str]] = {}
    for tag_id, text in cursor.fetchall():
        rules_of.setdefault(tag_id, []).append(text)
    tags = (
        Tag(
            tag_id=tag_id,
            name=name,
            category=category,
            description=description,
            is_active=bool(is_active),
            is_manual=bool(is_manual),
            rules=tuple(rules_of.get(tag_id, ())),
            max_left_share=left,
            max_entered_share=entered,
        )
        for tag_id, name, category, description, is_active, is_manual, left, entered in definitions
    )
    return Catalog(tags=tuple(tags))
