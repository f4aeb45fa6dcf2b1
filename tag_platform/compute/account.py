"""The account of a merge: for every shard and tag `before + entered - left = after`, and the table counted to prove it.

`before` is counted by the tasks that read the stored rows for the comparison, so it costs no second reading. Their
counts travel as rows without a user (`user_id` NULL, `before` = [shard, tag, count]) and end up beside the changes, in
`shard=account`. Tag 0 stands for the rows themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tag_platform.errors import TagPlatformError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS = 0  # the account's entry for rows; tag ids start at 1
ACCOUNT = "account"  # the directory of the counts in a snapshot of changes
Counts = Mapping[tuple[int, int], int]  # (shard, tag) → users


class AccountMismatch(TagPlatformError):
    """The table does not hold what the account says it must hold."""


@dataclass(frozen=True)
class Difference:
    """One entry of the account that does not come out even."""

    shard: int
    tag_id: int
    before: int
    entered: int
    left: int
    counted: int

    def __str__(self) -> str:
        what = "rows" if self.tag_id == ROWS else f"tag {self.tag_id}"
        expected = self.before + self.entered - self.left
        return (
            f"shard {self.shard}, {what}: {self.before:,} + {self.entered:,} - {self.left:,} = {expected:,}, "
            f"counted {self.counted:,}"
        )


def counts_of(rows: DataFrame) -> Counter[tuple[int, int]]:
    """Adds up the counting rows of `rows` (column `before` = [shard, tag, count]): a few per task, collected."""
    found: Counter[tuple[int, int]] = Counter()
    for row in rows.select("before").collect():
        shard, tag_id, n = row["before"]
        found[shard, tag_id] += n
    return found


def differences(before: Counts, entered: Counts, left: Counts, after: Counts) -> list[Difference]:
    """Where `before + entered - left` is not `after`, by shard and tag."""
    found = []
    for key in sorted({*before, *entered, *left, *after}):
        entry = Difference(*key, before.get(key, 0), entered.get(key, 0), left.get(key, 0), after.get(key, 0))
        if entry.before + entry.entered - entry.left != entry.counted:
            found.append(entry)
    return found


def mismatch(found: list[Difference]) -> AccountMismatch:
    lines = [str(entry) for entry in found[:20]] + ([f"and {len(found) - 20:,} more"] if len(found) > 20 else [])
    return AccountMismatch(
        "The account of user_tags does not come out even, twice in a row: something else keeps writing to these rows, "
        "or rows were lost. What this run changed is kept and can be undone by its run id.\n  " + "\n  ".join(lines)
    )
