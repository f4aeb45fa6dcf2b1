"""The two deployments of end-to-end tests, since starting their processes takes longer than most tests: one for
Dagster's side (tags that follow MySQL, the queue, the pages), and one for the gateway, whose sensors are off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_platform_tests.e2e.dagster_processes import Processes, dagster_processes, eventually, last_tick
from tag_platform_tests.e2e.gateway_deployment import Deployment, deployment


def write_sources(root: Path) -> None:
    """Ten users, u0 … u9, aged 20 to 29."""
    users = [f"u{i}" for i in range(10)]
    today = datetime.now(UTC).date()
    tables: dict[str, dict[str, list[object]]] = {
        "user_basic_info": {
            "age": [20 + i for i in range(10)],
            "gender": ["m"] * 10,
            "country": ["CN"] * 10,
            "user_level": ["VIP1"] * 10,
            "kyc_status": ["verified"] * 10,
            "registration_date": [today] * 10,
            "risk_score": [50] * 10,
        },
        "user_asset_summary": {"total_asset_value": [1.0] * 10, "cash_balance": [1.0] * 10},
        "user_activity_summary": {
            "trade_count_30d": [1] * 10,
            "trade_amount_30d": [1.0] * 10,
            "login_count_30d": [1] * 10,
            "last_login_date": [today] * 10,
        },
    }
    for name, columns in tables.items():
        folder = root / name / f"dt={today}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"user_id": users, **columns}), folder / "part-0.parquet")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Code server, webserver, daemon and database; two shards, ten users, the eight first tags. A backfill makes one
    run per shard."""
    folder = tmp_path_factory.mktemp("running")
    write_sources(folder / "warehouse")
    with dagster_processes(folder, folder / "warehouse", TAG_PLATFORM_SHARDS_PER_RUN="1") as processes:
        # From the first tick on, what is inserted is a change.
        eventually(lambda: last_tick(processes) == "All tags are as they were requested.", "the first tick", 90)
        yield processes


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture
def api(deployed: Deployment) -> Iterator[httpx.Client]:
    """A client of a gateway without tokens, started for the test."""
    with deployed.gateway(), httpx.Client(base_url=deployed.api, timeout=60) as client:
        yield client
