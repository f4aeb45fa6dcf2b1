"""The rule language: one rule in JSON decides one tag.

`parse_rule` turns the JSON into a tree, and everything else is derived from that tree: the decision for one user
(`evaluate`, `explain`), a Spark column (`to_spark`), SQL text (`to_sql`), warnings (`lint`), and what has to be read
(`Rule.fields`, `Rule.true_for_unknown`). The package knows neither Spark nor Dagster; `to_spark`, imported on its own,
knows Spark.
"""

from tag_platform.rules.errors import InvalidRule, RuleError
from tag_platform.rules.evaluate import evaluate
from tag_platform.rules.model import Rule
from tag_platform.rules.parse import parse_rule
from tag_platform.rules.schema import ColumnSchema, RuleSchema

__all__ = [
    "ColumnSchema",
    "InvalidRule",
    "Rule",
    "RuleError",
    "RuleSchema",
    "evaluate",
    "parse_rule",
]
