"""User shards: the partitions of every asset. A user's shard is `crc32(utf-8 user_id) % shards`, the same number in
Python, Spark and MySQL; a power of two, so that each shard of a coarse division is a set of the 1,024 finest slots."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from tag_platform.errors import BadInput

SLOTS = 1024


def shard_key(shard: int) -> str:
    """The partition key: three digits and more, "000", "001", …"""
    return f"{shard:03d}"


def shard_keys(count: int) -> list[str]:
    return [shard_key(shard) for shard in range(count)]


def shard_of(user_id: str, count: int) -> int:
    return zlib.crc32(user_id.encode()) % count


def slots_of(shards: Iterable[int], count: int) -> list[int]:
    """The values of `user_tags.shard_slot` that make up the given shards of `count`."""
    wanted = set(shards)
    return [slot for slot in range(SLOTS) if slot % count in wanted]


def parse_shards(text: str, count: int) -> list[int]:
    """Reads "3" or "0-3" into ascending shard numbers. Raises `BadInput` for anything else: a run is for one shard or
    for one range of them."""
    first, dash, last = text.partition("-")
    if not (first.isascii() and first.isdecimal()) or (dash and not (last.isascii() and last.isdecimal())):
        raise BadInput(f"Shards {text!r} cannot be read; write a number or a range, such as 3 or 0-3.")
    low, high = int(first), int(last or first)
    if low > high or high >= count:
        raise BadInput(f"Shards {text!r} do not exist: there are {count}, numbered 0 to {count - 1}.")
    return list(range(low, high + 1))
