"""The users of the suite and what is right for them: raw data, rules and decisions at random, and the table that
follows from them by plain set arithmetic, with no code of the platform in it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import yaml

from tag_platform import overrides
from tag_platform.catalog.migrate import migrate
from tag_platform.mysql import Database, transaction
from tag_platform_tests.faults.servers import Ground
from tag_platform_tests.platform import write_raw

USERS = [f"user_{n:04d}" for n in range(400)]
RULED = [1, 2, 3, 4, 5]  # tag n is TRUE where column t<n> is at least 1
RETIRING, MANUAL = 5, 6
FOREIGN = [95, 96]  # written by other hands, defined nowhere
Table = dict[str, frozenset[int]]


@dataclass
class Step:
    """What one round does: the tags that its run is for (None: all), and what people do meanwhile."""

    tag_ids: list[int] | None
    changes: list[tuple[str, int, bool]]  # a person's own UPDATE: user, foreign tag, add or remove
    decisions: list[tuple[str, int, str]]  # user, tag, pin or exclude


@dataclass
class World:
    """The truth: rows as they must be, and what they follow from."""

    ground: Ground
    rng: random.Random
    table: Table = field(default_factory=dict)
    values: dict[str, dict[int, int]] = field(default_factory=dict)
    decided: dict[tuple[str, int], str] = field(default_factory=dict)
    retired: set[int] = field(default_factory=set)

    def prepare(self) -> None:
        """Schema, definitions, the source catalog and the triggers that record every change of a row."""
        settings = self.ground.settings
        columns = {f"t{n}": "int" for n in RULED}
        sources = {"tables": {"people": {"path": "people", "partition": "dt", "columns": columns}}}
        settings.sources.write_text(yaml.safe_dump(sources))
        migrate(settings)
        with transaction(self.ground.admin) as cursor:
            cursor.execute("DELETE FROM tag_rules")
            cursor.execute("DELETE FROM tag_definition")
            for tag_id in (*RULED, MANUAL):
                cursor.execute(
                    "INSERT INTO tag_definition (tag_id, tag_name, tag_category, is_manual) VALUES (%s, %s, 'c', %s)",
                    (tag_id, f"标签 {tag_id}", tag_id == MANUAL),
                )
            for tag_id in RULED:
                leaf = {"field": f"people.t{tag_id}", "operator": ">=", "value": 1, "type": "number"}
                rule = json.dumps({"logic": "AND", "conditions": [leaf]})
                cursor.execute("INSERT INTO tag_rules (tag_id, rule_conditions) VALUES (%s, %s)", (tag_id, rule))
            for statement in _RECORDER:
                cursor.execute(statement)

    def step(self, busy: bool = False) -> Step:
        """Draws a round, writes its raw data and definitions, and moves the truth on. `busy`: for all tags, and with
        people at work."""
        rng = self.rng
        present = [user for user in USERS if rng.random() < 0.95]
        for user in present:
            known = self.values.setdefault(user, {})
            for tag_id in RULED:
                if tag_id not in known or rng.random() < 0.3:
                    known[tag_id] = int(rng.random() < 0.4)
        columns: dict[str, Any] = {"user_id": pa.array(present, pa.string())}
        columns |= {f"t{n}": pa.array([self.values[user][n] for user in present], pa.int32()) for n in RULED}
        write_raw(self.ground.settings, "people", columns)
        if rng.random() < 0.15:
            self.retired ^= {RETIRING}
            with transaction(self.ground.admin) as cursor:
                cursor.execute(
                    "UPDATE tag_definition SET is_active = %s WHERE tag_id = %s", (not self.retired, RETIRING)
                )
        active = [tag_id for tag_id in RULED if tag_id not in self.retired]
        tag_ids = None if busy or rng.random() < 0.6 else sorted(rng.sample(active, rng.randint(1, 3)))
        step = Step(tag_ids, self._changes(busy), self._decisions(busy))
        self._move(step, set(present), set(active if tag_ids is None else tag_ids))
        return step

    def _changes(self, busy: bool) -> list[tuple[str, int, bool]]:
        if not busy and self.rng.random() < 0.5:
            return []
        users = [*self.rng.sample(USERS, 4), f"stranger_{self.rng.randint(0, 30):02d}"]
        return [(user, self.rng.choice(FOREIGN), self.rng.random() < 0.7) for user in users]

    def _decisions(self, busy: bool) -> list[tuple[str, int, str]]:
        if not busy and self.rng.random() < 0.7:
            return []
        tag_id = self.rng.choice([1, 2, MANUAL])
        return [(self.rng.choice(USERS), tag_id, self.rng.choice(["pin", "exclude"]))]

    def _move(self, step: Step, present: set[str], owned: set[int]) -> None:
        for user, tag_id, add in step.changes:
            tags = self.table.get(user, frozenset())
            self.table[user] = tags | {tag_id} if add else tags - {tag_id}
        for user, tag_id, kind in step.decisions:
            self.decided[user, tag_id] = kind
        pinned: dict[str, set[int]] = {}
        excluded: dict[str, set[int]] = {}
        for (user, tag_id), kind in self.decided.items():
            (pinned if kind == "pin" else excluded).setdefault(user, set()).add(tag_id)
        for user in {*USERS, *self.table, *pinned}:
            ruled = {n for n in owned if user in present and self.values[user][n] >= 1}
            kept = self.table.get(user, frozenset()) - owned - self.retired
            after = ((kept | ruled) - excluded.get(user, set())) | (pinned.get(user, set()) - self.retired)
            if after or user in self.table:
                self.table[user] = frozenset(after)


def change_by_hand(admin: Database, user: str, tag_id: int, add: bool) -> None:
    """A person's own change of a row, as an administrator would make it: read, change, write, in one transaction."""
    with transaction(admin) as cursor:
        cursor.execute("SET @person = 1")
        cursor.execute("SELECT CAST(tag_ids AS CHAR) FROM user_tags WHERE user_id = %s FOR UPDATE", (user,))
        row = cursor.fetchone()
        tags = set(json.loads(row[0])) if row else set()
        text = json.dumps(sorted(tags | {tag_id} if add else tags - {tag_id}))
        cursor.execute(
            "INSERT INTO user_tags (user_id, tag_ids, tag_details) VALUES (%s, %s, '{}')"
            " ON DUPLICATE KEY UPDATE tag_ids = VALUES(tag_ids)",
            (user, text),
        )


