"""What becomes of stored tags when rules, definitions and choices change."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tag_platform.errors import BadInput
from tag_platform.settings import Settings
from tag_platform_tests.platform import query, run, tags_of, user_tags, write_people, write_raw

pytestmark = pytest.mark.integration
USERS = [f"u{number:03d}" for number in range(60)]


@pytest.fixture(scope="module")
def people(module_settings: Settings) -> Settings:
    """Sixty users aged 0 … 59 with 1,000 … 60,000 in cash and 5,000 … 300,000 in assets."""
    write_people(
        module_settings,
        USERS,
        age=list(range(60)),
        cash_balance=[1000.0 * (n + 1) for n in range(60)],
        total_asset_value=[5000.0 * (n + 1) for n in range(60)],
    )
    return module_settings


@pytest.fixture
def first(people: Settings) -> Iterator[Settings]:
    """All tags computed with the shipped rules, which are put back afterwards."""
    rules = query(people, "SELECT rule_id, rule_conditions, is_active FROM tag_rules")
    definitions = query(people, "SELECT tag_id, tag_name, is_active FROM tag_definition")
    run(people)
    yield people
    for rule_id, conditions, active in rules:
        query(
            people,
            "UPDATE tag_rules SET rule_conditions = %s, is_active = %s WHERE rule_id = %s",
            (conditions, active, rule_id),
        )
    for tag_id, name, active in definitions:
        query(
            people, "UPDATE tag_definition SET tag_name = %s, is_active = %s WHERE tag_id = %s", (name, active, tag_id)
        )


def set_rule(settings: Settings, tag_id: int, **leaf: object) -> None:
    rule = json.dumps({"logic": "AND", "conditions": [leaf]})
    query(settings, "UPDATE tag_rules SET rule_conditions = %s WHERE tag_id = %s", (rule, tag_id))


def having(settings: Settings, tag_id: int) -> set[str]:
    return {user for user, tags in tags_of(settings).items() if tag_id in tags}


def test_narrowed_rule_takes_the_tag_from_those_who_no_longer_match(first: Settings) -> None:
    """Exactly the users outside the narrower rule lose the tag; all else stays, time stamps included."""
    before = user_tags(first)
    assert having(first, 7) == set(USERS[18:31])
    set_rule(first, 7, field="age", operator="in_range", value=[18, 25], type="number")
    outcome = run(first, tag_ids=[7])
    after = user_tags(first)
    assert having(first, 7) == set(USERS[18:26])
    assert outcome["user_tags"]["updated"] == 5
    assert {user for user in after if after[user] != before[user]} == set(USERS[26:31])
    assert all(after[user][2] == before[user][2] for user in after), "created_time moved"


def test_some_tags_leave_all_others_as_they_were(first: Settings) -> None:
    """A run of tags 1 and 3 does not touch tag 6, even where its rule would now say otherwise."""
    before = having(first, 6)
    set_rule(first, 6, field="cash_balance", operator=">=", value=1, type="number")
    run(first, tag_ids=[1, 3])
    assert having(first, 6) == before


def test_some_users_only(first: Settings) -> None:
    """A run for two users changes these two and nobody else."""
    set_rule(first, 6, field="cash_balance", operator=">=", value=1, type="number")
    before = having(first, 6)
    outcome = run(first, tag_ids=[6], user_ids=["u000", "u001"])
    assert outcome["user_tags"]["inserted"] + outcome["user_tags"]["updated"] == 2
    assert having(first, 6) == before | {"u000", "u001"}


def test_user_without_any_tag_keeps_an_empty_row(first: Settings) -> None:
    """Who matches nothing any more keeps the row, with no tags."""
    user = next(user for user, tags in tags_of(first).items() if tags == [7])
    set_rule(first, 7, field="age", operator=">", value=200, type="number")
    run(first, tag_ids=[7])
    assert user_tags(first)[user][:2] == ("[]", "{}")


def test_retired_tag_leaves_and_comes_back(first: Settings) -> None:
    """A definition set inactive leaves its users at the next merge; active again, it returns."""
    before = having(first, 1)
    query(first, "UPDATE tag_definition SET is_active = 0 WHERE tag_id = 1")
    run(first)
    assert having(first, 1) == set()
    query(first, "UPDATE tag_definition SET is_active = 1 WHERE tag_id = 1")
    run(first)
    assert having(first, 1) == before


def test_renamed_tag_updates_the_details(first: Settings) -> None:
    """A new name reaches the details of exactly the users who have the tag."""
    before = user_tags(first)
    query(first, "UPDATE tag_definition SET tag_name = 'Wohlhabend \"1\" \\\\ %s' WHERE tag_id = 1")
    run(first)
    after = user_tags(first)
    changed = {user for user in after if after[user][1] != before[user][1]}
    assert changed == having(first, 1) != set()
    assert all(json.loads(after[user][1])["1"]["tag_name"] == 'Wohlhabend "1" \\ %s' for user in changed)
    assert run(first)["user_tags"]["updated"] == 0


def test_broken_rule_stops_nobody_else(first: Settings) -> None:
    """One bad rule: its tag keeps what users have, the run names it and why, all others are computed."""
    before = having(first, 7)
    set_rule(first, 7, field="agee", operator=">", value=1, type="number")
    set_rule(first, 6, field="cash_balance", operator=">=", value=1, type="number")
    outcome = run(first)
    assert set(outcome["broken"]) == {"7"}
    assert "$.conditions[0]" in outcome["broken"]["7"]
    assert having(first, 7) == before
    assert having(first, 6) == set(USERS)


def test_broken_rule_is_a_failed_check(first: Settings) -> None:
    """The tag's check `rule_valid` fails and says why and what that means for users; the checks of all others pass,
    also where the rule was broken by another tag that it refers to."""
    broken = {"logic": "AND", "conditions": [{"field": "agee", "operator": ">", "value": 1}]}
    refers = {"logic": "AND", "conditions": [{"tag_id": 7, "operator": "has_tag"}]}
    for tag_id, rule in ((7, broken), (8, refers)):
        query(first, "UPDATE tag_rules SET rule_conditions = %s WHERE tag_id = %s", (json.dumps(rule), tag_id))
    before = having(first, 8)
    run(first)
    assert having(first, 8) == before
    checks = rule_checks()
    assert [tag_id for tag_id, (passed, _) in checks.items() if not passed] == [7, 8]
    assert "users keep this tag as they have it. $.conditions[0].field: unknown field" in str(checks[7][1])
    assert "the rule of tag 7 is invalid (tag 8 → tag 7)" in str(checks[8][1])


def rule_checks() -> dict[int, tuple[bool, str | None]]:
    """Of each tag the last evaluation of `rule_valid`: whether it passed, and what it says."""
    from dagster import AssetCheckKey, AssetKey, DagsterInstance

    found = {}
    with DagsterInstance.get() as instance:
        for tag_id in range(1, 9):
            key = AssetCheckKey(AssetKey(["tag", f"tag_{tag_id}"]), "rule_valid")
            record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
            assert record.event is not None
            evaluation = record.event.asset_check_evaluation
            assert evaluation is not None
            found[tag_id] = (evaluation.passed, evaluation.description)
    return found


def test_check_of_all_rules(first: Settings) -> None:
    """`rules check` without a file looks at every active tag: errors, and tags whose users are among another's; with a
    file and `--catalog` at one rule beside them, which may then refer to tags."""
    from click.testing import CliRunner

    from tag_platform.cli import cli

    set_rule(first, 7, field="agee", operator=">", value=1, type="number")
    set_rule(first, 8, field="cash_balance", operator=">=", value=60000, type="number")
    done = CliRunner().invoke(cli, ["rules", "check", "--json"])
    assert done.exit_code == 2
    tags = {tag["tag_id"]: tag for tag in json.loads(done.output)["tags"]}
    assert [tag_id for tag_id, tag in tags.items() if not tag["valid"]] == [7]
    assert tags[7]["errors"][0]["path"] == "$.conditions[0].field"
    assert [w["message"][:46] for w in tags[8]["warnings"]] == ["every user of this tag has tag 6 as well: cash"]

    rule = json.dumps({"logic": "AND", "conditions": [{"tag_id": 6, "operator": "has_tag"}]})
    alone = CliRunner().invoke(cli, ["rules", "check", "-"], input=rule)
    assert alone.exit_code == 2
    beside = CliRunner().invoke(cli, ["rules", "check", "-", "--catalog", "--json"], input=rule)
    assert beside.exit_code == 0
    messages = [warning["message"] for warning in json.loads(beside.output)["warnings"]]
    assert any(message.startswith("every user of this tag has tag 6") for message in messages)
    circle = CliRunner().invoke(cli, ["rules", "check", "-", "--tag", "6"], input=rule)
    assert circle.exit_code == 2
    assert "in a circle: tag 6 → tag 6" in circle.output


def test_unknown_and_retired_tags_are_refused(first: Settings) -> None:
    """A tag id that cannot be computed is refused before anything starts, with the ids that can."""
    with pytest.raises(BadInput, match=r"unknown: 99.*Active tags: 1, 2"):
        run(first, tag_ids=[1, 99])


def test_somebody_elses_tags_survive(first: Settings) -> None:
    """Ids in a row that no definition knows are nobody's to remove."""
    query(first, "UPDATE user_tags SET tag_ids = '[7, 4711]' WHERE user_id = 'u020'")
    run(first)
    assert tags_of(first)["u020"] == sorted({*tags_of(first)["u020"], 7, 4711})
    query(first, "UPDATE user_tags SET tag_ids = '[7]' WHERE user_id = 'u020'")


def test_fourth_table_by_configuration_alone(
    first: Settings, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table added to the catalog file can be used in a rule at once."""
    from pathlib import Path

    from tag_platform.settings import load_settings

    catalog = Path(str(tmp_path)) / "sources.yaml"
    catalog.write_text(first.sources.read_text() + "  loyalty:\n    path: loyalty\n    partition: dt\n")
    monkeypatch.setenv("TAG_PLATFORM_SOURCES", str(catalog))
    write_raw(first, "loyalty", {"user_id": ["u005", "u006"], "points": [500, 5]})
    set_rule(first, 8, field="loyalty.points", operator=">=", value=100, type="number")
    run(load_settings(), tag_ids=[8])
    assert having(first, 8) == {"u005"}
