"""A deployment of the benchmark's own: database server (and object store) on free ports, everything in a temporary
folder. Nobody's data are touched, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from infra.local import database, deployment, object_store
from infra.local.ports import free_block
from infra.local.reset_data import drop_files
from tag_platform.catalog.migrate import migrate
from tag_platform.mysql import Database, transaction
from tag_platform.sample_data import warehouse as samples
from tag_platform.settings import Settings, load_settings

PORTS = ("MYSQL_PORT", "TAG_PLATFORM_UI_PORT", "TAG_PLATFORM_CODE_SERVER_PORT", "API_PORT", "TAG_PLATFORM_S3_PORT")
DAY = date(2026, 11, 22)  # the newest partition; runs are as of the day after, which leaves room for a newer one
AS_OF = date(2026, 11, 23)


@dataclass(frozen=True)
class Bench:
    """One platform on the benchmark's servers: its settings, its variables, and how many users it holds."""

    settings: Settings
    variables: Mapping[str, str]
    users: int

    def environment(self) -> dict[str, str]:
        """For processes: nothing of the developer's own settings."""
        return {**_foreign_environment(), **self.variables, **self.settings.environment()}

    def forget(self) -> None:
        """Back to the state before a first load: no rows, no snapshots. Dagster's history stays, and points nowhere."""
        with transaction(Database.of(self.settings)) as cursor:
            cursor.execute("TRUNCATE TABLE user_tags")
            cursor.execute("DELETE FROM tag_merges")
        drop_files(self.settings, self.settings.lake)

    def floor_database(self) -> Database:
        return replace(Database.of(self.settings), name=f"{self.settings.mysql_database}_floor")


class Servers:
    """The servers of one benchmark. `platform` makes an empty platform on them, with made-up users."""

    def __init__(self, folder: Path, storage: str) -> None:
        first = free_block(object_store.PORTS + len(PORTS) - 1)
        self.folder, self.storage = folder, storage
        self._variables = {
            **{name: str(first + n) for n, name in enumerate(PORTS)},  # the last one has a row of its own after it
            "TAG_PLATFORM_HOME": str(folder / "home"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.settings = _settings(self._variables)

    def start(self) -> None:
        deployment.ensure_services(self.settings)

    def stop(self) -> None:
        deployment.down(self.settings)

    def restart(self) -> None:
        """Servers that remember nothing of what they read."""
        self.stop()
        self.start()

    def platform(self, name: str, users: int, **variables: str) -> Bench:
        root = f"s3://{self.settings.bucket}/{name}" if self.storage == "s3" else str(self.folder / "data" / name)
        variables = {
            **self._variables,
            "MYSQL_DATABASE": f"bench_{name}",
            "TAG_PLATFORM_DAGSTER_DATABASE": f"bench_{name}_dagster",
            "TAG_PLATFORM_WAREHOUSE": f"{root}/warehouse",
            "TAG_PLATFORM_LAKE": f"{root}/lake",
            **variables,
        }
        settings = _settings(variables)
        for extra in ("", "_floor"):
            here = settings.model_copy(update={"mysql_database": f"{settings.mysql_database}{extra}"})
            database.ensure_databases(here)
            migrate(here)
        samples.write(settings, samples.Request(users, seed=1, days=1, newest=DAY), lambda _: None)
        return Bench(settings, variables, users)


@contextmanager
def servers(storage: str) -> Iterator[Servers]:
    """Started servers; stopped and deleted in the end, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="tag_platform_bench_"))
    made = Servers(folder, storage)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _foreign_environment() -> dict[str, str]:
    ours = {*Settings.variables(), "DAGSTER_HOME"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _settings(variables: Mapping[str, str]) -> Settings:
    """Settings of these variables alone."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update({**{k: v for k, v in before.items() if k not in Settings.variables()}, **variables})
        return load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
