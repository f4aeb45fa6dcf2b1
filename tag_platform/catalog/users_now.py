"""How many users have each tag now, counted in `user_tags`."""

from __future__ import annotations

import json
from collections import Counter

from pymysql.cursors import SSCursor

from tag_platform.mysql import Database, transaction


def count_users(database: Database) -> dict[int, int]:
    """Users per tag id. Users share few sets of tags, so MySQL counts the sets and each is opened once here."""
    counts: Counter[int] = Counter()
    with transaction(database, cursorclass=SSCursor) as cursor:
        cursor.execute("SELECT CAST(tag_ids AS CHAR) AS tags, COUNT(*) FROM user_tags GROUP BY tags")
        for text, users in cursor:
            for tag_id in set(json.loads(text)):
                counts[tag_id] += users
    return dict(counts)
