"""The commands of the main path as a person types them, in processes of their own: output, exit codes, log lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tag_platform.settings import Settings
from tag_platform_tests.platform import TODAY, tags_of, user_tags, write_people

pytestmark = [pytest.mark.integration, pytest.mark.e2e]
SCRIPTS = Path(sys.executable).parent


def types(command: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPTS / command), *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def people(module_settings: Settings) -> Settings:
    write_people(module_settings, ["a", "b", "c"], age=[20, 50, None], cash_balance=[1.0, 60000.0, 70000.0])
    return module_settings


def test_run_twice(people: Settings) -> None:
    """The first run writes, says what it wrote and logs one JSON line a stage; the second one writes nothing."""
    first = types("tag-platform", "--log-format", "json", "run", "--as-of", TODAY.isoformat(), "--json")
    assert first.returncode == 0, first.stderr
    outcome = json.loads(first.stdout)
    assert outcome["user_tags"] == {"inserted": 3, "updated": 0, "unchanged": 0}
    assert {tag["tag_id"]: tag["hits"] for tag in outcome["tags"] if tag["hits"]} == {6: 2, 7: 1}
    assert outcome["stages"].keys() >= {"evaluate", "compare", "write"}
    stages = [json.loads(line)["message"] for line in first.stderr.splitlines() if line.startswith("{")]
    assert [line for line in stages if line.startswith("evaluate 8 tags: 3 rows")], stages
    before = user_tags(people)
    second = types("tag-platform", "run", "--as-of", TODAY.isoformat())
    assert second.returncode == 0, second.stderr
    assert "user_tags: 0 inserted, 0 updated, 3 unchanged" in second.stdout
    assert user_tags(people) == before


def test_plain_dagster_runs_the_job(people: Settings) -> None:
    """`dagster job execute` needs nothing but the variables that `tag-platform env` prints."""
    done = types("dagster", "job", "execute", "-m", "tag_platform", "-j", "tag_all")
    assert done.returncode == 0, done.stderr[-3000:]
    assert tags_of(people) == {"a": [7], "b": [6], "c": [6]}


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "words"),
    [
        (["--tags", "1,99"], {}, 2, "unknown: 99"),
        (["--tags", "one"], {}, 2, "cannot be read"),
        (["--shards", "3-9"], {}, 2, "3-9"),
        (["--as-of", "2026-02-30"], {}, 2, "2026-02-30"),
        (["--users", "a", "--shards", "0"], {}, 2, "exclude each other"),
        ([], {"MYSQL_PASSWORD": "wrong"}, 1, "user or password is wrong"),
        ([], {"S3_ENDPOINT": "http://127.0.0.1:9"}, 1, "Object store http://127.0.0.1:9: nothing answers there"),
        ([], {"TAG_PLATFORM_SOURCES": "/nowhere.yaml"}, 2, "/nowhere.yaml does not exist"),
        ([], {"TAG_PLATFORM_SHARDS": "7"}, 2, "power of two"),
    ],
)
def test_what_cannot_be_done(
    people: Settings, arguments: list[str], variables: dict[str, str], code: int, words: str
) -> None:
    """One clear sentence, exit code 1 or 2, no traceback, and `user_tags` as it was."""
    before = user_tags(people)
    done = types("tag-platform", "run", *arguments, **variables)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert user_tags(people) == before


@pytest.mark.usefixtures("settings")
def test_tables_of_an_older_version() -> None:
    """Before `init`, or after an upgrade without it, the answer is what to do, and `init` then does it."""
    before = types("tag-platform", "run")
    assert before.returncode == 1
    assert "`tag-platform init` brings them up to date" in before.stderr
    assert "Traceback" not in before.stderr
    assert types("tag-platform", "init").returncode == 0
    assert types("tag-platform", "tags", "list").returncode == 0
