"""Dagster's storage with kept connections and batches holds what dagster-mysql's own would hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    BackfillPolicy,
    DagsterInstance,
    DataVersion,
    Definitions,
    MaterializeResult,
    StaticPartitionsDefinition,
    asset,
    define_asset_job,
)

from tag_platform.dagster_storage import EventLogStorage, RunStorage, Storage
from tag_platform.defs.partitions import range_tags
from tag_platform.mysql import Database, transaction
from tag_platform.settings import Settings

pytestmark = pytest.mark.integration
EVENTS = (
    "SELECT dagster_event_type, step_key, asset_key, `partition` FROM event_logs WHERE run_id = %s ORDER BY 1, 2, 3, 4"
)
TAGS = (
    "SELECT e.asset_key, e.`partition`, t.`key`, t.value FROM asset_event_tags t JOIN event_logs e ON e.id = t.event_id"
    " WHERE e.run_id = %s AND t.`key` <> 'dagster/run_id' AND t.value NOT LIKE '%%-%%-%%-%%-%%' ORDER BY 1, 2, 3, 4"
)
CHECKS = (
    "SELECT asset_key, check_name, `partition`, execution_status FROM asset_check_executions WHERE run_id = %s"
    " ORDER BY 1, 2, 3"
)


def _query(settings: Settings, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with transaction(replace(Database.of(settings), name=settings.dagster_database)) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _definitions() -> Definitions:
    shards = StaticPartitionsDefinition(["000", "001", "002"])

    def make(name: str) -> Any:
        @asset(
            name=name,
            partitions_def=shards,
            backfill_policy=BackfillPolicy.single_run(),
            check_specs=[AssetCheckSpec("fine", asset=name)],
            code_version="1",
        )
        def made() -> Any:
            yield MaterializeResult(metadata={"rows": 3}, data_version=DataVersion("v"))
            yield AssetCheckResult(check_name="fine", passed=True)

        return made

    return Definitions(
        assets=[make("first"), make("second")],
        jobs=[define_asset_job("both", tags=range_tags([0, 1, 2]))],
    )


def test_batches_hold_the_same(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches leave the same rows as single events: events, tags, states of checks, the assets' latest events."""
    stored = {}
    for batch_size in ("0", "1000"):
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
        with DagsterInstance.get() as instance:
            assert isinstance(instance.event_log_storage, EventLogStorage)
            assert isinstance(instance.run_storage, RunStorage)
            run_id = _definitions().resolve_job_def("both").execute_in_process(instance=instance).run_id
            latest = {
                record.asset_entry.asset_key.to_user_string(): (
                    record.asset_entry.last_run_id == run_id,
                    (last := record.asset_entry.last_materialization_record) and last.partition_key,
                )
                for record in instance.get_asset_records()
            }
        stored[batch_size] = [_query(settings, statement, run_id) for statement in (EVENTS, TAGS, CHECKS)], latest
    assert stored["1000"] == stored["0"]
    events, tags, checks = stored["1000"][0]
    assert sum(kind == "ASSET_MATERIALIZATION" for kind, *_ in events) == 6
    assert tags
    assert {check[-1] for check in checks} >= {"SUCCEEDED"}


def test_a_batch_is_stored_whole_or_not_at_all(settings: Settings) -> None:
    """A batch that fails half-way leaves nothing, so that Dagster's second try, one by one, doubles no event."""
    with DagsterInstance.get() as instance:
        run_id = _definitions().resolve_job_def("both").execute_in_process(instance=instance).run_id
        storage = instance.event_log_storage
        assert isinstance(storage, EventLogStorage)
        entries = [record.event_log_entry for record in storage.get_records_for_run(run_id).records]
        planned = [e for e in entries if e.dagster_event and e.dagster_event.is_asset_materialization_planned]
        before = _query(settings, "SELECT COUNT(*) FROM event_logs")
        with pytest.raises(AttributeError):
            storage.store_event_batch([*planned, None])  # type: ignore[list-item]
        assert _query(settings, "SELECT COUNT(*) FROM event_logs") == before


def test_a_lost_connection_goes_unnoticed(settings: Settings) -> None:
    """The server may restart, or end idle connections, between two events of a run."""
    with DagsterInstance.get() as instance:
        assert instance.get_runs() == []
        mine = _query(
            settings,
            "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()",
            settings.dagster_database,
        )
        assert mine, "nothing was kept"
        for (connection,) in mine:
            _query(settings, f"KILL {int(connection)}")
        assert instance.get_runs() == []


def test_tables_that_a_dead_process_left_unmade_are_made(settings: Settings) -> None:
    """A first run that is killed while Dagster makes its tables must not cost the deployment its instance."""
    Storage(settings.dagster_mysql_url)
    with transaction(replace(Database.of(settings), name=settings.dagster_database)) as cursor:
        cursor.execute("SET FOREIGN_KEY_CHECKS = 0")
        for table in ("run_tags", "asset_event_tags", "job_ticks", "alembic_version"):
            cursor.execute(f"DROP TABLE {table}")
    storage = Storage(settings.dagster_mysql_url)
    assert storage.run_storage.get_runs_count() == 0
    tables = {name for (name,) in _query(settings, "SHOW TABLES")}
    assert {"run_tags", "asset_event_tags", "job_ticks", "alembic_version"} <= tables
