"""The gate's bounds, as pure functions."""

from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.compute.account import ROWS
from tag_platform.compute.gate import GateBounds, SourceBounds, TagBounds, moves_table, source_violation, violations
from tag_platform.compute.planning import gate_bounds
from tag_platform.settings import Settings

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


def test_a_definition_sets_the_bounds_of_its_own_tag() -> None:
    """What it leaves open is the setting of all tags."""
    tags = (Tag(tag_id=1, name="a", category="c", max_left_share=1.0), Tag(tag_id=2, name="b", category="c"))
    bounds = gate_bounds(Settings(TAG_PLATFORM_GATE_MAX_ENTERED_SHARE=0.5), Catalog(tags=tags))
    assert bounds.tags == {1: TagBounds(max_left_share=1.0, max_entered_share=0.5)}


def test_a_source_is_compared_with_what_was_accepted() -> None:
    """A first load, a small table and an ordinary day pass; the message has the exact numbers of the others."""
    bounds = SourceBounds()
    assert not source_violation("t", None, 5_000_000, bounds)
    assert not source_violation("t", 900, 0, bounds)
    assert not source_violation("t", 10_000, 7_000, bounds)
    assert not source_violation("t", 10_000, 30_000, bounds)
    assert "t has 6,999 rows, 10,000 when it was last accepted (-3,001, -30%;" in str(
        source_violation("t", 10_000, 6_999, bounds)
    )
    assert "(+20,001, +200%; from -30% to +200% is allowed)" in str(source_violation("t", 10_000, 30_001, bounds))
    assert source_violation("t", 0, 1_000, bounds)
