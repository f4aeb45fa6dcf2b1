"""Sources that cannot be right are refused with one clear sentence, and `user_tags` stays as it was."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tag_platform.errors import TagPlatformError
from tag_platform.lake.filesystem import open_filesystem
from tag_platform.settings import Settings, load_settings
from tag_platform_tests.platform import TODAY, run, tags_of, user_tags, write_people, write_raw

pytestmark = pytest.mark.integration
TOMORROW = TODAY + timedelta(days=1)


@pytest.fixture(scope="module")
def good(module_settings: Settings) -> Settings:
    write_people(module_settings, ["a", "b"], age=[20, 50], cash_balance=[1.0, 60000.0])
    run(module_settings)
    assert tags_of(module_settings) == {"a": [7], "b": [6]}
    return module_settings


def refused(settings: Settings, message: str) -> None:
    before = user_tags(settings)
    with pytest.raises(TagPlatformError, match=message):
        run(settings, as_of=TOMORROW.isoformat())
    assert user_tags(settings) == before
    filesystem, root = open_filesystem(settings.warehouse, settings)
    filesystem.delete_dir(f"{root}/user_basic_info/dt={TOMORROW}")


def test_same_user_twice(good: Settings) -> None:
    """Two rows of one user say nothing about which is right: refused, with examples."""
    write_raw(good, "user_basic_info", {"user_id": ["a", "b", "b"], "age": [1, 2, 3]}, TOMORROW)
    refused(good, "user_basic_info holds some users more than once, for example b")


def test_no_user_column(good: Settings) -> None:
    write_raw(good, "user_basic_info", {"uid": ["a"], "age": [1]}, TOMORROW)
    refused(good, "user_basic_info has no column 'user_id' for the user. It has: uid, age")


def test_no_usable_row(good: Settings) -> None:
    """Only unusable ids is as good as empty; nobody loses a tag over it."""
    write_raw(good, "user_basic_info", {"user_id": ["", "x" * 101, "a "], "age": [1, 2, 3]}, TOMORROW)
    refused(good, "user_basic_info is empty: no row with a usable user_id")


def test_declared_column_missing(good: Settings) -> None:
    """A column that the catalog declares has to be there; the error lists what there is."""
    write_raw(good, "user_basic_info", {"user_id": ["a"], "age": [1]}, TOMORROW)
    refused(good, "source/user_basic_info, check columns_present: The files lack country, gender")


def test_unreadable_file(good: Settings) -> None:
    filesystem, root = open_filesystem(good.warehouse, good)
    with filesystem.open_output_stream(f"{root}/user_basic_info/dt={TOMORROW}/part-0.parquet") as out:
        out.write(b"this is no Parquet file at all")
    refused(good, "user_basic_info cannot be read")


def test_partition_without_a_file(good: Settings) -> None:
    """Markers and empty files of an unfinished write are no data."""
    filesystem, root = open_filesystem(good.warehouse, good)
    for name in ("_SUCCESS", ".part-0.parquet.crc", "part-0.parquet"):
        with filesystem.open_output_stream(f"{root}/user_basic_info/dt={TOMORROW}/{name}") as out:
            out.write(b"" if name.startswith("part") else b"x")
    refused(good, rf"user_basic_info: there is no file in .*/user_basic_info/dt={TOMORROW}")


def test_full_disk(good: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake without room: one sentence that names the lake, not the source, and nothing written into MySQL."""
    before = user_tags(good)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system of a limited size can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        monkeypatch.setenv("TAG_PLATFORM_LAKE", str(tmp_path / "lake"))
        users = [f"user_{number}" for number in range(5000)]
        write_people(good, users, TOMORROW, age=list(range(5000)))
        with pytest.raises(TagPlatformError, match=r"The lake is full, the snapshot file://.* was not written"):
            run(load_settings(), as_of=TOMORROW.isoformat())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
        filesystem, root = open_filesystem(good.warehouse, good)
        for table in ("user_basic_info", "user_asset_summary", "user_activity_summary"):
            filesystem.delete_dir(f"{root}/{table}/dt={TOMORROW}")
    assert user_tags(good) == before


def test_missing_table(good: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = user_tags(good)
    monkeypatch.setenv("TAG_PLATFORM_WAREHOUSE", f"{good.warehouse}/nowhere")
    with pytest.raises(TagPlatformError, match=r"has no partition dt=YYYY-MM-DD up to 2026-11-23"):
        run(load_settings())
    assert user_tags(good) == before


def test_wrong_password(good: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_PASSWORD", "wrong")
    monkeypatch.setenv("MYSQL_HOST", good.mysql_host)
    with pytest.raises(TagPlatformError, match="user or password is wrong"):
        run(load_settings())


def test_closed_port(good: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_HOST", good.mysql_host)
    monkeypatch.setenv("MYSQL_PORT", "9")
    with pytest.raises(TagPlatformError, match="nothing answers there"):
        run(load_settings())
