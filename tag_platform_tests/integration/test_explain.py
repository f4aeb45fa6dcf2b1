"""`tag-platform explain`: the user's rows come from the latest snapshots, whatever engine wrote them."""

from __future__ import annotations

import json
from datetime import date

import pytest
from click.testing import CliRunner

from tag_platform.cli import cli
from tag_platform.errors import BadInput
from tag_platform.explaining import UnknownUser, explain_user
from tag_platform.settings import Settings
from tag_platform_tests.platform import TODAY, query, run, tags_of, write_people, write_raw

pytestmark = pytest.mark.integration
USERS = [f"u{number:02d}" for number in range(20)]


@pytest.fixture(scope="module")
def people(module_settings: Settings) -> Settings:
    """Twenty users who trade 0 … 19 times; u03 is not verified; `late` has no row but in the basic table."""
    write_people(
        module_settings,
        USERS,
        trade_count_30d=list(range(20)),
        user_level=["VIP2"] * 20,
        kyc_status=["pending" if user == "u03" else "verified" for user in USERS],
        risk_score=["x" if user == "u03" else "10" for user in USERS],
        registration_date=[date(2026, 11, 1)] * 20,
    )
    write_raw(module_settings, "user_basic_info", {"user_id": ["late"], "kyc_status": ["verified"]}, part=1)
    run(module_settings)
    return module_settings


@pytest.mark.usefixtures("people")
def test_what_support_reads() -> None:
    """The text names verdict, tree, the user's values and what is missing; exit 0."""
    done = CliRunner().invoke(cli, ["explain", "u08", "--as-of", TODAY.isoformat()])
    assert done.exit_code == 0, done.output
    assert "✗ tag 2 活跃交易者 (行为分析): FALSE" in done.output
    assert "FALSE    trade_count_30d is above 10   [trade_count_30d = 8]" in done.output
    assert "→ trade_count_30d is 8, more than 10 is needed: 3 short" in done.output
    assert "✓ tag 5 VIP客户 (价值管理): TRUE" in done.output
    assert f"user_basic_info of {TODAY}" in done.output


def test_answers_are_those_of_the_run(people: Settings) -> None:
    """For every user the tags whose rule is TRUE are the ones that the run stored."""
    stored = tags_of(people)
    for user in [*USERS[::4], "late"]:
        explained = explain_user(user, None, people, TODAY)
        assert [tag["tag_id"] for tag in explained if tag["truth"] == "TRUE"] == stored.get(user, [])


def test_missing_row_and_text_that_is_no_number(people: Settings) -> None:
    """A table without the user, and a value that does not parse, are told apart."""
    [activity] = explain_user("late", [2], people, TODAY)
    assert activity["truth"] == "UNKNOWN"
    assert activity["missing"] == ["trade_count_30d is not known: the user is not in user_activity_summary"]
    [risk] = explain_user("u03", [3], people, TODAY)
    assert risk["missing"] == ['risk_score is "x", which is no number and counts as NULL']
    assert risk["tree"]["members"][0]["values"] == {"user_basic_info.risk_score": "x"}


@pytest.mark.usefixtures("people")
def test_json_for_scripts() -> None:
    """`--json` holds the chosen tags alone, with the tree."""
    done = CliRunner().invoke(cli, ["explain", "u03", "--tag", "5", "--json"])
    answer = json.loads(done.output)
    assert answer["user_id"] == "u03"
    [tag] = answer["tags"]
    assert tag["truth"] == tag["tree"]["truth"] == "FALSE"
    assert tag["missing"] == ['kyc_status is "pending", "verified" is needed']


def test_unknown_user_and_tag(people: Settings) -> None:
    """Who is in no source table, and a tag that cannot be computed, are refused with the reason."""
    with pytest.raises(UnknownUser, match=r"nobody is in none of the source tables \(user_basic_info, "):
        explain_user("nobody", None, people)
    with pytest.raises(BadInput, match="unknown: 99"):
        explain_user("u03", [99], people)


def test_broken_rule_is_an_answer(people: Settings) -> None:
    """A broken rule says why in its own entry, and all other tags are explained."""
    [(before,)] = query(people, "SELECT rule_conditions FROM tag_rules WHERE tag_id = 7")
    query(people, 'UPDATE tag_rules SET rule_conditions = \'{"logic": "AND"}\' WHERE tag_id = 7')
    try:
        explained = {tag["tag_id"]: tag for tag in explain_user("u08", None, people, TODAY)}
    finally:
        query(people, "UPDATE tag_rules SET rule_conditions = %s WHERE tag_id = 7", (before,))
    assert "conditions" in explained[7]["error"]
    assert len(explained) == 8
    assert explained[2]["truth"] == "FALSE"
