"""Counts whom a rule would tag, and writes nothing: `python -m tag_platform.compute.preview`, a process of its own that
ends after one answer.

The plan comes on standard input and the answer goes to standard output, both as JSON. A process, because it can be
bounded: its memory by the system, its time by a clock that ends it, and neither takes the caller along. The engine is
the embedded one whatever runs use: all engines give the same users.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import TYPE_CHECKING

from pydantic import BaseModel

from tag_platform.compute.plan import EvaluateTags

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXAMPLES = 5


class PreviewOrder(BaseModel):
    """One rule as a plan with one tag (its `output` is not used), and what counting may take."""

    plan: EvaluateTags
    seconds: int
    memory_bytes: int


class Preview(BaseModel):
    """Of `users` users in the plan's shards, the rule is TRUE for `matched`; `examples` are their first ids."""

    users: int
    matched: int
    examples: list[str]


def preview(plan: EvaluateTags, spark: SparkSession) -> Preview:
    from tag_platform.compute.evaluate_tags import count_users, tagged_users

    tagged = tagged_users(plan, spark).select("user_id")
    first = tagged.orderBy("user_id").limit(EXAMPLES).collect()
    return Preview(
        users=sum(count_users(plan, spark).values()),
        matched=tagged.count(),
        examples=[row["user_id"] for row in first],
    )


def main() -> None:
    from tag_platform.compute.engine import session
    from tag_platform.settings import load_settings

    order = PreviewOrder.model_validate_json(sys.stdin.buffer.read())
    signal.alarm(order.seconds)  # also where nobody is left to end this process
    resource.setrlimit(resource.RLIMIT_DATA, (order.memory_bytes, order.memory_bytes))
    with session(load_settings(), "sail") as spark:
        found = preview(order.plan, spark)
    sys.stdout.write(found.model_dump_json())


if __name__ == "__main__":
    main()
