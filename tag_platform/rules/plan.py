"""What a set of rules needs to read: which columns of which tables, and for which tags the whole population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tag_platform.rules.model import Rule


@dataclass(frozen=True)
class ReadingPlan:
    """`columns`: for each table the columns that some rule needs, sorted. `tables_of`: for each tag the tables its rule
    names. `whole_population`: tags whose rule is TRUE for a user who is in none of its tables."""

    columns: Mapping[str, tuple[str, ...]]
    tables_of: Mapping[int, tuple[str, ...]]
    whole_population: frozenset[int]


def plan_rules(rules: Mapping[int, Rule]) -> ReadingPlan:
    """The least that has to be read to decide all the rules in one pass.

    A rule outside `whole_population` is not TRUE for a user who is missing from all tables that it names, so these
    tables alone are enough for it.
    """
    columns: dict[str, set[str]] = {}
    for rule in rules.values():
        for table, column in rule.fields:
            columns.setdefault(table, set()).add(column)
    return ReadingPlan(
        columns={table: tuple(sorted(columns[table])) for table in sorted(columns)},
        tables_of={tag: tuple(sorted({table for table, _ in rule.fields})) for tag, rule in sorted(rules.items())},
        whole_population=frozenset(tag for tag, rule in rules.items() if rule.true_for_unknown),
    )
