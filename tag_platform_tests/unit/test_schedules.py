"""When new data starts a run, and what is said of a failed one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tag_platform.defs.failures import describe, notify
from tag_platform.defs.schedules import decide
from tag_platform.errors import BadInput

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
DEADLINE = timedelta(hours=2)
ALL = {"a": "2026-03-02", "b": "2026-03-02"}
ONE = {"a": "2026-03-02", "b": "2026-03-01"}


def test_a_run_is_due_once_every_table_has_the_new_partition() -> None:
    assert decide(ALL, "2026-03-01", None, NOW, DEADLINE).run


def test_the_same_partition_never_starts_a_second_run() -> None:
    assert not decide(ALL, "2026-03-02", None, NOW, DEADLINE).run


def test_a_late_table_is_waited_for_until_the_deadline() -> None:
    """Computing on half of the new data would be done twice; waiting for ever would not be done at all."""
    early = decide(ONE, "2026-03-01", NOW - timedelta(minutes=119), NOW, DEADLINE)
    assert not early.run
    assert early.waiting == ("b",)
    late = decide(ONE, "2026-03-01", NOW - DEADLINE, NOW, DEADLINE)
    assert late.run
    assert late.late


def test_a_failure_line_says_what_where_and_what_to_do() -> None:
    line = describe("tag_all", "run-1", "Steps failed: ['tags'].\nstack", "http://127.0.0.1:3000")
    assert "run-1 of tag_all failed: Steps failed: ['tags']." in line
    assert "http://127.0.0.1:3000/runs/run-1" in line
    assert "stack" not in line


def test_a_webhook_that_is_no_web_address_is_refused() -> None:
    """A file:// address would read the machine's own files."""
    with pytest.raises(BadInput, match="http"):
        notify("file:///etc/hostname", "text", "run", "job")
