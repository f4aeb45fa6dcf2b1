"""Who overtakes whom in the run queue: a person's request before a changed rule, that before new data, and the daily
refresh of everything last. The queue starts the highest number first."""

from __future__ import annotations

USER_REQUEST = 10
RULE_CHANGE = 5
NEW_DATA = 0
FULL_REFRESH = -5


def priority(value: int) -> dict[str, str]:
    """The run tag that the queue reads."""
    return {"dagster/priority": str(value)}
