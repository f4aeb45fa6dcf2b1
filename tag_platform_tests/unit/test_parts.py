"""A large merge is written in parts."""

from tag_platform.compute.apply_changes import parts
from tag_platform.compute.upsert import Written


def test_parts_are_bounded_and_complete() -> None:
    """Memory is bounded by the size of a part; a shard that is larger than that is a part of its own."""
    assert parts({3: 4, 0: 5, 1: 6, 2: 20, 4: 4}, 10) == [[0], [1], [2], [3, 4]]
    assert parts({0: 1, 1: 1}, 10) == [[0, 1]]
    assert parts({}, 10) == []


def test_what_was_written_adds_up() -> None:
    both = Written({0: 1}, {0: 2}, {}, 1, {(0, 5): 1}) + Written({1: 3}, {}, {1: 1}, 2, {(0, 5): -1, (1, 5): 2})
    assert both == Written({0: 1, 1: 3}, {0: 2}, {1: 1}, 3, {(0, 5): 0, (1, 5): 2})
