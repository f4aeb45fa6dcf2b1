"""Where the changes of a merge lie."""

from datetime import UTC, datetime

from tag_platform.compute.ledger import Merge

MERGE = Merge(1, "run", None, "s3://b/lake/m", 4, (0, 1, 2, 3), (1, 3), datetime(2026, 1, 1, tzinfo=UTC), None)


def test_only_shards_with_changes_are_read() -> None:
    """An undo after thousands of merges reads what concerns it; a shard without changes has no directory at all."""
    assert MERGE.directories([0, 1], 4) == ("s3://b/lake/m/shard=001",)
    assert MERGE.directories([0, 2], 4) == ()


def test_another_division_into_shards_is_read_whole() -> None:
    """Users of one shard of today may have been in any shard of then."""
    assert MERGE.directories([0], 8) == ("s3://b/lake/m/shard=001", "s3://b/lake/m/shard=003")
