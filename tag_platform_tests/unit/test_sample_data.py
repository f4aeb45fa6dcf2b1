"""The made-up users: the same for the same seed, every tag has some, dirt is there, and no user twice."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tag_platform.sample_data import warehouse
from tag_platform.sample_data.users import TABLES
from tag_platform.settings import Settings, load_settings

DAY = date(2026, 3, 31)
USERS = 20_000
USABLE = "user_id IS NOT NULL AND user_id <> '' AND length(user_id) <= 100 AND user_id = rtrim(user_id)"


def _settings(root: Path) -> Settings:
    return load_settings().model_copy(update={"warehouse_given": str(root)})


def _write(root: Path, users: int = USERS, seed: int = 1, days: int = 1) -> warehouse.Written:
    return warehouse.write(_settings(root), warehouse.Request(users, seed, days, DAY), lambda _line: None)


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.parquet"))}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("warehouse")
    _write(root)
    return root


def _query(root: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as oracle:
        for table in TABLES:
            files = root / table.name / f"dt={DAY}" / "*.parquet"
            oracle.execute(f"CREATE VIEW {table.name}_raw AS SELECT * FROM read_parquet('{files}')")
            oracle.execute(f"CREATE VIEW {table.name} AS SELECT * FROM {table.name}_raw WHERE {USABLE}")
        return oracle.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("tag", "rule"),
    [
        (1, "total_asset_value >= 100000 AND NOT isnan(total_asset_value)"),
        (2, "trade_count_30d > 10"),
        (3, "TRY_CAST(trim(risk_score) AS int) <= 30"),
        (4, f"registration_date > DATE '{DAY}' - 30"),
        (5, "user_level IN ('VIP2', 'VIP3') AND kyc_status = 'verified'"),
        (6, "cash_balance >= 50000"),
        (7, "age BETWEEN 18 AND 30"),
        (8, f"last_login_date > DATE '{DAY}' - 7"),
    ],
)
def test_every_first_tag_has_some_users_but_not_most(written: Path, tag: int, rule: str) -> None:
    [(hits,)] = _query(
        written,
        f"SELECT count(*) FROM user_basic_info FULL JOIN user_asset_summary USING (user_id) "
        f"FULL JOIN user_activity_summary USING (user_id) WHERE {rule}",
    )
    assert isinstance(hits, int)
    assert 0.02 < hits / USERS < 0.6, f"tag {tag}: {hits}"


@pytest.mark.parametrize("table", [table.name for table in TABLES])
def test_each_table_has_every_user_once_at_most_and_lacks_some(written: Path, table: str) -> None:
    [(rows, users, unusable)] = _query(
        written,
        f"SELECT (SELECT count(*) FROM {table}), (SELECT count(DISTINCT user_id) FROM {table}), "
        f"(SELECT count(*) FROM {table}_raw WHERE NOT coalesce({USABLE}, false))",
    )
    assert rows == users
    assert 0.8 * USERS < rows < USERS  # type: ignore[operator]
    assert unusable == 5


def test_numbers_as_text_padded_empty_and_unknown_are_there(written: Path) -> None:
    [(padded, empty, unknown, null, nan)] = _query(
        written,
        "SELECT (SELECT count(*) FROM user_basic_info WHERE risk_score LIKE ' %'), "
        "(SELECT count(*) FROM user_basic_info WHERE risk_score = ''), "
        "(SELECT count(*) FROM user_basic_info WHERE risk_score = 'unknown'), "
        "(SELECT count(*) FROM user_basic_info WHERE risk_score IS NULL), "
        "(SELECT count(*) FROM user_asset_summary WHERE isnan(total_asset_value))",
    )
    assert all((padded, empty, unknown, null, nan))


def test_columns_and_layout_are_those_of_the_source_catalog(written: Path) -> None:
    expected = {
        "user_basic_info": "user_id age gender country user_level kyc_status registration_date risk_score",
        "user_asset_summary": "user_id total_asset_value cash_balance",
        "user_activity_summary": "user_id trade_count_30d trade_amount_30d login_count_30d last_login_date",
    }
    for name, columns in expected.items():
        files = sorted((written / name / f"dt={DAY}").iterdir())
        assert [file.name for file in files] == [f"part-{n:05}.parquet" for n in range(4)]
        assert pq.read_schema(files[0]).names == columns.split()
    assert sorted(path.name for path in written.iterdir()) == sorted(expected), "the staging folder is gone"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        _write(tmp_path / folder, users=500, seed=seed)
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    assert _files(tmp_path / "a") != _files(tmp_path / "c")


def test_a_day_written_again_has_only_the_new_users(tmp_path: Path) -> None:
    _write(tmp_path / "once", users=3)
    _write(tmp_path / "twice", users=USERS)
    _write(tmp_path / "twice", users=3)
    assert _files(tmp_path / "once") == _files(tmp_path / "twice")


def test_days_follow_each_other_and_end_at_the_day_asked_for(tmp_path: Path) -> None:
    done = _write(tmp_path, users=10, days=3)
    days = sorted(path.name for path in (tmp_path / "user_basic_info").iterdir())
    assert days == ["dt=2026-03-29", "dt=2026-03-30", "dt=2026-03-31"]
    assert (done.partitions, done.files) == (9, 36)
    assert warehouse.exist(_settings(tmp_path))
    assert not warehouse.exist(_settings(tmp_path / "elsewhere"))
