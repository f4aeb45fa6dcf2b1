"""Which runs the tag catalog's changes ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dagster import DagsterInstance, Definitions, RunRequest, SensorResult, SkipReason, build_sensor_context

from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.defs import live_tags
from tag_platform.defs.definitions import build_definitions
from tag_platform.defs.live_tags import Change, Requested, change, versions_of
from tag_platform.errors import TagPlatformError
from tag_platform.settings import Settings

SETTINGS = Settings()
SOURCES = load_sources(SETTINGS.sources)


def rule(age: int) -> str:
    leaf = {"field": "age", "operator": ">=", "value": age, "type": "number"}
    return json.dumps({"logic": "AND", "conditions": [leaf]})


def tag(tag_id: int, text: str, name: str = "tag", is_active: bool = True) -> Tag:
    return Tag(tag_id=tag_id, name=name, category="c", rules=(text,), is_active=is_active)


def requested(*tags: Tag) -> Requested:
    catalog = Catalog(tags=tags)
    return Requested.of(catalog, versions_of(catalog, SOURCES))


def test_nothing_is_due_where_nothing_changed() -> None:
    """A restart, or a row written again with other spaces, starts no run."""
    spaced = rule(18).replace(":", " :  ")
    assert change(requested(tag(1, rule(18))), requested(tag(1, spaced))) == Change((), merge=False)


def test_only_the_changed_and_the_new_tag_are_computed() -> None:
    before = requested(tag(1, rule(18)), tag(2, rule(30)))
    now = requested(tag(1, rule(18)), tag(2, rule(31)), tag(3, rule(40)))
    assert change(before, now) == Change((2, 3), merge=True)


def test_a_retired_tag_is_merged_away_without_computing_anything() -> None:
    before = requested(tag(1, rule(18)), tag(2, rule(30)))
    now = requested(tag(1, rule(18)), tag(2, rule(30), is_active=False))
    assert change(before, now) == Change((), merge=True)


def test_a_renamed_tag_needs_a_merge_alone() -> None:
    assert change(requested(tag(1, rule(18))), requested(tag(1, rule(18), name="new"))) == Change((), merge=True)


def test_a_broken_rule_has_a_version_so_that_its_check_runs() -> None:
    """Otherwise nobody would see it before the next daily refresh."""
    now = requested(tag(1, rule(18).replace("age", "no_such_column")))
    assert now.versions["1"].startswith("broken:")
    assert change(requested(tag(1, rule(18))), now) == Change((1,), merge=True)


def tick(catalog: Catalog, stored: Catalog | Exception, cursor: str | None, monkeypatch: pytest.MonkeyPatch) -> object:
    def load(_: object) -> Catalog:
        if isinstance(stored, Exception):
            raise stored
        return stored

    monkeypatch.setattr(live_tags, "load_catalog", load)
    definitions = build_definitions(catalog, SOURCES, SETTINGS)
    sensor = definitions.resolve_sensor_def("live_tags")
    with DagsterInstance.ephemeral() as instance:
        return sensor(build_sensor_context(instance=instance, cursor=cursor))


def one_request(result: object) -> RunRequest:
    assert isinstance(result, SensorResult)
    assert result.run_requests is not None
    (request,) = result.run_requests
    return request


def test_a_rule_that_returns_to_an_earlier_text_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run keys are remembered for ever: without the number of the change the third run would be dropped."""
    first, second = Catalog(tags=(tag(1, rule(18)),)), Catalog(tags=(tag(1, rule(20)),))
    cursor: str | None = tick_cursor(tick(first, first, None, monkeypatch))
    keys = []
    for catalog in (second, first, second):
        result = tick(catalog, catalog, cursor, monkeypatch)
        keys.append(one_request(result).run_key)
        cursor = tick_cursor(result)
    assert len(set(keys)) == 3


def tick_cursor(result: object) -> str:
    assert isinstance(result, SensorResult)
    assert result.cursor is not None
    return result.cursor


def test_the_request_names_the_changed_tag_its_sources_and_the_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    before = requested(tag(1, rule(18)), tag(2, rule(30))).write()
    now = Catalog(tags=(tag(1, rule(18)), tag(2, rule(31))))
    request = one_request(tick(now, now, before, monkeypatch))
    keys = {key.to_user_string() for key in request.asset_selection or ()}
    assert keys == {*(f"source/{name}" for name in SOURCES), "tag/tag_2", "merged_user_tags"}


def test_an_unreachable_database_skips_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL being away must neither fail the sensor nor take assets away."""
    result = tick(Catalog(), TagPlatformError("nothing answers there"), None, monkeypatch)
    assert isinstance(result, SkipReason)
    assert "nothing answers there" in (result.skip_message or "")


def test_everything_can_be_loaded_as_one_repository(tmp_path: Path) -> None:
    """Two definitions of one name load in a job's process, and make a code server refuse the whole location."""
    settings = Settings(home_given=tmp_path)
    catalog = Catalog(tags=(tag(1, rule(18)), tag(2, "no json")))
    definitions = build_definitions(catalog, SOURCES, settings)
    Definitions.validate_loadable(definitions)
    repository = definitions.get_repository_def()
    assert {"tag_all", "tag_users"} <= set(repository.job_names)
