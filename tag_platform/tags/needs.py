"""What a tag reads: the columns of its rule and of its class, and the schema that its own rule is parsed against."""

from __future__ import annotations

from dataclasses import dataclass

from tag_platform.errors import BadInput
from tag_platform.rules import ColumnSchema, Rule, RuleSchema
from tag_platform.rules.fields import BadField, find_field
from tag_platform.rules.model import Field
from tag_platform.tags.base import DERIVED, TagClass


@dataclass(frozen=True)
class TagNeeds:
    """(table, column) of every source column needed; `everybody` where users of whom nothing is known count too."""

    columns: frozenset[tuple[str, str]]
    everybody: bool


def schema_for(schema: RuleSchema, tag_class: type[TagClass] | None) -> RuleSchema:
    """The tables that the tag's own rule may name: the sources, and the derived fields of its class."""
    if tag_class is None or not tag_class.derived_fields:
        return schema
    if DERIVED in schema.tables:
        raise BadInput(f"{tag_class.path()}: a source table is named {DERIVED!r}, so derived fields have no place.")
    derived = {name: ColumnSchema(kind, kind) for name, kind in tag_class.derived_fields.items()}
    return RuleSchema({**schema.tables, DERIVED: derived}, schema.any_table)


def class_fields(tag_class: type[TagClass], schema: RuleSchema) -> dict[str, Field]:
    """The columns behind the names in `fields`. Raises `BadInput` with all the names that the sources do not have."""
    found: dict[str, Field] = {}
    reasons = []
    for name in tag_class.fields:
        try:
            found[name] = find_field(schema, name, None, "field")
        except BadField as error:
            reasons.append(str(error))
    if reasons:
        raise BadInput(f"{tag_class.path()}.fields: {'; '.join(reasons)}.")
    return found


def tag_needs(rule: Rule, tag_class: type[TagClass] | None, schema: RuleSchema) -> TagNeeds:
    """Raises `BadInput` where the class names a column that the sources do not have."""
    columns = {(table, column) for table, column in rule.fields if tag_class is None or table != DERIVED}
    if tag_class is not None:
        columns |= {field.key for field in class_fields(tag_class, schema).values()}
    everybody = rule.true_for_unknown or (tag_class is not None and tag_class.needs_everybody())
    return TagNeeds(frozenset(columns), everybody)
