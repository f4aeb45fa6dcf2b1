"""Undo, dry run, gate and reconcile on the whole path: raw files to rows in MySQL."""

import hashlib
from typing import Any

import pytest
from click.testing import CliRunner

from tag_platform.cli import cli
from tag_platform.cli.history import user_history
from tag_platform.compute.ledger import all_merges
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.mysql import Database, transaction
from tag_platform.overrides import exclude
from tag_platform.settings import Settings
from tag_platform.shards import shard_of
from tag_platform_tests.platform import query, run, tags_of, write_people

pytestmark = [pytest.mark.integration, pytest.mark.engine]
DATABASES = "both"
USERS = [f"u{n:03d}" for n in range(60)]


def table_hash(settings: Settings) -> str:
    rows = query(settings, "SELECT user_id, CAST(tag_ids AS CHAR), CAST(tag_details AS CHAR) FROM user_tags")
    return hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()


def undo(run_id: str, *options: str) -> dict[str, Any]:
    import json

    result = CliRunner().invoke(
        cli, ["--log-level", "ERROR", "undo", run_id, "--json", *options], catch_exceptions=False
    )
    return dict(json.loads(result.stdout))


def execute(settings: Settings, statement: str, *values: Any) -> None:
    with transaction(Database.of(settings)) as cursor:
        cursor.execute(statement, values)


@pytest.fixture
def platform(module_settings: Settings) -> Settings:
    """Two runs: 50 users, of whom every second is rich; then 60, of whom the others are."""
    execute(module_settings, "DELETE FROM user_tags")
    people(module_settings, USERS[:50], rich=0)
    run(module_settings, allow_large_change=True)
    return module_settings


def people(settings: Settings, users: list[str], rich: int) -> None:
    values = [200_000.0 if n % 2 == rich else 5.0 for n in range(len(users))]
    write_people(settings, users, total_asset_value=values, age=[25] * len(users))


def test_undo_and_undo_of_undo_lead_back_to_the_same_table(platform: Settings) -> None:
    """The promise of the before-images: whatever a run did, new rows included, is put back exactly, and again."""
    first = table_hash(platform)
    people(platform, USERS, rich=1)
    second_run = run(platform)["run_id"]
    second = table_hash(platform)
    assert second != first
    undone = undo(second_run)
    assert (undone["updated"], undone["deleted"]) == (50, 10)
    assert table_hash(platform) == first
    again = undo(undone["run_id"])
    assert (again["updated"], again["inserted"]) == (50, 10)
    assert table_hash(platform) == second
    changes = user_history(USERS[0], platform)
    assert [(c["entered"], c["left"]) for c in changes[-3:]] == [([], [1]), ([1], []), ([], [1])]
    assert changes[-1]["undoes"] == undone["run_id"]


def test_undo_leaves_alone_what_a_later_run_changed(platform: Settings) -> None:
    """A tag that a later run gave or took is that run's business, and the undo says how many it passed over."""
    people(platform, USERS[:50], rich=1)
    second_run = run(platform)["run_id"]
    people(platform, USERS[:50], rich=0)
    run(platform, tag_ids=[1])
    third = table_hash(platform)
    undone = undo(second_run)
    assert undone["left_alone"] == {"1": 50}
    assert table_hash(platform) == third


@pytest.mark.usefixtures("platform")
def test_undo_of_an_unknown_run_is_bad_input() -> None:
    """A mistyped run id must not look like an undo that found nothing to do."""
    with pytest.raises(BadInput, match="changed nothing"):
        undo("no-such-run")


def test_dry_run_shows_the_change_and_leaves_no_trace(platform: Settings) -> None:
    """Neither the table, nor the ledger, nor what the next merge takes for computed may know of a dry run."""
    before, ledger = table_hash(platform), len(all_merges(Database.of(platform)))
    events = recorded()
    assert min(events) > 0
    execute(platform, "UPDATE tag_definition SET is_active = FALSE WHERE tag_id = 7")
    try:
        shown = run(platform, dry_run=True)
        assert recorded() == events
        assert [(c["tag_id"], c["before"], c["left"]) for c in shown["changes"] if c["left"]] == [(7, 50, 50)]
        assert table_hash(platform) == before
        assert len(all_merges(Database.of(platform))) == ledger
    finally:
        execute(platform, "UPDATE tag_definition SET is_active = TRUE WHERE tag_id = 7")
    assert run(platform)["user_tags"]["updated"] == 0


def recorded() -> tuple[int, int]:
    """Materializations of tags and merges, and evaluations of their checks: what tells other runs of a run."""
    from dagster import AssetCheckKey, DagsterInstance
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    with DagsterInstance.get() as instance:
        keys = [key for key in instance.all_asset_keys() if key.path[0] != "source"]
        checks = [AssetCheckKey(k, name) for k in keys for name in ("rule_valid", "has_users", "population_stable")]
        history = instance.event_log_storage.get_asset_check_execution_history
        done = (AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED)
        return (
            sum(len(instance.fetch_materializations(key, limit=1_000).records) for key in keys),
            sum(record.status in done for check in checks for record in history(check, limit=1_000)),
        )


