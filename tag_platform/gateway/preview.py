"""Tries a rule on the newest snapshots: which ones, which plan, and a process of bounded time and memory to count in.

The gateway itself holds no engine. One preview counts at a time, so that people who try rules cannot take the machine
from the runs.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from threading import Semaphore
from typing import Any

from tag_platform.catalog.rulebook import Rulebook, parse_catalog, stored_schema
from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import load_catalog
from tag_platform.compute.plan import EvaluateTags
from tag_platform.compute.planning import tags_plan
from tag_platform.compute.preview import Preview, PreviewOrder
from tag_platform.dates import parse_date
from tag_platform.errors import BadInput
from tag_platform.gateway import bodies, tasks
from tag_platform.gateway.dagster_client import DagsterClient
from tag_platform.gateway.errors import Refusal, unavailable
from tag_platform.lake.snapshots import require_present, shard_directory
from tag_platform.mysql import Database
from tag_platform.rules import InvalidRule, Rule, parse_rule
from tag_platform.rules.lint import lint_rule
from tag_platform.rules.strict_json import load
from tag_platform.settings import Settings
from tag_platform.shards import shard_key

log = logging.getLogger(__name__)
UNSAVED = 0  # the tag id of a rule that has none
PATIENCE = 10  # seconds that a preview waits for the one before it
Snapshots = Mapping[str, Mapping[int, Mapping[str, Any]]]  # table → shard → metadata of its newest snapshot


def preview_rule(
    body: bodies.PreviewRequest, raw: bytes, dagster: DagsterClient, settings: Settings, slot: Semaphore
) -> bodies.Previewed:
    """Raises `Refusal` 422 for a rule or a date that cannot be used, 409 where nothing was computed yet, and 503 where
    counting took more than it may."""
    text = _rule_text(raw)
    as_of = _day(body.as_of, settings)
    sources = load_sources(settings.sources)
    shards = tuple(range(min(body.sample_shards or settings.shards, settings.shards)))
    snapshots = _snapshots(dagster, list(sources), shards)
    stored = {table: by_shard[0]["stored_columns"] for table, by_shard in snapshots.items()}
    schema = stored_schema(sources, stored)
    catalog = load_catalog(Database.of(settings))
    book = parse_catalog(catalog, schema)
    try:
        rule = parse_rule(text, schema, references=book.texts, retired=catalog.retired_ids)
    except InvalidRule as error:
        raise _invalid(error, "$.rule") from error
    plan = tags_plan(_with(book, rule, text), schema, [UNSAVED], _directories(snapshots), shards, as_of, "", settings)
    require_present([path for source in plan.sources.values() for path in source.directories], settings)
    found = _count(plan, settings, slot)
    exact = len(shards) == settings.shards
    return bodies.Previewed(
        exact=exact,
        users=found.users,
        matched=found.matched,
        coverage=round(found.matched / found.users, 6) if found.users else 0.0,
        matched_of_all=found.matched if exact else round(found.matched * settings.shards / len(shards)),
        examples=[masked(user) for user in found.examples],
        rule=rule.describe(),
        as_of=as_of.isoformat(),
        partitions={table: str(by_shard[0].get("partition", "")) for table, by_shard in snapshots.items()},
        warnings=[bodies.Warned(path=f"$.rule{w.path[1:]}", message=w.message) for w in lint_rule(rule)],
    )


def masked(user_id: str) -> str:
    """A quarter of the id at either end, two characters at most: enough to recognise a kind of id, not a user."""
    shown = min(2, len(user_id) // 4)
    return f"{user_id[:shown]}***{user_id[len(user_id) - shown :]}"


def _rule_text(raw: bytes) -> str:
    """The rule as JSON text, read as strictly as the catalog's: the framework's parser lets a key be there twice."""
    try:
        load(raw)
    except InvalidRule as error:
        raise _invalid(error, "$") from error
    return json.dumps(json.loads(raw)["rule"])


def _invalid(error: InvalidRule, root: str) -> Refusal:
    details = [{"path": root + one.path[1:], "message": one.message} for one in error.errors]
    return Refusal(422, "invalid_rule", "The rule cannot be used as it is.", details)


def _day(text: str | None, settings: Settings) -> Any:
    try:
        return datetime.now(settings.zone).date() if text is None else parse_date(text)
    except BadInput as error:
        raise Refusal(422, "invalid_request", str(error), [{"path": "$.as_of", "message": str(error)}]) from error


def _snapshots(dagster: DagsterClient, tables: Sequence[str], shards: Sequence[int]) -> Snapshots:
    events = dagster.newest_by_partition([["source", table] for table in tables], [shard_key(s) for s in shards])
    found: dict[str, dict[int, Mapping[str, Any]]] = {table: {} for table in tables}
    for path, partition, entries in events:
        found[path[-1]][int(partition)] = tasks.metadata_values(entries)
    missing = sorted(table for table, by_shard in found.items() if set(by_shard) != set(shards))
    if missing:
        raise Refusal(
            409,
            "not_computed",
            f"Source table {', '.join(missing)} has no snapshot of every user shard yet; trigger any tag for everybody"
            " first.",
        )
    return found


def _directories(snapshots: Snapshots) -> dict[str, tuple[str, ...]]:
    """Each table's shard directories; a shard without rows has none."""
    return {
        table: tuple(
            shard_directory(str(entry["path"]), shard)
            for shard, entry in sorted(by_shard.items())
            if entry["rows_by_shard"].get(shard_key(shard), 0)
        )
        for table, by_shard in snapshots.items()
    }


def _with(book: Rulebook, rule: Rule, text: str) -> Rulebook:
    return replace(book, rules={**book.rules, UNSAVED: rule}, texts={**book.texts, UNSAVED: text})


def _count(plan: EvaluateTags, settings: Settings, slot: Semaphore) -> Preview:
    seconds = settings.preview_seconds
    order = PreviewOrder(plan=plan, seconds=seconds, memory_bytes=settings.preview_memory_mb * 2**20)
    # An own Spark's variables would make PySpark look for that one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    with _turn(slot):
        try:
            ran = subprocess.run(
                [sys.executable, "-m", "tag_platform.compute.preview"],
                input=order.model_dump_json().encode(),
                capture_output=True,
                env=environment,
                timeout=seconds + 5,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _too_slow(seconds) from error
    if ran.returncode == -signal.SIGALRM:
        raise _too_slow(seconds)
    if ran.returncode:
        log.warning("a preview ended with exit code %d; its output follows at level DEBUG", ran.returncode)
        log.debug("%s", ran.stderr.decode(errors="replace")[-4000:])
        raise unavailable(
            f"Counting failed (exit code {ran.returncode}), perhaps for want of memory (TAG_PLATFORM_PREVIEW_MEMORY_MB"
            f"={settings.preview_memory_mb}); try a sample: sample_shards."
        )
    return Preview.model_validate_json(ran.stdout)


def _too_slow(seconds: int) -> Refusal:
    return Refusal(
        503,
        "too_slow",
        f"Counting took longer than {seconds} s (TAG_PLATFORM_PREVIEW_SECONDS); try a sample: sample_shards.",
    )


@contextmanager
def _turn(slot: Semaphore) -> Iterator[None]:
    if not slot.acquire(timeout=PATIENCE):
        raise unavailable("Another preview is still being counted; ask again.")
    try:
        yield
    finally:
        slot.release()
