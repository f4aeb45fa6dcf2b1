"""Manual tags, pins and exclusions on a real database and through whole runs."""

import json
import threading
from typing import Any

import pytest
from click.testing import CliRunner

from tag_platform import overrides
from tag_platform.cli import cli
from tag_platform.cli.history import user_history
from tag_platform.compute.locks import LockBusy, shard_locks
from tag_platform.errors import BadInput
from tag_platform.mysql import Database, transaction
from tag_platform.overrides import exclude, list_overrides, pin, release
from tag_platform.settings import Settings
from tag_platform.shards import shard_of
from tag_platform_tests.platform import query, run, tags_of, user_tags, write_people

pytestmark = [pytest.mark.integration, pytest.mark.engine]
DATABASES = "both"
USERS = [f"u{n:02d}" for n in range(20)]
MANUAL = 50


@pytest.fixture(scope="module")
def platform(module_settings: Settings) -> Settings:
    """Twenty users, the first ten of them rich (tag 1) and all of them young (tag 7); tag 50 is manual."""
    execute(
        module_settings,
        "INSERT INTO tag_definition (tag_id, tag_name, tag_category, is_manual) VALUES (%s, '贵宾', '人工', TRUE)",
        MANUAL,
    )
    people(module_settings, rich=10)
    run(module_settings)
    return module_settings


def execute(settings: Settings, statement: str, *values: Any) -> None:
    with transaction(Database.of(settings)) as cursor:
        cursor.execute(statement, values)


def people(settings: Settings, rich: int) -> None:
    values = [200_000.0 if n < rich else 5.0 for n in range(len(USERS))]
    write_people(settings, USERS, total_asset_value=values, age=[25] * len(USERS))


def command(*arguments: str) -> Any:
    result = CliRunner().invoke(
        cli, ["--log-level", "ERROR", "tags", *arguments, "--json"], catch_exceptions=False, standalone_mode=False
    )
    return json.loads(result.stdout)


def test_pins_and_exclusions_apply_at_once_and_survive_runs(platform: Settings) -> None:
    """What a person decided holds against every rule: a pin where it says no, an exclusion where it says yes, and a
    manual tag, of which no run knows anything. Details and time stamps follow the row."""
    created = user_tags(platform)[USERS[0]][2]
    assert command("exclude", USERS[0], "1", "--why", "asked for it", "--by", "ann")["after"] == [7]
    assert command("pin", USERS[15], "1", "--why", "known to us")["after"] == [1, 7]
    assert command("pin", USERS[15], str(MANUAL), "--why", "met in person")["after"] == [1, 7, MANUAL]
    assert command("pin", "nobody-yet", str(MANUAL), "--why", "invited")["after"] == [MANUAL]
    found = user_tags(platform)
    assert found[USERS[0]][2] == created
    assert json.loads(found[USERS[15]][1])[str(MANUAL)] == {"tag_name": "贵宾", "tag_category": "人工"}
    expected = tags_of(platform)
    for request in ({}, {"reconcile": True}, {"user_ids": [USERS[0], USERS[15], "nobody-yet"]}):
        people(platform, rich=9 if request else 10)
        run(platform, **request)
        assert {user: tags_of(platform)[user] for user in (USERS[0], USERS[15], "nobody-yet")} == {
            user: expected[user] for user in (USERS[0], USERS[15], "nobody-yet")
        }
    listed = command("overrides", "--user", USERS[0])
    assert [(d["tag_id"], d["kind"], d["by"], d["why"]) for d in listed] == [(1, "exclude", "ann", "asked for it")]
    last = user_history(USERS[0], platform)[-1]
    assert (last["left"], last["override"]["by"]) == ([1], "ann")


def test_a_row_that_others_broke_gets_its_pins_back(platform: Settings) -> None:
    """Every merge puts the decisions over the table again, also for tags that it does not own."""
    pin(platform, USERS[16], MANUAL, "ann", "a guest")
    execute(platform, "DELETE FROM user_tags WHERE user_id = %s", USERS[16])
    run(platform, tag_ids=[7])
    assert tags_of(platform)[USERS[16]] == [7, MANUAL]


def test_released_tags_follow_the_rule_again(platform: Settings) -> None:
    """A computed tag stays as it is until a run decides; a manual one, which no run decides, goes at once."""
    pin(platform, USERS[17], 1, "ann", "for now")
    pin(platform, USERS[17], MANUAL, "ann", "for now")
    assert release(platform, USERS[17], MANUAL, "bob", "over").after == (1, 7)
    assert release(platform, USERS[17], 1, "bob", "over").after == (1, 7)
    run(platform)
    assert tags_of(platform)[USERS[17]] == [7]
    with pytest.raises(BadInput, match="nothing to release"):
        release(platform, USERS[17], 1, "bob", "again, for another reason")


