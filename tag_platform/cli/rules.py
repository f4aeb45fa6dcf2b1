"""`tag-platform rules`: check a rule, try rules on data, print the JSON Schema of the language."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, TextIO

import click

from tag_platform.cli.rules_check import check, error_list
from tag_platform.cli.rules_engines import matched_by
from tag_platform.errors import BadInput
from tag_platform.rules import InvalidRule, Rule, evaluate, parse_rule
from tag_platform.rules.dataset import Dataset, RuleLine, parse_lines, parse_rule_line, parse_types
from tag_platform.rules.values import parse_date
from tag_platform.settings import Settings, load_settings


@click.group()
def rules() -> None:
    """Rules: check them, try them on data, describe the language."""


rules.add_command(check)


@rules.command("eval")
@click.option("--rule", "rule_file", type=click.File("rb"), help="A file with one rule (- for stdin).")
@click.option("--rules", "rules_file", type=click.File("r", encoding="utf-8"), help="Many rules, one JSON line each.")
@click.option("--data", required=True, type=click.File("r", encoding="utf-8"), help="Users, one JSON line each.")
@click.option("--types", required=True, help='Column types, "age:int,d:date,xs:array<string>".')
@click.option("--as-of", help="The date that relative dates count from. [default: today in the platform's zone]")
@click.option("--engine", type=click.Choice(["python", "sail", "spark"]), default="python", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="With --rule: print JSON.")
def evaluate_rules(
    rule_file: Any, rules_file: TextIO | None, data: TextIO, types: str, as_of: str | None, engine: str, as_json: bool
) -> None:
    """Prints the users for whom rules are TRUE, sorted, one a line; with --rules one JSON line for each rule."""
    if (rule_file is None) == (rules_file is None):
        raise BadInput("Give either --rule or --rules.")
    settings = load_settings()
    day = _as_of(as_of, settings)
    dataset = parse_lines(data, parse_types(types))
    if rule_file is not None:
        parsed = parse_rule(rule_file.read(), dataset.schema)
        [users] = _matched(engine, [(parsed, day)], dataset, settings)
        click.echo(
            json.dumps({"matched": users}, ensure_ascii=False) if as_json else "\n".join(users),
            nl=bool(users) or as_json,
        )
        return
    lines = [parse_rule_line(line, number) for number, line in enumerate(rules_file or (), 1) if line.strip()]
    for answer in _answers(lines, dataset, day, engine, settings):
        click.echo(json.dumps(answer, ensure_ascii=False))


@rules.command()
def schema() -> None:
    """Prints the JSON Schema (2020-12) of the rule language."""
    from tag_platform.rules.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@rules.command()
def reference() -> None:
    """Prints the reference page of the rule language (docs/rules.md)."""
    from tag_platform.rules.reference import reference as page

    click.echo(page(), nl=False)


def _as_of(text: str | None, settings: Settings) -> date:
    if text is None:
        return datetime.now(settings.zone).date()
    day = parse_date(text)
    if day is None:
        raise BadInput(f"--as-of {text!r} is no date, such as 2026-01-31.")
    return day


def _answers(
    lines: Sequence[RuleLine], dataset: Dataset, day: date, engine: str, settings: Settings
) -> list[dict[str, Any]]:
    """One answer per line. A line whose id is a number may be referred to by the others as that tag."""
    references = {int(line.id): line.rule for line in lines if str(line.id).isdecimal() and line.problem is None}
    answers: list[dict[str, Any]] = []
    valid: list[tuple[Rule, date]] = []
    places: list[int] = []
    schema = dataset.schema
    for place, line in enumerate(lines):
        answers.append({"id": line.id})
        try:
            if line.problem is not None:
                raise line.problem
            tag_id = int(line.id) if str(line.id).isdecimal() else None
            rule = parse_rule(line.rule, schema, references, tag_id)
        except InvalidRule as error:
            answers[place]["errors"] = error_list(error)
            continue
        places.append(place)
        valid.append((rule, day if line.as_of is None else date.fromisoformat(line.as_of)))
    for place, users in zip(places, _matched(engine, valid, dataset, settings), strict=True):
        answers[place]["matched"] = users
    return answers


def _matched(engine: str, parsed: Sequence[tuple[Rule, date]], dataset: Dataset, settings: Settings) -> list[list[str]]:
    if engine != "python":
        return matched_by(engine, parsed, dataset, settings.timezone)
    return [
        sorted(user for user, values in dataset.users if evaluate(rule, values, as_of, settings.timezone))
        for rule, as_of in parsed
    ]
