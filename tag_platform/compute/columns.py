"""Column expressions over lists of tags, for merge and undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column


def no_tags() -> Column:
    return F.array().cast("array<int>")


def missing_from(tags: str, others: str) -> Column:
    """The tags of one list that the other lacks; no list counts as an empty one."""
    other = F.coalesce(F.col(others), no_tags())
    return F.coalesce(F.filter(tags, lambda tag_id: ~F.array_contains(other, tag_id)), no_tags())
