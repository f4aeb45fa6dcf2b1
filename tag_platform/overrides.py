"""What people decide for single users: a pinned tag stays, an excluded one stays away, whatever the rules say.

Every decision is a row of `user_tag_overrides` with who, why and when, and is applied to the user's row in the same
transaction. Runs apply what is in force again (`tag_platform.compute.overrides`), so it survives them. Used by the
command line and the REST gateway; no Dagster and no Spark here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from tag_platform.catalog.tags import Catalog, load_catalog
from tag_platform.compute.locks import shard_locks
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.mysql import Database, retrying, transaction
from tag_platform.shards import shard_of

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    from tag_platform.settings import Settings

Kind = Literal["pin", "exclude", "release"]
WAIT_SECONDS = 60  # for a merge that is at work on the user's shard
LONGEST_NAME, LONGEST_REASON = 100, 1_000  # as in user_tag_overrides


@dataclass(frozen=True)
class Override:
    """One decision. `before` and `after` are the user's tags around it, None where there was no row; `time` is UTC."""

    override_id: int
    user_id: str
    tag_id: int
    kind: Kind
    by: str
    why: str
    time: datetime
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "time": self.time.isoformat(timespec="seconds")}


def pin(settings: Settings, user_id: str, tag_id: int, by: str, why: str, wait_seconds: int = WAIT_SECONDS) -> Override:
    """Gives the user the tag for good, at once; a user without a row gets one. Replaces an exclusion.

    Asking again, by the same person for the same reason, returns the first decision and changes nothing.
    Raises `BadInput` for an unknown or retired tag, an unusable user id, or a missing name or reason, and `LockBusy`
    where a merge of the user's shard takes longer than `wait_seconds`.
    """
    return _decide(settings, user_id, tag_id, "pin", by, why, wait_seconds)


def exclude(
    settings: Settings, user_id: str, tag_id: int, by: str, why: str, wait_seconds: int = WAIT_SECONDS
) -> Override:
    """Takes the tag from the user for good, at once. Otherwise as `pin`."""
    return _decide(settings, user_id, tag_id, "exclude", by, why, wait_seconds)


def release(
    settings: Settings, user_id: str, tag_id: int, by: str, why: str, wait_seconds: int = WAIT_SECONDS
) -> Override:
    """Ends a pin or an exclusion. The next run that computes the tag decides by its rule; until then the user keeps
    what the row says. A pinned manual tag, which no run computes, goes at once.

    Raises `BadInput` where nothing is in force, otherwise as `pin`.
    """
    return _decide(settings, user_id, tag_id, "release", by, why, wait_seconds)


def list_overrides(
    settings: Settings, user_id: str | None = None, limit: int | None = None, after: int = 0
) -> list[Override]:
    """The pins and exclusions in force, of one user or of all, in the order in which they were made.

    With `limit` at most so many, those after the decision `after` (an `override_id`): pages for long lists.
    """
    where, values = "in_force = 1 AND override_id > %s", [after]
    return _read(Database.of(settings), where, values, user_id, limit)


def decisions_of(settings: Settings, user_id: str) -> list[Override]:
    """Every decision on the user, releases and replaced ones included, oldest first."""
    return _read(Database.of(settings), "override_id > %s", [0], user_id, None)


def _read(database: Database, where: str, values: list[Any], user_id: str | None, limit: int | None) -> list[Override]:
    if user_id is not None:
        where, values = f"{where} AND user_id = %s", [*values, user_id]
    if limit is not None:
        values = [*values, limit]
    statement = f"{_SELECT} WHERE {where} ORDER BY override_id" + (" LIMIT %s" if limit is not None else "")

    def read() -> list[Any]:
        with transaction(database) as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    return [_override(row) for row in retrying(read, "reading overrides")]


_SELECT = (
    "SELECT override_id, user_id, tag_id, kind, made_by, why, made_time, before_tags, after_tags"
    " FROM user_tag_overrides"
)


def _override(row: tuple[Any, ...]) -> Override:
    override_id, user_id, tag_id, kind, by, why, time, before, after = row
    tags = [None if text is None else tuple(json.loads(text)) for text in (before, after)]
    return Override(override_id, user_id, tag_id, kind, by, why, time.replace(tzinfo=UTC), *tags)


