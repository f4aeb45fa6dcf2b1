"""Lists of many tags by bits, and their counts by vectors.

An array with an element for every tag, most of them NULL, costs the engine more than all of the rules: 256 tags for a
million users are 256 million elements to make, test and drop. So the rules are packed into words of 32 bits by plain
sums, and numpy unpacks a batch of them at once. Counting is the same story: no row is made per user and tag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MANY = 32  # tags: with fewer of them, expressions of the engine alone are as fast
WORD = 32  # bits; of the 64 in a bigint, so that no sign is in the way
COUNTS_SCHEMA = "shard string, tag_id int, n long, user_id string, `order` long"


def tagged_by_bits(users: DataFrame, columns: Mapping[int, Column]) -> DataFrame:
    """`(user_id string, tag_ids array<int> ascending)` of the users for whom one of the columns is TRUE."""
    tag_ids = sorted(columns)
    words = []
    for start in range(0, len(tag_ids), WORD):
        bits = [
            F.when(columns[tag_id], F.lit(1 << bit).cast("bigint")).otherwise(F.lit(0).cast("bigint"))
            for bit, tag_id in enumerate(tag_ids[start : start + WORD])
        ]
        words.append(_sum(bits).alias(f"word{start}"))
    return users.select("user_id", *words).mapInArrow(_unpacker(tag_ids), "user_id string, tag_ids array<int>")


def _sum(terms: Sequence[Column]) -> Column:
    """As a tree: a long chain would be too deep for the protocol."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return _sum(terms[:middle]) + _sum(terms[middle:])


def _unpacker(tag_ids: Sequence[int]) -> Any:
    def unpack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        ids = np.array(tag_ids, np.int32)
        for batch in batches:
            if not batch.num_rows:
                continue
            words = np.stack([_numbers(column).astype("<u4") for column in batch.columns[1:]], axis=1)
            bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
            ends = np.concatenate([[0], np.cumsum(bits.sum(axis=1, dtype=np.int32))])
            found = pa.array(ids[np.flatnonzero(bits) % bits.shape[1]], pa.int32())
            lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), found)
            rows = pa.RecordBatch.from_arrays([batch.column(0).cast(pa.string()), lists], names=["user_id", "tag_ids"])
            yield rows.filter(pa.array(np.diff(ends) > 0))

    return unpack


def counted(written: DataFrame, tag_ids: Sequence[int]) -> DataFrame:
    """Counts `written` (`user_id, tag_ids, shard`) in parts, to be added up, in `COUNTS_SCHEMA`: `n` users of a tag in
    a shard (`tag_id` NULL: rows), and of these the user with the smallest CRC-32, which is `order`."""
    order = F.crc32(F.col("user_id").cast("binary")).alias("order")
    return written.select("shard", "user_id", "tag_ids", order).mapInArrow(_counter(sorted(tag_ids)), COUNTS_SCHEMA)


def _counter(tag_ids: Sequence[int]) -> Any:
    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        ids = np.array(tag_ids, np.int32)
        width = len(ids) + 1  # the last one counts rows
        totals: dict[int, int] = {}
        first: dict[int, tuple[int, str]] = {}
        for batch in batches:
            if not batch.num_rows:
                continue
            order = _numbers(batch.column(3))
            ascending = np.argsort(order, kind="stable")
            rows, order = batch.take(pa.array(ascending)), order[ascending]
            lists = rows.column(2)
            shards = _numbers(pc.cast(rows.column(0).cast(pa.string()), pa.int64()))
            row_of = np.repeat(np.arange(len(lists)), _numbers(pc.fill_null(pc.list_value_length(lists), 0)))
            keys = np.concatenate(
                [shards * width + len(ids), shards[row_of] * width + np.searchsorted(ids, _numbers(lists.flatten()))]
            )
            row_of = np.concatenate([np.arange(len(lists)), row_of])
            counts = np.bincount(keys)
            smallest = np.empty(len(counts), np.int64)
            smallest[keys[::-1]] = row_of[::-1]  # the first one is written last
            found = np.flatnonzero(counts)
            for key, n, row in zip(found.tolist(), counts[found].tolist(), smallest[found].tolist(), strict=True):
                totals[key] = totals.get(key, 0) + n
                if key not in first or order[row] < first[key][0]:
                    first[key] = (int(order[row]), rows.column(1)[row].as_py())
        keys_found = sorted(totals)
        columns: list[list[Any]] = [
            [f"{key // width:03d}" for key in keys_found],
            [None if key % width == len(ids) else tag_ids[key % width] for key in keys_found],
            [totals[key] for key in keys_found],
            [first[key][1] for key in keys_found],
            [first[key][0] for key in keys_found],
        ]
        types = (pa.string(), pa.int32(), pa.int64(), pa.string(), pa.int64())
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, names=["shard", "tag_id", "n", "user_id", "order"])

    return count


def _numbers(column: pa.Array) -> Any:
    return column.to_numpy(zero_copy_only=False)
