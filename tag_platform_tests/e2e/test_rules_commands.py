"""`tag-platform rules` as a user calls it: a process, files in, lines and exit codes out."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tag_platform.settings import CHECKOUT
from tag_platform_tests.rule_engines import Batch, by_oracle, data_lines, json_text
from tag_platform_tests.rule_strategies import STORED, batches, generated

pytestmark = pytest.mark.engine
TYPES = ",".join(f"{name}:{kind}" for name, kind in STORED.items())
BROKEN = '{"logic": "AND", "conditions": [{"field": "i", "operator": "=>", "value": 1}, {"field": "i"}]}'


def command(*arguments: str, stdin: str | None = None, code: int = 0) -> str:
    """Runs `tag-platform rules …`; returns what it prints, or for an exit code of 2 what it complains about."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [str(CHECKOUT / ".venv" / "bin" / "tag-platform"), "rules", *arguments],
        env={**environment, "SPARK_LOCAL_IP": "127.0.0.1"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Two hundred rules over a hundred users."""
    several = generated(batches(20, 10), 12, seed=11)[2:]
    users = [
        (f"u{number:03d}", row) for number, (_, row) in enumerate(user for one in several for user in one.dataset.users)
    ]
    first = several[-1]
    dataset = type(first.dataset)(first.dataset.columns, users)
    rules = tuple(rule for one in several for rule in one.rules)
    return Batch(rules, first.references, dataset, first.as_of, "UTC")


@pytest.fixture(scope="module")
def files(batch: Batch, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data file, and the file of rules: the referenced tags, one with an `as_of` of its own, and broken ones."""
    folder = tmp_path_factory.mktemp("rules")
    data, rules = folder / "users.jsonl", folder / "rules.jsonl"
    data.write_text("".join(line + "\n" for line in data_lines(batch.dataset)))
    lines: list[str] = [json_text({"id": tag_id, "rule": rule}) for tag_id, rule in batch.references.items()]
    lines += [json_text({"id": f"r{n}", "rule": rule}) for n, rule in enumerate(batch.rules)]
    lines.insert(50, '{"id": "broken", "rule": ' + BROKEN + "}")
    lines.insert(60, '{"id": "no JSON", "rule": {"logic": NaN}}')
    lines.append(json_text({"id": "later", "rule": RECENT, "as_of": "2200-01-01"}))
    rules.write_text("\n".join(lines) + "\n")
    return data, rules


RECENT = {"logic": "NOT", "conditions": [{"field": "day", "operator": "days_ago", "value": 0}]}


def expected(batch: Batch) -> dict[str, list[str]]:
    users = [user for user, _ in batch.dataset.users]
    return {
        f"r{n}": sorted(user for user, truth in zip(users, truths, strict=True) if truth is True)
        for n, truths in enumerate(by_oracle(batch))
    }


@pytest.mark.parametrize("engine", ["python", "sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_many_rules(engine: str, batch: Batch, files: tuple[Path, Path]) -> None:
    """200 rules over 100 users: one line for each rule in the order of the file, errors as answers, exit 0."""
    data, rules = files
    output = command(
        "eval", "--rules", str(rules), "--data", str(data), "--types", TYPES, "--as-of", batch.as_of.isoformat(),
        "--engine", engine,
    )  # fmt: skip
    answers = [json.loads(line) for line in output.splitlines()]
    given = [json.loads(line)["id"] for line in rules.read_text().splitlines() if "no JSON" not in line]
    assert [answer["id"] for answer in answers if answer["id"] != "no JSON"] == given
    by_id = {answer["id"]: answer for answer in answers}
    assert len(expected(batch)) == 200
    for name, users in expected(batch).items():
        assert by_id[name] == {"id": name, "matched": users}
    assert [error["path"] for error in by_id["broken"]["errors"]] == [
        "$.conditions[0].operator",
        "$.conditions[1]",
    ]
    assert by_id["no JSON"]["errors"] == [{"path": "$", "message": "NaN is not a JSON number"}]
    late = [user for user, row in batch.dataset.users if row[("", "day")] and row[("", "day")].year >= 2200]
    assert set(by_id["later"]["matched"]) == {u for u in late if _day(batch, u) > "2200-01-01"}


def _day(batch: Batch, user: str) -> str:
    return str(dict(batch.dataset.users)[user][("", "day")])


ONE = {"logic": "AND", "conditions": [{"field": "any.s", "table": "some", "operator": "contains", "value": "a"}]}


@pytest.mark.parametrize("engine", ["python", "sail"])
def test_one_rule(engine: str, tmp_path: Path) -> None:
    """Matching users, sorted, one a line; nothing at all where there is none; `--json` on demand."""
    rule, data = tmp_path / "rule.json", tmp_path / "users.jsonl"
    rule.write_text(json.dumps(ONE))
    data.write_text('{"user_id": "u2", "s": "ba"}\n{"user_id": "u10", "s": "a", "more": 1}\n{"user_id": "u3"}\n')
    asked = ("eval", "--data", str(data), "--types", "s:string", "--engine", engine)
    assert command(*asked, "--rule", str(rule)) == "u10\nu2\n"
    assert json.loads(command(*asked, "--rule", str(rule), "--json")) == {"matched": ["u10", "u2"]}
    rule.write_text(json.dumps(ONE).replace('"a"', '"zzz"'))
    assert command(*asked, "--rule", str(rule)) == ""


def test_bad_input_of_eval(tmp_path: Path) -> None:
    """An invalid single rule, bad types, bad data, a bad date and both forms at once: exit 2, and what to correct."""
    rule, data = tmp_path / "rule.json", tmp_path / "users.jsonl"
    rule.write_text(json.dumps(ONE))
    data.write_text('{"user_id": "u2", "s": "ba"}\n')
    asked = ["eval", "--rule", str(rule), "--data", str(data), "--types", "s:string"]

    def complaint(*more: str, **files: str) -> str:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return command(*asked, *more, code=2)

    assert "2026-13-01" in complaint("--as-of", "2026-13-01")
    assert "either --rule or --rules" in complaint("--rules", str(rule))
    assert "cannot be used in rules" in complaint("--types", "s:map<int,int>")
    data.write_text('{"user_id": "u2", "s": 5}\n')
    assert "Data line 1: found 5, which is no string" in complaint()
    data.write_text('{"user_id": "u2"}\n{"user_id": "u2"}\n')
    assert "Data line 2: user u2 is there twice" in complaint()
    data.write_text('{"user_id": "u2"}\n')
    rule.write_text(BROKEN)
    assert "$.conditions[0].operator" in complaint() or "$.conditions[0].field" in complaint()


def test_check(tmp_path: Path) -> None:
    """A valid rule in words with its warnings; an invalid one with all its errors and exit 2; from stdin too."""
    good = json.dumps({"logic": "AND", "conditions": [{"field": "age", "operator": "in_range", "value": [18, 30]}]})
    assert command("check", "-", stdin=good) == "valid: age is between 18 and 30\n"
    twice = json.loads(good)
    twice["conditions"].append({"field": "age", "operator": "<=", "value": 40})
    assert "warning: $.conditions[1]: adds nothing" in command("check", "-", stdin=json.dumps(twice))
    found = json.loads(command("check", "-", "--json", stdin=json.dumps(twice)))
    assert found["valid"]
    assert [warning["path"] for warning in found["warnings"]] == ["$.conditions[1]"]
    file = tmp_path / "rule.json"
    file.write_text(good.replace("in_range", "in-range").replace("age", "agee"))
    complaint = command("check", str(file), code=2)
    assert '$.conditions[0].operator: unknown operator "in-range"' in complaint
    assert '$.conditions[0].field: unknown field "agee"; near it are age' in complaint


def test_schema() -> None:
    """The JSON Schema is printed as JSON."""
    schema: dict[str, Any] = json.loads(command("schema"))
    assert schema["$schema"].endswith("2020-12/schema")
