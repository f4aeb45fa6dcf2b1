"""Whether each part that a run or a trigger needs answers: for `tag-platform health` and the job `health`."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from tag_platform.errors import TagPlatformError
from tag_platform.settings import Settings


@dataclass(frozen=True)
class PartHealth:
    """`state` is ok, failed, or down (a part that runs do without)."""

    part: str
    state: str
    note: str


def check_parts(settings: Settings) -> list[PartHealth]:
    """All parts, one after the other; nothing is raised."""
    found = []
    for name, needed, check in CHECKS:
        try:
            state, note = "ok", check(settings)
        except TagPlatformError as error:
            state, note = ("failed" if needed else "down"), str(error)
        except Exception as error:  # noqa: BLE001 (a health check reports whatever goes wrong)
            state, note = (
                ("failed" if needed else "down"),
                f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            )
        found.append(PartHealth(name, state, note))
    return found


def check_database(settings: Settings) -> str:
    from tag_platform.catalog.tags import load_catalog
    from tag_platform.mysql import Database, transaction

    database = Database.of(settings)
    with transaction(database) as cursor:
        cursor.execute("SELECT VERSION()")
        version = cursor.fetchone()[0]
    return f"{database.address}, {version}, {len(load_catalog(database).active)} active tags"


def check_object_store(settings: Settings) -> str:
    from pyarrow.fs import FileSelector

    from tag_platform.lake.filesystem import open_filesystem

    for root in (settings.warehouse, settings.lake):
        filesystem, path = open_filesystem(root, settings)
        filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return f"warehouse {settings.warehouse}, lake {settings.lake}"


def check_engine(settings: Settings) -> str:
    from tag_platform.compute.engine import engine_name, session

    with session(settings) as spark:
        if spark.range(3).count() != 3:
            raise TagPlatformError("the engine cannot count to three")
        return f"{engine_name(settings)}, Spark {spark.version}"


def check_orchestrator(settings: Settings) -> str:
    address = f"http://{settings.ui_host}:{settings.ui_port}"
    with urllib.request.urlopen(f"{address}/server_info", timeout=5) as response:  # noqa: S310 (own http address)
        version = json.load(response)["dagster_version"]
    return f"{address}, Dagster {version}"


def check_gateway(settings: Settings) -> str:
    with socket.create_connection((settings.api_host, settings.api_port), timeout=2):
        return f"http://{settings.api_host}:{settings.api_port}"


CHECKS: list[tuple[str, bool, Callable[[Settings], str]]] = [
    ("database", True, check_database),
    ("object store", True, check_object_store),
    ("engine", True, check_engine),
    ("orchestrator", False, check_orchestrator),
    ("gateway", False, check_gateway),
]
