"""Merges against a real server, with somebody else at work on the same rows."""

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tag_platform.compute import apply_changes, upsert
from tag_platform.compute import merge_tags as merging
from tag_platform.compute.account import AccountMismatch
from tag_platform.compute.engine import session
from tag_platform.compute.ledger import merges_of
from tag_platform.compute.locks import LockLost, shard_locks
from tag_platform.compute.plan import ComputedTags, MergeShards, MergeTags
from tag_platform.compute.snapshots import shard_name, write_by_shard
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, connect, transaction
from tag_platform.settings import Settings
from tag_platform.shards import shard_key, shard_of

pytestmark = [pytest.mark.integration, pytest.mark.engine]
DATABASES = "both"
SHARDS = 2
USERS = [f"user_{n}" for n in range(40)]
DETAILS = {n: {"tag_name": f"tag {n}", "tag_category": "c"} for n in range(1, 10)}


@pytest.fixture
def settings(module_settings: Settings) -> Settings:
    """The module's platform, without a row of user tags, and a lake of the test's own."""
    with transaction(Database.of(module_settings)) as cursor:
        cursor.execute("DELETE FROM user_tags")
        cursor.execute("DELETE FROM tag_merges")
    return module_settings.model_copy(update={"lake_given": f"{module_settings.lake}/{uuid.uuid4().hex[:8]}"})


@pytest.fixture
def database(settings: Settings) -> Database:
    return Database.of(settings)


@pytest.fixture(scope="module")
def spark(module_settings: Settings) -> Iterator[SparkSession]:
    with session(module_settings) as started:
        yield started


def plan_of(
    settings: Settings, spark: SparkSession, name: str, tags: dict[str, list[int]], owned: list[int]
) -> MergeTags:
    """A plan that merges `tags` (user → ids), as computed for the owned tags."""
    path = f"{settings.lake}/computed/{name}"
    rows = spark.createDataFrame(list(tags.items()), "user_id string, tag_ids array<int>")
    write_by_shard(rows.withColumn("shard", shard_name(rows["user_id"], SHARDS)), path)
    present = sorted({shard_of(user, SHARDS) for user in tags})
    directories = tuple(f"{path}/shard={shard_key(shard)}" for shard in present)
    computed = ComputedTags(directories=directories, tag_ids=tuple(owned))
    return MergeTags(
        groups=(MergeShards(shards=tuple(range(SHARDS)), computed=(computed,)),),
        details=DETAILS,
        shard_count=SHARDS,
        output=f"{settings.lake}/merged/{name}",
        run_id=name,
    )


def stored(database: Database) -> dict[str, str]:
    with transaction(database) as cursor:
        cursor.execute("SELECT user_id, CAST(tag_ids AS CHAR) FROM user_tags")
        return dict(cursor.fetchall())


def execute(database: Database, statement: str, *values: Any) -> None:
    with transaction(database) as cursor:
        cursor.execute(statement, values)


def test_account_comes_out_even_and_the_ledger_leads_to_the_changes(
    settings: Settings, database: Database, spark: SparkSession
) -> None:
    """The account is what a run is trusted by, and the ledger is how its before-images are found again."""
    merging.merge_tags(plan_of(settings, spark, "first", {user: [1, 2] for user in USERS}, [1, 2]), spark, database)
    second = plan_of(settings, spark, "second", {user: [2, 3] for user in USERS[:30]}, [1, 2, 3])
    report = merging.merge_tags(second, spark, database)
    totals = {
        tag_id: (sum(report.before.get(tag_id, {}).values()), sum(n.values())) for tag_id, n in report.after.items()
    }
    assert totals == {0: (40, 40), 2: (40, 30), 3: (0, 30)}
    assert {tag_id: sum(n.values()) for tag_id, n in report.left.items()} == {1: 40, 2: 10}
    assert not report.disturbed
    entry = merges_of(database, "second")[0]
    assert entry.path == report.path
    assert entry.finished is not None


