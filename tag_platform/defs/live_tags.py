"""Tags follow MySQL while everything runs: a sensor compares the catalog in MySQL with the one that this code location
was loaded with, has the location loaded again where they differ, and then requests the runs that the change asks for.

Why a reload, and not a state-backed component: the assets of a tag are part of the code location's definitions, so
every reader (webserver, daemon, runs) must see the same set. A code server that is started by `dagster code-server
start` loads the code in a process of its own and replaces that process on `ReloadCode`; webserver and daemon ask for
its id every second and take the new definitions from it. One call therefore moves all readers, leaves runs alone (they
were handed their catalog when they started), and needs no deployment. A component's stored state would add a second
copy of the catalog, with an age of its own, beside MySQL and the last good file.

What cannot be read changes nothing: with MySQL away the tick is skipped and the loaded catalog stays. A rule that
cannot be used still makes a run: that run fails the tag's check `rule_valid`, which is where people see it.

The cursor remembers what was requested, so a restart requests nothing twice. Run keys are remembered for ever, so they
hold the number of the change beside the rules' versions: a rule that returns to an earlier text is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetKey,
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from tag_platform.catalog.rulebook import declared_schema, parse_catalog
from tag_platform.catalog.sources import SourceTable
from tag_platform.catalog.tags import Catalog, load_catalog
from tag_platform.defs.history import MERGED_KEY, source_key, tag_key
from tag_platform.defs.merging import details_digest
from tag_platform.defs.priorities import RULE_CHANGE, priority
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database
from tag_platform.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

log = logging.getLogger(__name__)
INTERVAL = 15  # seconds; with the reload and a run's start, a new tag is with its users within a minute
CODE_VERSION_TAG = "dagster/code_version"


@dataclass(frozen=True)
class Requested:
    """What the sensor has requested so far: the version of each tag, the retired tags, the digest of names and
    categories, and how many changes there were."""

    versions: dict[str, str] = field(default_factory=dict)
    retired: list[int] = field(default_factory=list)
    details: str = ""
    changes: int = 0

    @classmethod
    def of(cls, catalog: Catalog, versions: Mapping[int, str]) -> Requested:
        return cls({str(t): v for t, v in versions.items()}, sorted(catalog.retired_ids), details_digest(catalog))

    @classmethod
    def read(cls, cursor: str) -> Requested:
        return cls(**json.loads(cursor))

    def write(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Change:
    """What has to be done: tags to compute, and whether `user_tags` has to be merged."""

    tag_ids: tuple[int, ...]
    merge: bool


def versions_of(catalog: Catalog, sources: Mapping[str, SourceTable]) -> dict[int, str]:
    """The version of each active tag: the digest of what decides it, or of its rule's text where it cannot be used."""
    rulebook = parse_catalog(catalog, declared_schema(sources))
    versions = {}
    for tag in catalog.active:
        if tag.tag_id in rulebook.rules:
            versions[tag.tag_id] = rulebook.version(tag.tag_id)[:16]
        else:
            text = "\0".join(tag.rules)
            versions[tag.tag_id] = f"broken:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return versions


def change(before: Requested, now: Requested) -> Change:
    """Tags that are new or mean something else, and whether a merge is due: also after a tag was retired or renamed."""
    tags = tuple(sorted(int(t) for t, version in now.versions.items() if before.versions.get(t) != version))
    retired = bool(set(now.retired) - set(before.retired))
    return Change(tags, merge=bool(tags) or retired or now.details != before.details)


def already_computed(instance: DagsterInstance, catalog: Catalog) -> Requested | None:
    """What was computed before the sensor had a cursor. None where nothing ever was: the first computation of
    everything is a person's decision, or the schedule's."""
    versions = {}
    for tag in catalog.active:
        event = instance.get_latest_materialization_event(tag_key(tag.tag_id))
        if event is not None and event.asset_materialization is not None:
            versions[str(tag.tag_id)] = (event.asset_materialization.tags or {}).get(CODE_VERSION_TAG, "")
    return Requested(versions, sorted(catalog.retired_ids), details_digest(catalog)) if versions else None


def live_tags_sensor(
    catalog: Catalog,
    sources: Mapping[str, SourceTable],
    settings: Settings,
    job: UnresolvedAssetJobDefinition,
) -> SensorDefinition:
    """The sensor of a code location that was loaded with `catalog`."""

    @sensor(
        name="live_tags",
        job=job,
        minimum_interval_seconds=INTERVAL,
        default_status=DefaultSensorStatus.RUNNING,
        description="Follows the tag catalog in MySQL: new, changed and retired tags show up here and are computed.",
    )
    def live_tags(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        try:
            current = load_catalog(Database.of(settings))
        except (TagPlatformError, OSError) as error:
            return SkipReason(f"The graph stays as it is, the tag catalog cannot be read: {error}")
        except Exception as error:  # noqa: BLE001 (whatever the database says, the graph stays)
            return SkipReason(f"The graph stays as it is, the tag catalog cannot be read: {error!r}")
        if current.digest != catalog.digest:
            return SkipReason(request_reload(context.code_location_origin))
        now = Requested.of(catalog, versions_of(catalog, sources))
        if context.cursor:
            before = Requested.read(context.cursor)
        else:
            before = already_computed(context.instance, catalog) or now
        due = change(before, now)
        now = replace(now, changes=before.changes + (1 if due.merge else 0))
        if not due.merge:
            return SensorResult(skip_reason=SkipReason("All tags are as they were requested."), cursor=now.write())
        return SensorResult(run_requests=[_request(due, now, sources)], cursor=now.write())

    return live_tags


def _request(due: Change, now: Requested, sources: Mapping[str, SourceTable]) -> RunRequest:
    """One run for all the tags of a change: they are computed in one pass, after the sources they read."""
    keys: list[AssetKey] = [tag_key(tag_id) for tag_id in due.tag_ids]
    if keys:
        keys = [*(source_key(table) for table in sources), *keys]
    rules = ",".join(f"{t}@{now.versions[str(t)]}" for t in due.tag_ids)
    content = f"{rules}|{now.retired}|{now.details}".encode()
    return RunRequest(
        run_key=f"live_tags:{now.changes}:{hashlib.sha256(content).hexdigest()[:24]}",
        asset_selection=[*keys, MERGED_KEY],
        tags={
            **priority(RULE_CHANGE),
            "tag_platform/trigger": "rule change",
            "tag_platform/tags": ",".join(map(str, due.tag_ids))[:200] or "none",
        },
    )


def request_reload(origin: Any) -> str:
    """Has the code location loaded again; returns what to say of this tick.

    The reload replaces the process that this tick runs in, so it is asked for once the tick has been answered.
    """
    if not isinstance(origin, GrpcServerCodeLocationOrigin):
        return "The tag catalog has changed. Reload this code location to see it: it runs without a code server."

    def reload() -> None:
        time.sleep(1)
        try:
            origin.create_client().reload_code(timeout=120)
        except Exception as error:  # noqa: BLE001 (the next tick tries again)
            log.warning("The code location may not have been reloaded, the next tick looks again: %r", error)

    threading.Thread(target=reload, name="reload-code-location", daemon=True).start()
    return "The tag catalog has changed: the code location is being loaded again, the next tick requests the runs."
