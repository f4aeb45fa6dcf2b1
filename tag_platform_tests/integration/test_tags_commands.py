"""`tags export`, `import` and `new`, as commands on a real database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tag_platform.catalog.tags import load_catalog
from tag_platform.cli import cli
from tag_platform.errors import BadInput
from tag_platform.mysql import Database, transaction
from tag_platform.settings import CHECKOUT, Settings
from tag_platform_tests.platform import query

pytestmark = pytest.mark.integration


def tags(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli, ["tags", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_rules_live_in_git(module_settings: Settings, tmp_path: Path) -> None:
    """Export, edit, import: one transaction for a new, a changed and a retired tag; a wrong file refuses all of it."""
    database = Database.of(module_settings)
    assert len(tags("export", tmp_path).output.splitlines()) == 8
    first = load_catalog(database)
    assert tags("export", tmp_path).output == ""
    assert tags("import", tmp_path).output == "0 new, 0 changed, 0 retired.\n"

    rule = {"logic": "AND", "conditions": [{"field": "age", "operator": ">", "value": 65, "type": "number"}]}
    new = {"tag_id": 20, "tag_name": "退休用户", "tag_category": "新分类", "rule": rule}
    (tmp_path / "tag_20.json").write_text(json.dumps(new))
    seventh = tmp_path / "tag_7.json"
    seventh.write_text(seventh.read_text().replace("[18, 30]", "[18, 28]"))
    (tmp_path / "tag_8.json").unlink()
    second = tmp_path / "tag_2.json"
    kept = second.read_text()
    second.write_text(kept.replace("trade_count_30d", "no_such_column"))
    with pytest.raises(BadInput, match=r"tag_2.json, rule: .*no_such_column"):
        tags("import", tmp_path)
    assert load_catalog(database) == first, "a refused import wrote something"
    second.write_text(kept)

    shown = tags("import", tmp_path, "--dry-run").output
    assert shown.endswith("1 new, 1 changed, 1 retired. Nothing was written.\n")
    assert '+        "value": [18, 28],' in shown
    assert load_catalog(database) == first
    written = json.loads(tags("import", tmp_path, "--json").output)
    assert written["written"] is True
    assert [(c["tag_id"], c["kind"]) for c in written["changes"]] == [(7, "changed"), (8, "retired"), (20, "new")]
    now = load_catalog(database)
    assert now.retired_ids == {8}
    assert "[18, 28]" in now.by_id[7].rules[0]
    assert query(module_settings, "SELECT COUNT(*), SUM(is_active) FROM tag_rules WHERE tag_id = 7") == [(2, 1)]
    assert query(module_settings, "SELECT COUNT(*) FROM tag_category WHERE category_name = '新分类'") == [(1,)]
    assert tags("import", tmp_path).output == "0 new, 0 changed, 0 retired.\n"
    written_again = [Path(line).name for line in tags("export", tmp_path).output.splitlines()]
    assert written_again == ["tag_8.json", "tag_20.json"], "the retired tag, and members that were left out"
    assert '"is_active": false' in (tmp_path / "tag_8.json").read_text()


def test_a_new_tag_class_comes_with_a_test_that_passes_and_sql(
    module_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `tags new` writes works as it stands: its test on the embedded engine, its SQL on the database."""
    (tmp_path / "acme_tags").mkdir()
    (tmp_path / "acme_tags" / "__init__.py").touch()
    monkeypatch.setenv("TAG_PLATFORM_TAGS", "acme_tags")
    monkeypatch.syspath_prepend(str(tmp_path))
    command: tuple[str, ...] = ("new", "9", "HighFrequencyTrader", "--name", "高频交易用户", "--category", "行为分析")
    command += ("--field", "trade_count_30d", "--field", "user_basic_info.registration_date")
    paths = [Path(line) for line in tags(*command).output.splitlines()]
    assert [path.name for path in paths] == [
        "high_frequency_trader.py",
        "test_high_frequency_trader.py",
        "high_frequency_trader.sql",
    ]
    with pytest.raises(BadInput, match=r"tag 9 has a class already|is there already"):
        tags(*command)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(paths[1])],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{CHECKOUT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
    for statement in paths[2].read_text().split(";\n"):
        with transaction(Database.of(module_settings)) as cursor:
            if "INSERT" in statement:
                cursor.execute(statement)
    added = load_catalog(Database.of(module_settings)).by_id[9]
    assert (added.name, added.is_active, len(added.rules)) == ("高频交易用户", False, 1)
