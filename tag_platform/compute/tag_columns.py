"""From a plan's tags to one boolean column each: what the rule says and, where the tag has a Python class, what the
class makes of it. Whatever a class does wrong breaks its own tag and no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from tag_platform.compute.plan import EvaluateTags, TagRule
from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.rules import Rule, RuleSchema, parse_rule
from tag_platform.rules.render import CONDITION
from tag_platform.rules.to_spark import compile_rule
from tag_platform.tags.base import DERIVED, TagClass, UserFields
from tag_platform.tags.discovery import import_tag_class
from tag_platform.tags.needs import TagNeeds, class_fields, schema_for, tag_needs

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_RAISED = re.compile(r"\s*[A-Za-z_][\w.]*(Error|Exception): ")


@dataclass(frozen=True)
class PlannedTag:
    """One tag of the plan, parsed. `fields` are the columns of its class by the names that the class gives them."""

    tag_id: int
    rule: Rule
    needs: TagNeeds
    tag_class: type[TagClass] | None
    fields: Mapping[str, tuple[str, str]]


def planned_tags(plan: EvaluateTags) -> tuple[dict[int, PlannedTag], dict[int, str]]:
    """The plan's tags by id, ascending, and why tags whose class cannot be used are not among them.

    Raises `InvalidRule` for a rule that does not fit the plan's schema; the control plane has refused those before.
    """
    schema = RuleSchema.from_json(plan.rule_schema)
    found: dict[int, PlannedTag] = {}
    broken: dict[int, str] = {}
    for tag in sorted(plan.tags, key=lambda tag: tag.tag_id):
        try:
            tag_class = _tag_class(tag)
            fields = {} if tag_class is None else {n: f.key for n, f in class_fields(tag_class, schema).items()}
            own = schema_for(schema, tag_class)
        except BadInput as error:
            broken[tag.tag_id] = str(error)
            continue
        rule = parse_rule(tag.rule, own, references=plan.references, tag_id=tag.tag_id)
        found[tag.tag_id] = PlannedTag(tag.tag_id, rule, tag_needs(rule, tag_class, schema), tag_class, fields)
    return found, broken


def _tag_class(tag: TagRule) -> type[TagClass] | None:
    if tag.tag_class is None:
        return None
    tag_class = import_tag_class(tag.tag_class)
    if tag_class.source_digest() != tag.class_digest:
        raise BadInput(
            f"The class {tag.tag_class} is another version here than where the run was planned; deploy both alike."
        )
    return tag_class


def alias(table: str, column: str) -> str:
    """The name of a source's column in the joined rows, quoted."""
    return f"`{table}.{column}`"


class SharedColumns:
    """What many rules compute alike, such as the number in a text or whether a pattern is found: once per user, not
    once per rule."""

    def __init__(self) -> None:
        self._made: dict[str, Column] = {}

    def __call__(self, name: str, made: Column) -> Column:
        """The column that stands for `made`; the same name is always the same expression."""
        self._made.setdefault(name, made)
        return F.col(f"`{name}`")

    def added_to(self, users: DataFrame) -> DataFrame:
        conditions = {name: made for name, made in self._made.items() if name.startswith(CONDITION)}
        for name, made in self._made.items():  # one after the other: a later one may use an earlier one
            if name not in conditions:
                users = users.withColumn(name, made)
        return users.withColumns(conditions) if conditions else users  # at once: there may be hundreds


def decision(plan: EvaluateTags, tag: PlannedTag, shared: SharedColumns | None = None) -> Column:
    """TRUE for the users who have the tag. Raises whatever a tag's class raises. A rule by itself may use columns of
    `shared`, which have to be added to the rows then."""
    if tag.tag_class is None:

        def stored(table: str, name: str) -> Column:
            return F.col(alias(table, name))

        return compile_rule(tag.rule, plan.as_of, stored, plan.timezone, shared)
    user = UserFields({name: F.col(alias(*key)) for name, key in tag.fields.items()}, plan.as_of)
    logic = tag.tag_class()
    derived: dict[str, Column] = {}
    if logic.overrides("derive"):
        given = logic.derive(user)
        if set(given) != set(logic.derived_fields):
            named = f"{', '.join(sorted(given)) or 'nothing'}, declared are {', '.join(sorted(logic.derived_fields))}"
            raise BadInput(f"{logic.path()}.derive gives {named}.")
        derived = {name: given[name].cast(kind) for name, kind in logic.derived_fields.items()}

    def column(table: str, name: str) -> Column:
        return derived[name] if table == DERIVED else F.col(alias(table, name))

    matches = F.coalesce(compile_rule(tag.rule, plan.as_of, column, plan.timezone), F.lit(False))
    if logic.overrides("applies"):
        matches = F.coalesce(logic.applies(user), F.lit(False)) & matches
    return logic.decide(matches, user) if logic.overrides("decide") else matches


def decisions(
    plan: EvaluateTags, tags: Mapping[int, PlannedTag], users: DataFrame, shared: SharedColumns | None = None
) -> tuple[dict[int, Column], dict[int, str]]:
    """The column of each tag over the joined rows `users` (with what `shared` adds to them), and why a class gives
    none."""
    columns: dict[int, Column] = {}
    broken: dict[int, str] = {}
    for tag_id, tag in tags.items():
        if tag.tag_class is None:
            columns[tag_id] = decision(plan, tag, shared)
            continue
        try:
            made = decision(plan, tag)
            kind = users.select(made.alias("has_tag")).schema["has_tag"].dataType.simpleString()
        except Exception as error:  # noqa: BLE001 (it is anybody's code)
            broken[tag_id] = class_failed(tag, error)
            continue
        if kind != "boolean":
            broken[tag_id] = f"{tag.tag_class.path()} gives a column of type {kind}; boolean is needed."
        else:
            columns[tag_id] = made
    return columns, broken


def failing(users: DataFrame, tags: Mapping[int, PlannedTag], columns: Mapping[int, Column]) -> dict[int, str]:
    """After a computation failed: the tags with a class that fail on their own as well, with the reason."""
    broken = {}
    for tag_id, column in columns.items():
        if tags[tag_id].tag_class is not None:
            try:
                users.where(column).count()
            except Exception as error:  # noqa: BLE001 (it is anybody's code)
                broken[tag_id] = class_failed(tags[tag_id], error)
    return broken


def class_failed(tag: PlannedTag, error: Exception) -> str:
    """The reason in one line: of a task that failed, the last line of its traceback."""
    assert tag.tag_class is not None  # noqa: S101 (it is what failed)
    text = str(error) if isinstance(error, TagPlatformError) else f"{type(error).__name__}: {error}"
    raised = [line.strip() for line in text.splitlines() if _RAISED.match(line)]
    reason = raised[-1] if raised and not isinstance(error, TagPlatformError) else " ".join(text.split())
    return f"The tag's class {tag.tag_class.path()} failed: {reason[:500]}"