@pytest.mark.usefixtures("platform")
def test_gate_stops_a_jump_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag that loses all of its users needs a person who says so; the message has the numbers."""
    monkeypatch.setenv("TAG_PLATFORM_GATE_MIN_USERS", "10")
    settings = Settings()
    before = table_hash(settings)
    people(settings, USERS[:50], rich=2)
    with pytest.raises(TagPlatformError, match="tag 1 would leave 25 of its 25 users"):
        run(settings)
    assert table_hash(settings) == before
    assert "tag 1 would leave 25 of its 25 users" in run(settings, dry_run=True)["gate"][0]
    assert run(settings, allow_large_change=True)["user_tags"]["updated"] == 25
    assert not [tags for tags in tags_of(settings).values() if 1 in tags]


@pytest.mark.usefixtures("platform")
def test_gate_stops_a_source_that_shrank_until_somebody_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a table would take every tag from the other half. It stays refused however often, and by whichever way, it
    is tried; what is compared with is what was accepted last, not what was refused."""
    monkeypatch.setenv("TAG_PLATFORM_GATE_MIN_USERS", "10")
    settings = Settings()
    before, ledger = table_hash(settings), len(all_merges(Database.of(settings)))
    people(settings, USERS[:30], rich=0)
    words = "has 30 rows, 50 when it was last accepted"
    assert words in " ".join(run(settings, dry_run=True)["gate"])
    for request in ({}, {}, {"user_ids": USERS[:2]}, {"tag_ids": [1]}):
        with pytest.raises(TagPlatformError, match=words):
            run(settings, **request)
    assert (table_hash(settings), len(all_merges(Database.of(settings)))) == (before, ledger)
    people(settings, USERS[:50], rich=0)
    assert run(settings)["user_tags"]["updated"] == 0
    people(settings, USERS[:30], rich=0)
    assert run(settings, allow_large_change=True)["user_tags"]["updated"] == 20
    assert run(settings)["gate"] == []


@pytest.mark.usefixtures("platform")
def test_gate_stops_a_retirement_that_takes_a_tag_from_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retirement is a change like any other: it is shown and needs a person; the definition may allow it."""
    monkeypatch.setenv("TAG_PLATFORM_GATE_MIN_USERS", "10")
    settings = Settings()
    execute(settings, "UPDATE tag_definition SET is_active = FALSE WHERE tag_id = 7")
    try:
        with pytest.raises(TagPlatformError, match="tag 7 would leave 50 of its 50 users"):
            run(settings)
        monkeypatch.setenv("TAG_PLATFORM_GATE_MAX_LOSING_SHARE", "1")
        execute(settings, "UPDATE tag_definition SET max_left_share = 1 WHERE tag_id = 7")
        assert run(Settings())["user_tags"]["updated"] == 50
    finally:
        execute(settings, "UPDATE tag_definition SET is_active = TRUE, max_left_share = NULL WHERE tag_id = 7")
    assert run(settings, allow_large_change=True)["user_tags"]["updated"] == 50


def test_reconcile_repairs_drift(platform: Settings) -> None:
    """What somebody broke by hand is brought back to what was computed, details included."""
    before = table_hash(platform)
    execute(platform, "UPDATE user_tags SET tag_ids = '[2]' WHERE user_id = %s", USERS[0])
    execute(platform, "UPDATE user_tags SET tag_details = '{}' WHERE user_id = %s", USERS[1])
    execute(platform, "DELETE FROM user_tags WHERE user_id = %s", USERS[2])
    outcome = run(platform, reconcile=True)
    assert sum(outcome["user_tags"][name] for name in ("inserted", "updated")) == 3
    assert table_hash(platform) == before


def check_table(settings: Settings) -> tuple[bool, str]:
    """The asset check `table_equals_lake`, as its job runs it."""
    from dagster import DagsterInstance

    from tag_platform.catalog.sources import load_sources
    from tag_platform.catalog.tags import load_catalog
    from tag_platform.defs.definitions import build_definitions

    built = build_definitions(load_catalog(Database.of(settings)), load_sources(settings.sources), settings)
    with DagsterInstance.get() as instance:
        result = built.resolve_job_def("check_table").execute_in_process(instance=instance)
    (check,) = result.get_asset_check_evaluations()
    return check.passed, check.description or ""


def test_the_check_finds_drift_and_reconcile_repairs_it(platform: Settings) -> None:
    """Whatever runs and people do by the platform's own ways, table and lake agree; what others do by hand is found by
    shard and tag, also where the numbers stay the same."""
    run(platform)
    passed, words = check_table(platform)
    assert passed, words
    people(platform, USERS[:50], rich=1)
    run(platform, user_ids=USERS[:10])
    exclude(platform, USERS[11], 1, "ann", "asked for it")
    undo(run(platform, tag_ids=[1])["run_id"])
    passed, words = check_table(platform)
    assert passed, words
    run(platform)
    assert check_table(platform)[0]
    before = table_hash(platform)
    shard = shard_of(USERS[20], platform.shards)
    other = next(user for user in USERS[21:50:2] if shard_of(user, platform.shards) == shard)
    tags = tags_of(platform)
    assert (1 in tags[USERS[20]], 1 in tags[other]) == (False, True)
    execute(platform, "UPDATE user_tags SET tag_ids = '[1, 7]' WHERE user_id = %s", USERS[20])
    execute(platform, "UPDATE user_tags SET tag_ids = '[7]' WHERE user_id = %s", other)
    passed, words = check_table(platform)
    assert not passed
    assert f"shard {shard:03d}, tag 1: " in words
    assert "(others)" in words
    assert words.count("shard") == 1
    outcome = run(platform, reconcile=True)
    assert outcome["user_tags"]["updated"] == 2
    assert table_hash(platform) == before
    assert check_table(platform)[0]
