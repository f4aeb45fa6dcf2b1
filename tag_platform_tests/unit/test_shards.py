"""Shards: the same number everywhere, and choices that cannot be misread."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_platform.errors import BadInput
from tag_platform.shards import SLOTS, parse_shards, shard_keys, shard_of, slots_of


@given(st.text(min_size=1, max_size=100), st.sampled_from([1, 2, 8, 64, 1024]))
def test_slots_refine_shards(user: str, count: int) -> None:
    """A user's slot belongs to the user's shard, whatever the number of shards: the index on slots finds any shard."""
    try:
        data = user.encode()
    except UnicodeEncodeError:
        return
    shard = shard_of(user, count)
    assert zlib.crc32(data) % SLOTS in slots_of([shard], count)


def test_all_slots_once() -> None:
    assert sorted(slot for shard in range(8) for slot in slots_of([shard], 8)) == list(range(SLOTS))


def test_keys() -> None:
    assert shard_keys(2) == ["000", "001"]
    assert shard_keys(1024)[-1] == "1023"


@pytest.mark.parametrize(("text", "shards"), [("3", [3]), ("0-3", [0, 1, 2, 3]), ("1-1", [1])])
def test_parse(text: str, shards: list[int]) -> None:
    assert parse_shards(text, 8) == shards


@pytest.mark.parametrize("text", ["", "8", "3-1", "0-8", "a", "-1", "1-", "٣", "0,2"])
def test_refused(text: str) -> None:
    """A run is for one shard or one range: Dagster knows no other selection in one run."""
    with pytest.raises(BadInput, match="Shards"):
        parse_shards(text, 8)
