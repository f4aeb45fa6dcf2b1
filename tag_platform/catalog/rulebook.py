"""The catalog's rules, parsed, with the tags' Python classes: which tags can be computed, and why the others cannot.

One broken rule never stops the others: each tag ends up either in `rules` or, with its reasons, in `broken`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tag_platform.catalog.sources import SourceTable
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.errors import BadInput
from tag_platform.rules import ColumnSchema, Rule, RuleSchema, parse_rule
from tag_platform.tags.base import TagClass
from tag_platform.tags.discovery import TagModules, installed_tag_modules, load_tag_class
from tag_platform.tags.needs import TagNeeds, schema_for, tag_needs


@dataclass(frozen=True)
class Rulebook:
    """Parsed rules of active tags by tag id; `broken` holds the reasons, one a line with its JSON path. `sources` is
    the JSON text of every active tag's rule that could be read, which references are resolved with. `classes` are the
    Python classes that take part; `needs` is what each usable tag reads."""

    rules: Mapping[int, Rule] = field(default_factory=dict)
    broken: Mapping[int, str] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)
    classes: Mapping[int, type[TagClass]] = field(default_factory=dict)
    needs: Mapping[int, TagNeeds] = field(default_factory=dict)

    def version(self, tag_id: int) -> str:
        """The digest of what decides the tag: its rule, and the source of its class where that takes part."""
        digest, tag_class = self.rules[tag_id].digest, self.classes.get(tag_id)
        if tag_class is None:
            return digest
        return hashlib.sha256(f"{digest}\0{tag_class.source_digest()}".encode()).hexdigest()


def parse_catalog(catalog: Catalog, schema: RuleSchema, modules: TagModules | None = None) -> Rulebook:
    """Parses the rule of every active tag against `schema`. `modules` are the tag classes to look for, by default
    those of this installation."""
    texts: dict[int, str] = {}
    broken: dict[int, str] = {}
    for tag in catalog.active:
        if len(tag.rules) == 1:
            texts[tag.tag_id] = tag.rules[0]
        else:
            broken[tag.tag_id] = _rule_count(tag)
    classes = _classes(texts, installed_tag_modules() if modules is None else modules, broken)
    rules: dict[int, Rule] = {}
    needs: dict[int, TagNeeds] = {}
    for tag_id, text in texts.items():
        if tag_id in broken:
            continue
        tag_class = classes.get(tag_id)
        try:
            own = schema_for(schema, tag_class)
            rule = parse_rule(text, own, references=texts, retired=catalog.retired_ids, tag_id=tag_id)
            _refuse_references(rule, classes)
            needs[tag_id] = tag_needs(rule, tag_class, schema)
        except BadInput as error:
            broken[tag_id] = str(error)
        else:
            rules[tag_id] = rule
    return Rulebook(rules, broken, texts, classes, needs)


def _classes(texts: Mapping[int, str], modules: TagModules, broken: dict[int, str]) -> dict[int, type[TagClass]]:
    """The classes that take part; why a class cannot be loaded goes to `broken`."""
    classes: dict[int, type[TagClass]] = {}
    for tag_id in texts:
        if tag_id in modules:
            try:
                tag_class = load_tag_class(tag_id, modules[tag_id])
            except BadInput as error:
                broken[tag_id] = str(error)
                continue
            if tag_class.takes_part():
                classes[tag_id] = tag_class
    return classes


def _refuse_references(rule: Rule, classes: Mapping[int, type[TagClass]]) -> None:
    """`has_tag` evaluates the other tag's rule, which is not the whole truth where a class takes part."""
    decided = sorted(rule.references & set(classes))
    if decided:
        named = ", ".join(f"tag {tag_id} ({classes[tag_id].path()})" for tag_id in decided)
        raise BadInput(
            f"The rule refers to {named}, which a Python class decides; only tags that their rule alone"
            " decides can be referred to."
        )


def _rule_count(tag: Tag) -> str:
    if not tag.rules:
        return f"Tag {tag.tag_id} has no active rule in tag_rules."
    return f"Tag {tag.tag_id} has {len(tag.rules)} active rules in tag_rules; exactly one may be active."


def declared_schema(sources: Mapping[str, SourceTable]) -> RuleSchema:
    """The schema as far as the source catalog tells it, for when no file has been looked at yet."""
    return RuleSchema(
        {name: {column: ColumnSchema(kind, kind) for column, kind in t.columns.items()} for name, t in sources.items()}
    )


def stored_schema(sources: Mapping[str, SourceTable], columns: Mapping[str, Mapping[str, str]]) -> RuleSchema:
    """The schema of the sources as they are stored (`columns`: table → column → Spark type), with the types that the
    catalog declares. Raises `BadInput` where a declared column does not exist."""
    tables: dict[str, dict[str, ColumnSchema]] = {}
    for name, table in sources.items():
        missing = sorted(set(table.columns) - set(columns[name]))
        if missing:
            raise BadInput(
                f"Source table {name}: the source catalog declares {', '.join(missing)}, which the table does not have."
                f" It has: {', '.join(columns[name])}."
            )
        tables[name] = {
            column: ColumnSchema(stored, table.columns.get(column)) for column, stored in columns[name].items()
        }
    return RuleSchema(tables)


def rule_json(text: str) -> Any:
    """The rule as JSON data, for plans and descriptions."""
    return json.loads(text)


def check_tag_ids(catalog: Catalog, tag_ids: list[int]) -> None:
    """Raises `BadInput` where a tag id is unknown, retired or manual."""
    unknown = sorted(set(tag_ids) - set(catalog.by_id))
    retired = sorted(set(tag_ids) & catalog.retired_ids)
    manual = sorted(set(tag_ids) & catalog.manual_ids)
    reasons = []
    if unknown:
        reasons.append(f"unknown: {', '.join(map(str, unknown))}")
    if retired:
        reasons.append(f"retired: {', '.join(map(str, retired))}")
    if manual:
        reasons.append(f"manual, given by `tag-platform tags pin`: {', '.join(map(str, manual))}")
    if reasons:
        known = ", ".join(str(tag.tag_id) for tag in catalog.active) or "none"
        raise BadInput(f"Tag ids that cannot be computed ({'; '.join(reasons)}). Active tags: {known}.")
