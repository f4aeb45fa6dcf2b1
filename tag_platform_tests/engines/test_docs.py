"""The example of a tag class in the documentation works as it stands."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from tag_platform.settings import CHECKOUT
from tag_platform.tags.discovery import find_tag_modules, load_tag_class
from tag_platform.tags.trial import users_with_tag

pytestmark = pytest.mark.engine


def test_the_class_of_the_docs_decides_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Derived field, pre-condition and last word, on the embedded engine, through the package of one's own."""
    block = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "tags.md").read_text(), re.S)[0]
    (tmp_path / "docs_tags").mkdir()
    (tmp_path / "docs_tags" / "__init__.py").touch()
    (tmp_path / "docs_tags" / "trades_a_lot.py").write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))
    tag_class = load_tag_class(9, find_tag_modules("docs_tags")[9])
    leaf = {"field": "trades_per_login", "operator": ">", "value": 3, "type": "number"}
    activity = "user_activity_summary"

    def user(trades: int, logins: int, kyc: str) -> dict[str, object]:
        counts = {f"{activity}.trade_count_30d": trades, f"{activity}.login_count_30d": logins}
        return {**counts, "user_basic_info.kyc_status": kyc}

    users = {
        "often": user(8, 2, "verified"),
        "seldom": user(6, 2, "verified"),
        "nobody": user(8, 2, "pending"),
        "never in": user(8, 0, "verified"),
        "anyway": user(1_001, 1_001, "pending"),
        "unknown": {},
    }
    rule = {"logic": "AND", "conditions": [leaf]}
    assert users_with_tag(tag_class, rule, users, as_of=date(2026, 1, 31)) == ["anyway", "often"]
