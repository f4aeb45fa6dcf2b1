"""What a person's decision makes of a user's tags."""

from datetime import UTC, datetime

import pytest

from tag_platform.overrides import Kind, Override, tags_after


def decided(kind: Kind) -> Override:
    return Override(1, "u", 3, kind, "ann", "why", datetime(2026, 1, 1, tzinfo=UTC), None, None)


@pytest.mark.parametrize(
    ("kind", "before", "current", "manual", "after"),
    [
        ("pin", [1, 5], None, False, [1, 3, 5]),
        ("pin", None, None, False, [3]),
        ("pin", [3], "exclude", False, [3]),
        ("exclude", [1, 3], None, False, [1]),
        ("exclude", None, None, False, None),
        ("exclude", [3], "pin", True, []),
        ("release", [1, 3], "pin", False, [1, 3]),
        ("release", [1, 3], "pin", True, [1]),
        ("release", [1], "exclude", True, [1]),
        ("release", None, "pin", True, None),
    ],
)
def test_each_decision(
    kind: Kind, before: list[int] | None, current: Kind | None, manual: bool, after: list[int] | None
) -> None:
    """A row is never made for a tag that goes; only of a manual tag a release takes what the pin gave."""
    assert tags_after(before, 3, kind, decided(current) if current else None, manual) == after
