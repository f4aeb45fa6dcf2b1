"""How many partitions a shuffle of Apache Spark gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tag_platform.compute.shuffles import FEWEST, MOST, PACKED, PARTITION_BYTES, shuffle_partitions


def test_small_and_large() -> None:
    """A laptop's data do not open hundreds of files per task; a terabyte does not get gigabytes per partition."""
    assert shuffle_partitions(0) == shuffle_partitions(30 << 20) == FEWEST
    assert shuffle_partitions(100 << 30) == 6_400
    assert shuffle_partitions(1 << 60) == MOST


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_grows_with_the_data(few: int, more: int) -> None:
    """More data never get fewer partitions, and below the limit no partition is larger than advised."""
    few, more = sorted((few, more))
    assert FEWEST <= shuffle_partitions(few) <= shuffle_partitions(more) <= MOST
    if shuffle_partitions(more) < MOST:
        assert more * PACKED <= shuffle_partitions(more) * PARTITION_BYTES
