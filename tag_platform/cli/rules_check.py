"""`tag-platform rules check`: one rule by itself, one rule beside the active tags, or all active tags."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click

from tag_platform.catalog.rulebook import declared_schema, parse_catalog
from tag_platform.catalog.sources import load_sources
from tag_platform.rules import InvalidRule, Rule, RuleSchema, parse_rule
from tag_platform.rules.dataset import parse_types
from tag_platform.rules.lint import Finding, lint_rule, lint_rules
from tag_platform.settings import load_settings


@dataclass(frozen=True)
class Checked:
    """What is known of one rule: `errors` with their paths, or the rule with its warnings."""

    rule: Rule | None
    errors: list[dict[str, str]]
    warnings: list[Finding]

    def to_json(self) -> dict[str, Any]:
        if self.rule is None:
            return {"valid": False, "errors": self.errors}
        warnings = [{"path": warning.path, "message": warning.message} for warning in self.warnings]
        return {"valid": True, "version": self.rule.digest, "rule": self.rule.describe(), "warnings": warnings}


@click.command()
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--types", help='Columns of one table, "age:int,d:date", in place of the source catalog.')
@click.option("--catalog", is_flag=True, help="Look at the active tags in the database too: references, overlaps.")
@click.option("--tag", "tag_id", type=int, help="With --catalog: the tag that the rule is for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, file: Any, types: str | None, catalog: bool, tag_id: int | None, as_json: bool) -> None:
    """Checks the rule in FILE (- for stdin) against the source catalog; without FILE, the rule of every active tag.

    Exit code 2 where a rule is invalid. Warnings are proved, not guessed.
    """
    if file is None:
        checked = check_catalog()
        _print_catalog(checked, as_json)
        ctx.exit(0 if all(one.rule for one in checked.values()) else 2)
    one = _beside_catalog(file.read(), tag_id) if catalog or tag_id is not None else _alone(file.read(), types)
    if as_json:
        click.echo(json.dumps(one.to_json(), ensure_ascii=False))
    else:
        for line in _lines(one):
            click.echo(line, err=one.rule is None)
    ctx.exit(0 if one.rule else 2)


def _schema() -> RuleSchema:
    return declared_schema(load_sources(load_settings().sources))


def _alone(text: bytes, types: str | None) -> Checked:
    schema = _schema()
    if types is not None:
        schema = RuleSchema.single({name: kind.name for name, kind in parse_types(types).items()})
    try:
        rule = parse_rule(text, schema)
    except InvalidRule as error:
        return Checked(None, error_list(error), [])
    return Checked(rule, [], lint_rule(rule))


def _beside_catalog(text: bytes, tag_id: int | None) -> Checked:
    """The rule as that of a tag among the others, a new one if none is named."""
    from tag_platform.catalog.tags import load_catalog
    from tag_platform.mysql import Database

    schema, catalog = _schema(), load_catalog(Database.of(load_settings()))
    rulebook = parse_catalog(catalog, schema)
    own = max([0, *catalog.by_id]) + 1 if tag_id is None else tag_id
    references = {tag: text for tag, text in rulebook.texts.items() if tag != own}
    try:
        rule = parse_rule(text, schema, references, own, catalog.retired_ids)
    except InvalidRule as error:
        return Checked(None, error_list(error), [])
    return Checked(rule, [], lint_rule(rule) + lint_rules({**rulebook.rules, own: rule}).get(own, []))


def check_catalog() -> dict[int, Checked]:
    """The rule of every active tag in the database, by tag id."""
    from tag_platform.catalog.tags import load_catalog
    from tag_platform.mysql import Database

    catalog = load_catalog(Database.of(load_settings()))
    rulebook = parse_catalog(catalog, _schema())
    overlaps = lint_rules(rulebook.rules)
    found = {tag: Checked(rule, [], lint_rule(rule) + overlaps.get(tag, [])) for tag, rule in rulebook.rules.items()}
    for tag, reasons in rulebook.broken.items():
        found[tag] = Checked(None, [_error(line) for line in reasons.splitlines()], [])
    return dict(sorted(found.items()))


def _error(line: str) -> dict[str, str]:
    path, colon, message = line.partition(": ")
    return {"path": path, "message": message} if colon and path.startswith("$") else {"path": "$", "message": line}


def _print_catalog(checked: dict[int, Checked], as_json: bool) -> None:
    if as_json:
        tags = [{"tag_id": tag, **one.to_json()} for tag, one in checked.items()]
        click.echo(json.dumps({"valid": all(one.rule for one in checked.values()), "tags": tags}, ensure_ascii=False))
        return
    for tag, one in checked.items():
        for line in _lines(one):
            click.echo(f"tag {tag}: {line}")


def _lines(one: Checked) -> list[str]:
    if one.rule is None:
        return [f"{error['path']}: {error['message']}" for error in one.errors]
    return [f"valid: {one.rule.describe()}", *(f"warning: {warning}" for warning in one.warnings)]


def error_list(error: InvalidRule) -> list[dict[str, str]]:
    """The errors as JSON."""
    return [{"path": one.path, "message": one.message} for one in error.errors]
