"""New rows by LOAD DATA LOCAL: the same rows, the same counts and the same care as by INSERT."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from tag_platform.catalog.migrate import migrate
from tag_platform.compute import upsert
from tag_platform.compute.load_rows import connect_to_load
from tag_platform.compute.stored_tags import DetailsText
from tag_platform.mysql import Database, transaction
from tag_platform.settings import Settings
from tag_platform.shards import shard_key, shard_of
from tag_platform_tests.platform import user_tags

pytestmark = pytest.mark.integration
SHARDS = 4
ODD = [
    "plain",
    "tab\tand\nline",
    "back\\slash",
    r"\N",
    r"\t",
    '"quoted"',
    "高净值",
    "😀",
    "A1",
    "a1",
    " leading",
    "cr\rx",
]
DETAILS = DetailsText(
    {
        1: {"tag_name": 'quote " and \\', "tag_category": "tab\tline\n"},
        2: {"tag_name": "高净值用户", "tag_category": "财富管理"},
    }
)


@pytest.fixture
def database(settings: Settings) -> Database:
    migrate(settings)
    return Database.of(settings)


def _write(database: Database, after: dict[str, list[int]]) -> Counter[tuple[int, int]]:
    """Writes new rows as a task of the engine would; returns (shard, what) → rows."""
    batch = pa.record_batch(
        {
            "user_id": pa.array(after, pa.string()),
            "before": pa.nulls(len(after), pa.list_(pa.int32())),
            "after": pa.array(after.values(), pa.list_(pa.int32())),
            "shard": [shard_key(shard_of(user, SHARDS)) for user in after],
        }
    )
    write = upsert._writer(database, DETAILS, {shard: frozenset({1, 2}) for shard in range(SHARDS)}, SHARDS)
    (counts,) = write([batch])
    return Counter({(row["shard"], row["what"]): row["n"] for row in counts.to_pylist()})


def _texts(settings: Settings) -> dict[str, tuple[Any, ...]]:
    return {user: row[:2] for user, row in user_tags(settings).items()}


def test_loaded_rows_equal_inserted_ones(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every character of an id and of a definition arrives, by either way, and so do the counts."""
    connection, may_load = connect_to_load(database)
    connection.close()
    assert may_load, "the server of the tests allows LOAD DATA LOCAL"
    after = {user: [[1, 2], [2], [1], []][n % 4] for n, user in enumerate(ODD)}
    found = []
    for way in (True, False):
        with transaction(database) as cursor:
            cursor.execute("DELETE FROM user_tags")
        monkeypatch.setattr(upsert, "connect_to_load", lambda database, way=way: (connect_to_load(database)[0], way))
        found.append((_write(database, after), _texts(settings)))
    loaded, inserted = found
    assert loaded == inserted
    assert set(loaded[1]) == set(ODD)
    assert sum(n for (_, what), n in loaded[0].items() if what == upsert.INSERTED) == len(ODD)


def test_rows_that_are_there_already_are_merged(settings: Settings, database: Database) -> None:
    """A row that a rival inserted in between keeps the rival's tag, and all others of the load are written too."""
    with transaction(database) as cursor:
        cursor.execute("INSERT INTO user_tags (user_id, tag_ids, tag_details) VALUES ('plain', '[9]', '{}')")
    counts = _write(database, {key: [2] for key in ODD})
    tags = {user: row[0] for user, row in _texts(settings).items()}
    assert tags == {**dict.fromkeys(ODD, "[2]"), "plain": "[2, 9]"}
    assert sum(n for (_, what), n in counts.items() if what == upsert.RIVAL) == 1


def test_a_second_attempt_changes_nothing(settings: Settings, database: Database) -> None:
    """The connection may be lost after the commit: the repeated load finds its own rows and counts them as inserted."""
    first = _write(database, {key: [1] for key in ODD})
    with transaction(database) as cursor:
        cursor.execute("UPDATE user_tags SET updated_time = '2020-01-01', created_time = '2020-01-01'")
    before = user_tags(settings)
    assert +_write(database, {key: [1] for key in ODD}) == +first
    assert user_tags(settings) == before