def _decide(
    settings: Settings, user_id: str, tag_id: int, kind: Kind, by: str, why: str, wait_seconds: int
) -> Override:
    from tag_platform.compute.planning import check_users

    check_users([user_id])
    by, why = _words("by", by, LONGEST_NAME), _words("why", why, LONGEST_REASON)
    database = Database.of(settings)
    catalog = load_catalog(database)
    _check_tag(catalog, tag_id, kind)
    shard = shard_of(user_id, settings.shards)

    def attempt() -> Override:
        # The transaction is on the connection that holds the lock: where that dies, both are gone.
        with shard_locks(database, [shard], settings.shards, wait_seconds) as locks:
            with locks.connection.cursor() as cursor:
                decided = _write(cursor, catalog, user_id, tag_id, kind, by, why)
            locks.connection.commit()
            return decided

    return retrying(attempt, "writing an override")


def _write(cursor: Cursor, catalog: Catalog, user_id: str, tag_id: int, kind: Kind, by: str, why: str) -> Override:
    from tag_platform.compute.stored_tags import DetailsText, parse_tag_ids, tag_ids_text
    from tag_platform.compute.upsert import UPSERT

    cursor.execute(
        f"{_SELECT} WHERE user_id = %s AND tag_id = %s ORDER BY override_id DESC LIMIT 1 FOR UPDATE", (user_id, tag_id)
    )
    row = cursor.fetchone()
    last = _override(row) if row else None
    if last and (last.kind, last.by, last.why) == (kind, by, why):
        return last  # asked again, perhaps since the answer was lost
    current = None if last is None or last.kind == "release" else last
    if kind == "release" and current is None:
        raise BadInput(f"Tag {tag_id} is neither pinned nor excluded for this user; there is nothing to release.")
    cursor.execute("SELECT CAST(tag_ids AS CHAR) FROM user_tags WHERE user_id = %s FOR UPDATE", (user_id,))
    stored = cursor.fetchone()
    parsed = parse_tag_ids(stored[0]) if stored else None
    if stored and parsed is None:
        raise TagPlatformError(
            "user_tags: this user's row holds tag_ids that are no list of whole numbers; correct it."
        )
    before = None if parsed is None else parsed[0]
    after = tags_after(before, tag_id, kind, current, tag_id in catalog.manual_ids)
    if after is not None and after != before:
        details = DetailsText({tag.tag_id: tag.details for tag in catalog.tags})
        cursor.execute(UPSERT, (user_id, tag_ids_text(after), details(after)))
    if current:
        cursor.execute("UPDATE user_tag_overrides SET in_force = NULL WHERE override_id = %s", (current.override_id,))
    texts = [None if tags is None else tag_ids_text(tags) for tags in (before, after)]
    cursor.execute(
        "INSERT INTO user_tag_overrides (user_id, tag_id, kind, in_force, made_by, why, before_tags, after_tags)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (user_id, tag_id, kind, None if kind == "release" else 1, by, why, *texts),
    )
    cursor.execute(f"{_SELECT} WHERE override_id = %s", (cursor.lastrowid,))
    return _override(cursor.fetchone() or ())


def tags_after(
    before: list[int] | None, tag_id: int, kind: Kind, current: Override | None, manual: bool
) -> list[int] | None:
    """The user's tags after the decision; None stays None (no row) unless a tag is given."""
    if kind == "pin":
        return sorted({*(before or ()), tag_id})
    takes = kind == "exclude" or (manual and current is not None and current.kind == "pin")
    return [tag for tag in before if tag != tag_id] if before is not None and takes else before


def _words(name: str, value: str, longest: int) -> str:
    value = value.strip()
    if not 1 <= len(value) <= longest:
        raise BadInput(f"{name} holds {len(value):,} characters; 1 to {longest:,} are needed.")
    return value


def _check_tag(catalog: Catalog, tag_id: int, kind: Kind) -> None:
    """A release is always possible: of a tag that was retired or removed since, too."""
    if kind == "release":
        return
    if tag_id not in catalog.by_id:
        known = ", ".join(str(tag.tag_id) for tag in catalog.tags if tag.is_active) or "none"
        raise BadInput(f"Tag {tag_id} is unknown. Tags: {known}.")
    if tag_id in catalog.retired_ids:
        raise BadInput(f"Tag {tag_id} is retired: no user can have it. Set it active first.")
