"""What has to be true after every round: the table, every change on the way there, time stamps, ledger, locks."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow.dataset as ds

from tag_platform.compute.ledger import Merge, merges_after
from tag_platform.compute.locks import lock_name
from tag_platform.compute.stored_tags import DetailsText
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.lake.snapshots import snapshot_id
from tag_platform.mysql import Database, transaction
from tag_platform_tests.faults.servers import Ground
from tag_platform_tests.faults.world import FOREIGN, Table

Tags = frozenset[int]
Rows = dict[str, tuple[Tags, str, Any]]  # user → tags, details, created


@dataclass
class Findings:
    """What was wrong; empty lists are what is wanted. Each entry is a sentence."""

    rows: list[str] = field(default_factory=list)  # lost, or not what they must be
    times: list[str] = field(default_factory=list)
    account: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)

    def all(self) -> list[str]:
        return [*self.rows, *self.times, *self.account, *self.ledger, *self.locks]


def rows_now(admin: Database) -> Rows:
    with transaction(admin) as cursor:
        cursor.execute("SELECT user_id, CAST(tag_ids AS CHAR), CAST(tag_details AS CHAR), created_time FROM user_tags")
        return {user: (frozenset(json.loads(tags)), details, made) for user, tags, details, made in cursor.fetchall()}


def last_recorded(admin: Database) -> int:
    with transaction(admin) as cursor:
        cursor.execute("SELECT COALESCE(MAX(n), 0) FROM recorded")
        return int(cursor.fetchone()[0])


def prove(
    ground: Ground,
    before: Rows,
    expected: Table,
    recorded_before: int,
    ledger_before: int,
    decided: set[str],
    ends: list[dict[str, Any]],
    details: dict[int, dict[str, str]],
    different_runs: int = 1,
) -> Findings:
    """Compares everything. `ends` are how the runs of the round ended, the plain retry last; `different_runs` of them
    were for different tags, so that one row may rightly change so many times."""
    found = Findings()
    now = rows_now(ground.admin)
    _rows(found, now, expected, details)
    merges = merges_after(ground.admin, ledger_before)
    changes = _recorded(ground.admin, recorded_before)
    _history(found, before, now, changes, decided, different_runs)
    well_ended = {end["run_id"] for end in ends if end["event"] == "done"}
    _ledger(found, ground, merges, changes, decided, well_ended)
    if ends[-1]["event"] != "done":
        found.rows.append(f"the plain retry ended with {ends[-1]}")
    elif ends[-1]["merge"] is not None:
        _account(found, ends[-1]["merge"], expected)
    for shard in range(ground.settings.shards):
        if not _becomes_free(ground, shard):
            found.locks.append(f"the lock of shard {shard} is still held")
    return found


def _rows(found: Findings, now: Rows, expected: Table, details: dict[int, dict[str, str]]) -> None:
    text = DetailsText(details)
    for user in sorted({*now, *expected}):
        tags = now[user][0] if user in now else None
        if tags != expected.get(user):
            found.rows.append(f"{user} has {_shown(tags)}, {_shown(expected.get(user))} is right")
        elif tags is not None and json.loads(now[user][1]) != json.loads(text(sorted(tags))):
            found.rows.append(f"{user} has other details than its tags: {now[user][1]}")


def _recorded(admin: Database, since: int) -> list[dict[str, Any]]:
    names = (
        "user_id, person, old_tags, new_tags, old_details, new_details, old_created, new_created, old_updated,"
        " new_updated, moment"
    )
    with transaction(admin) as cursor:
        cursor.execute(f"SELECT {names} FROM recorded WHERE n > %s ORDER BY n", (since,))
        columns = [name.strip() for name in names.split(",")]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        for name in ("old_tags", "new_tags"):
            row[name] = None if row[name] is None else frozenset(json.loads(row[name]))
    return rows


def _history(
    found: Findings, before: Rows, now: Rows, changes: list[dict[str, Any]], decided: set[str], different_runs: int
) -> None:
    """The recorded changes lead from what was to what is; time stamps follow them and nothing else."""
    at: dict[str, Tags | None] = {user: row[0] for user, row in before.items()}
    by_platform: Counter[str] = Counter()
    moves: Counter[tuple[str, int]] = Counter()
    for change in changes:
        user = change["user_id"]
        if at.get(user) != change["old_tags"]:
            found.rows.append(f"{user} went from {_shown(at.get(user))} to {_shown(change['old_tags'])} unseen")
        at[user] = change["new_tags"]
        if change["new_tags"] is None:
            found.rows.append(f"the row of {user} was deleted")
            continue
        content = change["old_tags"] != change["new_tags"] or change["old_details"] != change["new_details"]
        if change["old_created"] not in (None, change["new_created"]):
            found.times.append(f"created_time of {user} was moved")
        if change["person"] is None:
            by_platform[user] += content
            moves.update((user, tag) for tag in (change["old_tags"] or frozenset()) ^ change["new_tags"])
            if not content:
                found.times.append(f"updated_time of {user} was moved without a change")
            elif change["new_updated"] != change["moment"]:
                found.times.append(f"updated_time of {user} is not the time of the change")
    for user, times in by_platform.items():
        if times > different_runs + (user in decided):
            found.times.append(f"updated_time of {user} was moved {times} times for one change")
    found.rows += [
        f"tag {tag} of {user} went and came again" for (user, tag), n in moves.items() if n > 1 and user not in decided
    ]
    for user, row in before.items():
        if user in now and now[user][2] != row[2]:
            found.times.append(f"created_time of {user} is another one")
    found.rows += [f"{user} was changed unseen" for user in now if at.get(user) != now[user][0]]


def _ledger(
    found: Findings,
    ground: Ground,
    merges: list[Merge],
    changes: list[dict[str, Any]],
    decided: set[str],
    well_ended: set[str],
) -> None:
    """Every change that a run wrote is in a before-image that the ledger leads to, with the tags that moved."""
    images: dict[str, list[tuple[Tags, Tags]]] = {}
    for entry in merges:
        for directory in entry.directories(entry.shards, entry.shard_count):
            filesystem, path = open_filesystem(directory, ground.settings)
            table = ds.dataset(path, filesystem=filesystem, format="parquet").to_table(["user_id", "entered", "left"])
            for row in table.to_pylist():
                moved = frozenset(row["entered"] or ()), frozenset(row["left"] or ())
                images.setdefault(row["user_id"], []).append(moved)
    for entry in merges:
        if entry.run_id in well_ended and entry.finished is None:
            found.ledger.append(f"the merge {snapshot_id(entry.path)} of a run that ended well is not closed")
    for change in changes:
        user, new, old = change["user_id"], change["new_tags"] or frozenset(), change["old_tags"] or frozenset()
        if change["person"] is not None or user in decided or change["new_tags"] is None:
            continue
        moved = new - old - set(FOREIGN), old - new - set(FOREIGN)
        if not any((come - set(FOREIGN), go - set(FOREIGN)) == moved for come, go in images.get(user, [])):
            found.ledger.append(f"no before-image tells that {user} went from {_shown(old)} to {_shown(new)}")


def _account(found: Findings, report: dict[str, Any], expected: Table) -> None:
    totals = {int(tag): sum(by_shard.values()) for tag, by_shard in report["after"].items()}
    right = Counter(tag for tags in expected.values() for tag in tags)
    right[0] = len(expected)
    for tag in sorted({*totals, *right}):
        if totals.get(tag, 0) != right[tag]:
            found.account.append(f"the account says {totals.get(tag, 0)} for tag {tag}, {right[tag]} is right")


def _becomes_free(ground: Ground, shard: int) -> bool:
    settings = ground.settings
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with transaction(ground.admin) as cursor:
            cursor.execute("SELECT IS_FREE_LOCK(%s)", (lock_name(Database.of(settings), shard, settings.shards),))
            if cursor.fetchone()[0] == 1:
                return True
        time.sleep(0.05)
    return False


def _shown(tags: Tags | None) -> str:
    return "no row" if tags is None else str(sorted(tags))