def decide(ground: Ground, user: str, tag_id: int, kind: str) -> None:
    """Pins or excludes by the platform's own function."""
    make = overrides.pin if kind == "pin" else overrides.exclude
    make(ground.settings, user, tag_id, "a person", "the suite")


# Every committed change of a row, in order: `user_tags` alone does not tell how often a time stamp was moved. The pause
# makes writing take long enough that faults meet it in the middle of a batch.
_RECORDER = (
    "CREATE TABLE recorded (n BIGINT PRIMARY KEY AUTO_INCREMENT, user_id VARCHAR(100) NOT NULL, person BOOLEAN,"
    " old_tags TEXT, new_tags TEXT, old_details TEXT, new_details TEXT, old_created TIMESTAMP NULL,"
    " new_created TIMESTAMP NULL, old_updated TIMESTAMP NULL, new_updated TIMESTAMP NULL,"
    " moment TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) CHARACTER SET utf8mb4",
    "CREATE TRIGGER record_insert AFTER INSERT ON user_tags FOR EACH ROW BEGIN"
    " IF @person IS NULL THEN DO SLEEP(0.002); END IF;"
    " INSERT INTO recorded (user_id, person, new_tags, new_details, new_created, new_updated)"
    " VALUES (NEW.user_id, @person, NEW.tag_ids, NEW.tag_details, NEW.created_time, NEW.updated_time); END",
    "CREATE TRIGGER record_update AFTER UPDATE ON user_tags FOR EACH ROW"
    " IF NOT (OLD.tag_ids <=> NEW.tag_ids AND OLD.tag_details <=> NEW.tag_details"
    " AND OLD.updated_time <=> NEW.updated_time AND OLD.created_time <=> NEW.created_time) THEN"
    " IF @person IS NULL THEN DO SLEEP(0.002); END IF;"
    " INSERT INTO recorded (user_id, person, old_tags, new_tags, old_details, new_details, old_created, new_created,"
    " old_updated, new_updated) VALUES (NEW.user_id, @person, OLD.tag_ids, NEW.tag_ids, OLD.tag_details,"
    " NEW.tag_details, OLD.created_time, NEW.created_time, OLD.updated_time, NEW.updated_time); END IF",
    "CREATE TRIGGER record_delete AFTER DELETE ON user_tags FOR EACH ROW"
    " INSERT INTO recorded (user_id, person, old_tags, old_created, old_updated)"
    " VALUES (OLD.user_id, @person, OLD.tag_ids, OLD.created_time, OLD.updated_time)",
)
