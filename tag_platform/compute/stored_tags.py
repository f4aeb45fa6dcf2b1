"""Reads `user_tags` into the engine, in parallel and without a row on the driver.

Each task of the engine reads one range of rows through connectorx (about a million rows a second into Arrow).
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tag_platform.compute.account import ROWS
from tag_platform.compute.shuffles import size_shuffles
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database, retrying, transaction
from tag_platform.shards import slots_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STORED_SCHEMA = "user_id string, before array<int>, as_written boolean"
_ARROW_SCHEMA = pa.schema([("user_id", pa.string()), ("before", pa.list_(pa.int32())), ("as_written", pa.bool_())])
Task = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]
ROWS_PER_TASK = 500_000
PACKED_ROW_BYTES = 15  # an id and a short list of tags, as Parquet
USERS_PER_QUERY = 1_000


def read_stored(
    spark: SparkSession,
    database: Database,
    shards: Collection[int],
    shard_count: int,
    users: Collection[str] | None = None,
    details: Mapping[int, Mapping[str, str]] | None = None,
) -> DataFrame:
    """The stored tags of the given shards (or of `users` alone) as `(user_id, before, as_written)`.

    `before` is sorted and distinct. `as_written` is FALSE where the stored text is not what the platform writes:
    unsorted or doubled ids, or (with `details` given, by tag id) other details. A row whose `tag_ids` is no list of
    whole numbers fails the read: what it means is unknown.

    Beside them come rows without a user, which hold the counts of what was read: see `account`.
    """
    if users is not None:
        parts = sorted(users)
        chunks = [parts[i : i + USERS_PER_QUERY] for i in range(0, len(parts), USERS_PER_QUERY)]
        read = _users_reader(database, chunks, details, shard_count)
        tasks = len(chunks)
    else:
        where = _ranges(database, shards, shard_count)
        read = _range_reader(database, where, details, shard_count)
        tasks = len(where)
    if not tasks:
        return spark.createDataFrame([], STORED_SCHEMA)
    size_shuffles(spark, tasks * ROWS_PER_TASK * PACKED_ROW_BYTES if users is None else 0)
    return spark.range(0, tasks, 1, tasks).mapInArrow(read, STORED_SCHEMA)


def _ranges(database: Database, shards: Collection[int], shard_count: int) -> list[str]:
    """WHERE clauses that divide the rows among tasks: ranges of the primary key for the whole table (rows lie in its
    order), slots of the shards otherwise. They hold nothing but whole numbers."""

    def bounds() -> tuple[int | None, int | None]:
        with transaction(database) as cursor:
            cursor.execute("SELECT MIN(id), MAX(id) FROM user_tags")
            first, last = cursor.fetchone()
            return first, last

    first, last = retrying(bounds, "reading the bounds of user_tags")
    if first is None or last is None:
        return []
    tasks = max(1, math.ceil((last - first + 1) / ROWS_PER_TASK))
    if len(shards) == shard_count:
        step = math.ceil((last - first + 1) / tasks)
        starts = range(first, last + 1, step)
        return [
            f"id >= {int(start)} AND id < {int(start + step)}" if start + step <= last else f"id >= {int(start)}"
            for start in starts
        ]
    slots = slots_of(shards, shard_count)
    per_task = max(1, len(slots) // max(1, math.ceil(tasks * len(shards) / shard_count)))
    chunks = [slots[i : i + per_task] for i in range(0, len(slots), per_task)]
    return [f"shard_slot IN ({', '.join(str(int(slot)) for slot in chunk)})" for chunk in chunks]


def _select(details: object) -> str:
    digest = "CRC32(tag_details)" if details is not None else "0"
    return f"SELECT user_id, CAST(tag_ids AS CHAR) AS tag_ids, {digest} AS digest, shard_slot FROM user_tags"  # noqa: S608


def _range_reader(
    database: Database, where: list[str], details: Mapping[int, Mapping[str, str]] | None, shard_count: int
) -> Task:
    select = _select(details)

    def read(tasks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import connectorx

        url = database.url("mysql")
        parse = _StoredRows(details, shard_count)
        for batch in tasks:
            for task in batch.column(0).to_pylist():
                query = f"{select} WHERE {where[task]}"

                def fetch(query: str = query) -> pa.Table:
                    return connectorx.read_sql(url, query, return_type="arrow", protocol="binary")

                # connectorx says RuntimeError for whatever went wrong, a lost connection included.
                yield from parse(retrying(fetch, "reading user_tags", also=(RuntimeError,)))
        yield parse.counts()

    return read


def _users_reader(
    database: Database, chunks: list[list[str]], details: Mapping[int, Mapping[str, str]] | None, shard_count: int
) -> Task:
    # connectorx takes no parameters, and user ids travel as parameters only: PyMySQL reads these.
    select = _select(details)

    def read(tasks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        parse = _StoredRows(details, shard_count)
        for batch in tasks:
            for task in batch.column(0).to_pylist():
                chunk = chunks[task]

                def fetch(chunk: list[str] = chunk) -> list[Any]:
                    with transaction(database) as cursor:
                        cursor.execute(f"{select} WHERE user_id IN ({', '.join(['%s'] * len(chunk))})", chunk)
                        return list(cursor.fetchall())

                rows = retrying(fetch, "reading user_tags")
                columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
                types = (pa.string(), pa.string(), pa.int64(), pa.int64())
                arrays = [pa.array(column, type=kind) for column, kind in zip(columns, types, strict=True)]
                yield from parse(pa.table(arrays, names=["user_id", "tag_ids", "digest", "shard_slot"]))
        yield parse.counts()

    return read


class _StoredRows:
    """Turns what MySQL holds into `_ARROW_SCHEMA`. Users share few sets of tags, so each text is parsed once,
    and counted once per shard and batch."""

    def __init__(self, details: Mapping[int, Mapping[str, str]] | None, shard_count: int) -> None:
        self._shard_count = shard_count
        self._counts: dict[tuple[int, int], int] = {}
        self._details = None if details is None else DetailsText(details)

    def __call__(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        for batch in rows.to_batches(max_chunksize=100_000):
            texts = batch.column("tag_ids").cast(pa.string()).dictionary_encode()
            parsed: list[tuple[list[int], bool]] = []
            for position, text in enumerate(texts.dictionary.to_pylist()):
                found = parse_tag_ids(text)
                if found is None:
                    user = batch.column("user_id")[texts.indices.to_pylist().index(position)].as_py()
                    raise TagPlatformError(
                        f"user_tags: the row of user {user!r} holds tag_ids that are no list of whole numbers. "
                        "Correct or delete it; nothing was written."
                    )
                parsed.append(found)
            self._count(batch, texts, [ids for ids, _ in parsed])
            tag_ids = pa.array([ids for ids, _ in parsed], pa.list_(pa.int32()))
            canonical = pa.array([ok for _, ok in parsed], pa.bool_()).take(texts.indices)
            if self._details is not None:
                expected = pa.array([self._details.crc32(ids) for ids, _ in parsed], pa.int64()).take(texts.indices)
                same = pc.equal(batch.column("digest").cast(pa.int64()), expected)
                canonical = pc.and_(canonical, pc.fill_null(same, False))
            columns = [batch.column("user_id").cast(pa.string()), tag_ids.take(texts.indices), canonical]
            yield pa.RecordBatch.from_arrays(columns, schema=_ARROW_SCHEMA)

    def counts(self) -> pa.RecordBatch:
        """The counts of everything read so far, as rows without a user."""
        entries = [[shard, tag_id, n] for (shard, tag_id), n in sorted(self._counts.items())]
        columns = [
            pa.nulls(len(entries), pa.string()),
            pa.array(entries, pa.list_(pa.int32())),
            pa.nulls(len(entries), pa.bool_()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=_ARROW_SCHEMA)

    def _count(self, batch: pa.RecordBatch, texts: pa.DictionaryArray, parsed: list[list[int]]) -> None:
        import numpy as np

        shards = batch.column("shard_slot").to_numpy(zero_copy_only=False).astype("int64") % self._shard_count
        pairs = np.bincount(shards * len(parsed) + texts.indices.to_numpy(zero_copy_only=False))
        for pair in np.flatnonzero(pairs):
            shard, text = divmod(int(pair), len(parsed))
            for tag_id in (ROWS, *parsed[text]):
                self._counts[shard, tag_id] = self._counts.get((shard, tag_id), 0) + int(pairs[pair])


def parse_tag_ids(text: str) -> tuple[list[int], bool] | None:
    """The sorted distinct ids in the stored text, and whether the text is written as the platform writes it. None for
    anything but a list of whole numbers."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return None
    if not isinstance(value, list) or not all(type(item) is int and abs(item) < 2**31 for item in value):
        return None
    ids = sorted(set(value))
    return ids, tag_ids_text(ids) == text


def tag_ids_text(tag_ids: list[int]) -> str:
    """The canonical text of `tag_ids`, as MySQL prints JSON and as MariaDB keeps it: `[1, 2, 5]`."""
    return "[" + ", ".join(map(str, tag_ids)) + "]"


class DetailsText:
    """The canonical text of `tag_details` for a list of tag ids, in the order and spacing in which MySQL prints JSON.

    Ids without a definition have no entry.
    """

    def __init__(self, details: Mapping[int, Mapping[str, str]]) -> None:
        self._entries = {
            tag_id: f'"{tag_id}": {json.dumps(dict(entry), ensure_ascii=False)}' for tag_id, entry in details.items()
        }
        self._texts: dict[tuple[int, ...], str] = {}

    def __call__(self, tag_ids: list[int]) -> str:
        key = tuple(tag_ids)
        text = self._texts.get(key)
        if text is None:
            text = "{" + ", ".join(self._entries[tag_id] for tag_id in key if tag_id in self._entries) + "}"
            if len(self._texts) < 100_000:
                self._texts[key] = text
        return text

    def crc32(self, tag_ids: list[int]) -> int:
        return zlib.crc32(self(tag_ids).encode())