def test_a_persons_change_in_between_is_kept(
    settings: Settings, database: Database, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that somebody changes between the reading and the writing are merged anew, in a row that the run writes and
    in one that it does not touch."""
    same = {user: [1] for user in USERS}
    merging.merge_tags(plan_of(settings, spark, "first", same, [1]), spark, database)
    write = upsert.write_changes

    def change_first(*args: Any) -> Any:
        execute(database, "UPDATE user_tags SET tag_ids = '[1, 7]' WHERE user_id IN (%s, %s)", USERS[0], USERS[1])
        execute(database, "INSERT IGNORE INTO user_tags (user_id, tag_ids) VALUES ('new', '[8]')")
        return write(*args)

    monkeypatch.setattr(apply_changes, "write_changes", change_first)
    changed = {**same, USERS[0]: [1, 2], "new": [2]}
    report = merging.merge_tags(plan_of(settings, spark, "second", changed, [1, 2]), spark, database)
    found = stored(database)
    assert found[USERS[0]] == "[1, 2, 7]"
    assert found[USERS[1]] == "[1, 7]"
    assert found["new"] == "[2, 8]"
    assert report.disturbed  # the untouched row made the first account uneven, and the run says so


def test_an_account_that_never_comes_out_even_fails_the_run(
    settings: Settings, database: Database, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows lost on their way must not pass for written."""
    write = upsert.write_changes

    def lose_one(*args: Any) -> Any:
        written = write(*args)
        execute(database, "DELETE FROM user_tags ORDER BY id LIMIT 1")
        return written

    monkeypatch.setattr(apply_changes, "write_changes", lose_one)
    with pytest.raises(AccountMismatch, match=r"counted 19|counted 2\d"):
        merging.merge_tags(plan_of(settings, spark, "first", {user: [1] for user in USERS}, [1]), spark, database)


def test_two_writers_of_the_same_new_users_lose_nothing(
    settings: Settings, database: Database, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even without the locks the compare in the write keeps both: two plans insert the same users at once."""
    plans = [
        plan_of(settings, spark, "one", {user: [1] for user in USERS}, [1]),
        plan_of(settings, spark, "two", {user: [2] for user in USERS}, [2]),
    ]
    meet = threading.Barrier(2, timeout=60)
    first_time = threading.local()
    write = upsert.write_changes

    def together(*args: Any) -> Any:
        if not getattr(first_time, "passed", False):
            first_time.passed = True
            meet.wait()
        return write(*args)

    monkeypatch.setattr(apply_changes, "write_changes", together)
    failures: list[BaseException] = []

    def merge(plan: MergeTags) -> None:
        try:
            merging.merge_tags(plan, spark, database)
        except BaseException as error:  # noqa: BLE001 (told below)
            failures.append(error)

    monkeypatch.setattr(apply_changes, "shard_locks", _NoLocks)
    threads = [threading.Thread(target=merge, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(stored(database).values()) == {"[1, 2]"}
    assert len(stored(database)) == len(USERS)


class _NoLocks:
    def __init__(self, *args: object) -> None: ...

    def __enter__(self) -> "_NoLocks":
        return self

    def __exit__(self, *args: object) -> None: ...

    def check(self) -> None: ...


def test_lock_waits_says_who_holds_it_and_is_free_when_its_owner_dies(database: Database) -> None:
    """A second merge waits for a bounded time; a killed owner does not block anybody."""
    with shard_locks(database, [0, 1], SHARDS) as held:
        with (
            pytest.raises(TagPlatformError, match=r"has been held by database connection \d+"),
            shard_locks(database, [1], SHARDS, wait_seconds=1),
        ):
            pytest.fail("two owners of one lock")
        with shard_locks(database, [0], 4):
            held.check()
        with connect(database) as killer, killer.cursor() as cursor:
            cursor.execute("SELECT IS_USED_LOCK(%s)", (held.names[0],))
            cursor.execute(f"KILL {int(cursor.fetchone()[0])}")
        with shard_locks(database, [0, 1], SHARDS, wait_seconds=5) as taken:
            taken.check()
            with pytest.raises(LockLost):
                held.check()
