"""The rule language: one rule in JSON decides one tag.

`parse_rule` turns the JSON into a tree, and everything else is derived from that tree: the decision for one user
(`evaluate`, `explain`), a Spark column (`to_spark`), SQL text (`to_sql`), warnings (`lint`), and what a set of rules
needs to read (`plan_rules`). The package knows neither Spark nor Dagster; `to_spark`, imported on its own, knows Spark.
"""

from tag_platform.rules.errors import InvalidRule, RuleError
from tag_platform.rules.evaluate import evaluate
from tag_platform.rules.model import Rule
from tag_platform.rules.parse import parse_rule
from tag_platform.rules.plan import ReadingPlan, plan_rules
from tag_platform.rules.schema import ColumnSchema, RuleSchema

__all__ = [
    "ColumnSchema",
    "InvalidRule",
    "ReadingPlan",
    "Rule",
    "RuleError",
    "RuleSchema",
    "evaluate",
    "parse_rule",
    "plan_rules",
]
