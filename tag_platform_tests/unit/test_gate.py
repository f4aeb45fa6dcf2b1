"""The gate's bounds, as pure functions."""

from tag_platform.compute.account import ROWS
from tag_platform.compute.gate import GateBounds, TagBounds, moves_table, violations

BOUNDS = GateBounds()


def test_a_first_load_passes() -> None:
    """There is nothing to compare a first load with."""
    assert violations({}, {1: 5_000_000, 2: 10}, {}, 0, BOUNDS) == []


def test_small_populations_are_not_judged() -> None:
    """A tag of a few hundred users may lose all of them on an ordinary day."""
    assert violations({ROWS: 900, 1: 900}, {}, {1: 900}, 900, BOUNDS) == []


def test_ordinary_changes_pass() -> None:
    """Four users in five may leave a tag (a narrowed rule), and it may triple."""
    assert violations({ROWS: 10_000, 1: 4_000, 2: 2_000}, {2: 4_000}, {1: 3_200}, 3_200, BOUNDS) == []


def test_each_bound_is_named_with_its_numbers() -> None:
    """The message is what a person decides on."""
    found = violations({ROWS: 10_000, 1: 4_000, 2: 2_000}, {2: 4_001}, {1: 3_201}, 5_001, BOUNDS)
    assert [reason.split(" (")[0] for reason in found] == [
        "tag 1 would leave 3,201 of its 4,000 users",
        "tag 2 would enter 4,001 users beside the 2,000 who have it",
        "5,001 of 10,000 users would lose a tag",
    ]


def test_a_tag_may_have_bounds_of_its_own() -> None:
    """A tag of recent logins moves more than one of birthdays."""
    bounds = GateBounds(tags={1: TagBounds(max_left_share=1.0, max_entered_share=0.1)})
    assert violations({ROWS: 50_000, 1: 4_000}, {}, {1: 4_000}, 4_000, bounds) == []
    assert len(violations({ROWS: 50_000, 1: 40_000}, {1: 5_000}, {}, 0, bounds)) == 1


def test_table_has_one_line_per_tag_that_moves() -> None:
    """The table of a dry run and of a closed gate is the same."""
    lines = moves_table({1: 10, 2: 5}, {1: 2}, {1: 3}, {1: "rich"}).splitlines()
    assert [line.split() for line in lines[1:]] == [["1", "10", "2", "3", "9", "rich"]]
