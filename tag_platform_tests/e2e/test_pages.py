"""What people see in the UI: the graph, a tag's page, its checks, a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tag_platform_tests.e2e.browser import browser
from tag_platform_tests.e2e.dagster_processes import Processes, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_graph_tag_checks_and_run_are_shown(running: Processes, tmp_path: Path) -> None:
    """The pages that the documentation sends people to, with what it says they show."""
    run_id = running.launch("tag_all")

    def done() -> bool:
        return any(run["runId"] == run_id and run["status"] == "SUCCESS" for run in running.runs())

    eventually(done, "a run of everything", 240)
    root = f"http://127.0.0.1:{running.ui_port}"
    with browser(tmp_path) as page:
        page.open(f"{root}/asset-groups", "sources", "demographic", "user_tags")
        page.picture(tmp_path / "graph.png")
        tag = page.open(f"{root}/assets/tag/tag_7?view=overview", "年轻用户", "in_range", "demographic", "hits", "***")
        assert "age is between 18 and 30" in tag
        page.picture(tmp_path / "tag.png")
        page.open(f"{root}/assets/tag/tag_7?view=checks", "rule_valid", "has_users", "population_stable")
        page.picture(tmp_path / "checks.png")
        page.open(f"{root}/runs/{run_id}", "tag_all", "Success", "merge_tags")
        page.picture(tmp_path / "run.png")
    for name in ("graph", "tag", "checks", "run"):
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000, name