def test_a_retired_tag_leaves_its_pins_too_and_comes_back_with_them(platform: Settings) -> None:
    """A retired tag is nobody's; set active again, it is theirs for whom it was pinned."""
    pin(platform, USERS[18], MANUAL, "ann", "a guest")
    execute(platform, "UPDATE tag_definition SET is_active = FALSE WHERE tag_id = %s", MANUAL)
    try:
        run(platform)
        assert not [user for user, tags in tags_of(platform).items() if MANUAL in tags]
        with pytest.raises(BadInput, match="is retired"):
            pin(platform, USERS[19], MANUAL, "ann", "a guest")
    finally:
        execute(platform, "UPDATE tag_definition SET is_active = TRUE WHERE tag_id = %s", MANUAL)
    run(platform)
    assert tags_of(platform)[USERS[18]] == [7, MANUAL]


def test_a_manual_tag_is_neither_computed_nor_taken(platform: Settings) -> None:
    """Users who had a tag before it became manual keep it, whatever its rule would say now."""
    execute(platform, "UPDATE tag_definition SET is_manual = TRUE WHERE tag_id = 7")
    try:
        write_people(platform, USERS, age=[80] * len(USERS))
        run(platform)
        assert all(7 in tags_of(platform)[user] for user in USERS)
        with pytest.raises(BadInput, match="manual"):
            run(platform, tag_ids=[7])
    finally:
        execute(platform, "UPDATE tag_definition SET is_manual = FALSE WHERE tag_id = 7")
        people(platform, rich=10)
        run(platform)


def test_undo_leaves_alone_what_a_person_decided_since(platform: Settings) -> None:
    """A pin counts even where it changed nothing: the user had the tag from the run that is undone."""
    people(platform, rich=12)
    given = run(platform)["run_id"]
    pin(platform, USERS[11], 1, "ann", "stays")
    result = CliRunner().invoke(cli, ["--log-level", "ERROR", "undo", given, "--json"], catch_exceptions=False)
    undone = json.loads(result.stdout)
    assert undone["left_alone"] == {"1": 1}
    assert 1 in tags_of(platform)[USERS[11]]
    assert 1 not in tags_of(platform)[USERS[10]]


def test_the_same_decision_twice_is_one(platform: Settings) -> None:
    """A caller that lost the answer asks again; another decision replaces the one in force and keeps it on record."""
    first = pin(platform, USERS[3], 2, "ann", "trades by phone")
    assert pin(platform, USERS[3], 2, "ann", "trades by phone") == first
    second = exclude(platform, USERS[3], 2, "bob", "no longer")
    assert [d.override_id for d in list_overrides(platform, USERS[3])] == [second.override_id]
    assert [d.kind for d in overrides.decisions_of(platform, USERS[3])] == ["pin", "exclude"]
    assert release(platform, USERS[3], 2, "bob", "done") == release(platform, USERS[3], 2, "bob", "done")
    counted = query(platform, "SELECT COUNT(*) FROM user_tag_overrides WHERE user_id = %s", [USERS[3]])
    assert counted == [(3,)]


def test_decisions_at_once_on_one_user_are_all_kept(platform: Settings) -> None:
    """Two people who pin different tags of one user must not undo each other."""
    tags = [2, 3, 4, 5, 6, 8]
    threads = [threading.Thread(target=pin, args=(platform, USERS[5], tag, "ann", "all of them")) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tags_of(platform)[USERS[5]] == [1, *tags[:-1], 7, 8]


def test_a_decision_waits_for_a_merge_only_so_long(platform: Settings) -> None:
    """A request must end in bounded time while a long merge holds the user's shard."""
    shard = shard_of(USERS[6], platform.shards)
    with (
        shard_locks(Database.of(platform), [shard], platform.shards),
        pytest.raises(LockBusy, match="nothing was written"),
    ):
        pin(platform, USERS[6], 2, "ann", "soon", wait_seconds=1)
    assert list_overrides(platform, USERS[6]) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("u01", 999, "ann", "x"), "Tag 999 is unknown"),
        (("u01 ", 1, "ann", "x"), "no usable user id"),
        (("u01", 1, " ", "x"), "by holds 0"),
        (("u01", 1, "ann", "x" * 1001), "why holds 1,001"),
    ],
)
def test_bad_decisions_are_refused(platform: Settings, given: tuple[str, int, str, str], words: str) -> None:
    """Whole and before anything is written."""
    with pytest.raises(BadInput, match=words):
        pin(platform, *given)
