"""Dagster's storage in MySQL, as `dagster.yaml` names it: dagster-mysql's own, with connections that are kept and
events that are written together.

dagster-mysql opens a connection for every statement: a run of 8 tags × 8 shards opened 950 of them, a third of its
time. And it stores one event after the other, each in several transactions, where Dagster offers whole batches (all
shards of an asset, all plans of a run). Tables and rows are the same, so the classes can be exchanged at any time.

Dagster hands on batches where `DAGSTER_EVENT_BATCH_SIZE` says how large they may be (see `settings.environment`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from dagster import DagsterEventType
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.config import MySqlStorageConfig
from dagster._core.storage.event_log.migration import ASSET_KEY_INDEX_COLS
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._core.storage.sql import create_engine
from dagster._serdes import ConfigurableClassData, serialize_value
from dagster_mysql import DagsterMySQLStorage, MySQLEventLogStorage, MySQLRunStorage, MySQLScheduleStorage
from dagster_mysql.utils import mysql_isolation_level, mysql_url_from_config, retry_mysql_creation_fn
from sqlalchemy import MetaData, inspect
from sqlalchemy.engine import Connection, Engine

RECYCLE_SECONDS = 300  # below the idle time-out of any server or proxy worth the name


def _keeping_connections(mysql_url: str) -> Engine:
    """One connection is kept, more are opened as needed. Each is asked for a sign of life before it is used again, so a
    restart of the server goes unnoticed."""
    return create_engine(
        mysql_url,
        isolation_level=mysql_isolation_level(),  # type: ignore[no-untyped-call]
        pool_size=1,
        max_overflow=-1,
        pool_recycle=RECYCLE_SECONDS,
        pool_pre_ping=True,
    )


def _create_what_is_missing(storage: Any, metadata: MetaData, *finish: Callable[[], None]) -> None:
    """Dagster makes its tables when the first of them is not there. A process that died while it made them would leave
    an instance that no later one can use or repair."""
    if set(metadata.tables) - set(inspect(storage._engine).get_table_names()):
        retry_mysql_creation_fn(storage._init_db)
        for step in finish:
            step()


class RunStorage(MySQLRunStorage):
    def __init__(self, mysql_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(mysql_url, inst_data)
        self._engine = _keeping_connections(mysql_url)
        _create_what_is_missing(self, RunStorageSqlMetadata, self.migrate, self.optimize)


class ScheduleStorage(MySQLScheduleStorage):
    def __init__(self, mysql_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(mysql_url, inst_data)
        self._engine = _keeping_connections(mysql_url)
        _create_what_is_missing(self, ScheduleStorageSqlMetadata)


class EventLogStorage(MySQLEventLogStorage):
    """The event log. A batch is one transaction: all of its events are stored, or none."""

    def __init__(self, mysql_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(mysql_url, inst_data)
        self._engine = _keeping_connections(mysql_url)
        self._tables: set[str] = set()
        _create_what_is_missing(self, SqlEventLogStorageMetadata, self.reindex_events, self.reindex_assets)

    def has_table(self, table_name: str) -> bool:
        """Asked for every materialization. A table that was there stays there."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Stores what `store_event` would store for each; Dagster batches materializations and plans alone."""
        self.has_secondary_index(ASSET_KEY_INDEX_COLS)  # what is cached is not asked for inside the transaction
        with self.index_transaction() as connection:
            ids = [self._insert(connection, event) for event in events]
            stored = list(zip(events, ids, strict=True))
            of_assets = [(event, id_) for event, id_ in stored if event.dagster_event_type in ASSET_EVENTS]
            if of_assets:
                self._store_asset_event_tags(connection, *zip(*of_assets, strict=True))
            # An asset's row tells of its latest event alone.
            latest = {event.get_dagster_event().asset_key: (event, id_) for event, id_ in of_assets}
            for event, id_ in latest.values():
                self._store_asset_event(connection, event, id_)
            planned = [row for event, id_ in stored for row in self._planned_checks(event, id_)]
            if planned:
                connection.execute(AssetCheckExecutionsTable.insert(), planned)

    def _insert(self, connection: Connection, event: EventLogEntry) -> int:
        key = connection.execute(self.prepare_insert_event(event)).inserted_primary_key
        assert key is not None  # noqa: S101 (an INSERT of one row)
        return int(key[0])

    def _planned_checks(self, event: EventLogEntry, event_id: int) -> list[dict[str, Any]]:
        if event.dagster_event_type != DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            return []
        planned: Any = event.get_dagster_event().event_specific_data
        partitions = planned.partitions_subset.get_partition_keys() if planned.partitions_subset else [None]
        return [
            {
                "asset_key": planned.asset_key.to_string(),
                "check_name": planned.check_name,
                "partition": partition,
                "run_id": event.run_id,
                "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
                "evaluation_event": serialize_value(event),
                "evaluation_event_timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
                "evaluation_event_storage_id": event_id,
            }
            for partition in partitions
        ]


class Storage(DagsterMySQLStorage):
    """The three storages of one instance. Configured by `mysql_url`, as dagster-mysql's own."""

    def __init__(self, mysql_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        # The parent itself would open three storages of its own.
        super(DagsterMySQLStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.mysql_url = mysql_url
        self._inst_data = inst_data
        self._run_storage = RunStorage(mysql_url)
        self._event_log_storage = EventLogStorage(mysql_url)
        self._schedule_storage = ScheduleStorage(mysql_url)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Storage:
        return cls(mysql_url_from_config(cast("MySqlStorageConfig", config_value)), inst_data)
