"""Tags as files: what is written is read back, what differs is told, what is wrong is refused as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tag_platform.catalog.rulebook import declared_schema
from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tag_changes import changes
from tag_platform.catalog.tag_files import check_tags, export_tags, file_text, read_tags, same
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.errors import BadInput
from tag_platform.settings import Settings

SCHEMA = declared_schema(load_sources(Settings().sources))
RULE = '{"logic": "AND", "conditions": [{"field": "age", "operator": "in_range", "value": [18, 30], "type": "number"}]}'


def tag(tag_id: int = 7, rule: str = RULE, **more: object) -> Tag:
    return Tag(tag_id=tag_id, name="年轻用户", category="人口特征", rules=(rule,) if rule else (), **more)


def test_a_file_reads_like_this() -> None:
    """The form that people review: one member a line, lists of values on one."""
    assert file_text(tag(description='"18" to 30')) == (
        '{\n  "tag_id": 7,\n  "tag_name": "年轻用户",\n  "tag_category": "人口特征",\n'
        '  "description": "\\"18\\" to 30",\n  "is_active": true,\n  "rule": {\n    "logic": "AND",\n'
        '    "conditions": [\n      {\n        "field": "age",\n        "operator": "in_range",\n'
        '        "value": [18, 30],\n        "type": "number"\n      }\n    ]\n  }\n}\n'
    )


@pytest.mark.parametrize(
    "value", ["18", "1.0", "-0", "1e400", "123456789012345678901234567890.10", "[1, 2.50]", '"\\u0000\\n"', "[]", "{}"]
)
def test_round_trip_is_exact(value: str, tmp_path: Path) -> None:
    """Numbers beyond a double, escapes, empty lists and objects: nothing is lost on the way."""
    first = tag(rule=RULE.replace("[18, 30]", value))
    manual = tag(10, rule="", is_manual=True, max_left_share=0.1, max_entered_share=3)
    catalog = Catalog(tags=(first, tag(8, is_active=False), tag(9, rule="", is_active=False), manual))
    assert len(export_tags(catalog, tmp_path)) == 4
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = read_tags(tmp_path)
    assert all(same(found[t.tag_id], t) for t in catalog.tags)
    assert found[8].is_active is False
    again = tmp_path / "again"
    export_tags(Catalog(tags=tuple(found.values())), again)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == before


def test_a_file_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    """A database that orders members its own way must not make git see changes."""
    export_tags(Catalog(tags=(tag(),)), tmp_path)
    content = json.loads(RULE)
    content["conditions"][0] = dict(reversed(content["conditions"][0].items()))
    other = tag(rule=json.dumps(content))
    assert export_tags(Catalog(tags=(other,)), tmp_path) == []
    assert changes(Catalog(tags=(other,)), read_tags(tmp_path)) == []


def test_new_changed_and_gone_files() -> None:
    stored = Catalog(tags=(tag(1), tag(2), tag(3), tag(4, is_active=False)))
    wanted = {1: tag(1), 2: tag(2, rule=RULE.replace("30", "31")), 5: tag(5)}
    found = {change.after.tag_id: change for change in changes(stored, wanted)}
    assert {t: change.kind for t, change in found.items()} == {2: "changed", 3: "retired", 5: "new"}
    assert found[3].after == tag(3, is_active=False)
    assert '-        "value": [18, 30],\n+        "value": [18, 31],\n' in found[2].diff
    assert found[5].diff.startswith("--- database/tag_5.json\n+++ files/tag_5.json\n")


def test_every_error_of_every_file_at_once(tmp_path: Path) -> None:
    """Whoever repairs files wants to run the import once more, not once per error."""
    good = json.loads(file_text(tag(1)))
    for name, content in {
        "tag_1.json": json.dumps(good),
        "tag_2.json": json.dumps(good),
        "tag_3.json": json.dumps({**good, "tag_id": 3, "tag_name": 5, "is_active": 1, "colour": "red"}),
        "tag_4.json": "{",
        "tag_5.json": '{"tag_id": 5, "tag_id": 5, "rule": null}',
        "tag5.json": "{}",
        "tag_6.json": "[]",
    }.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput) as error:
        read_tags(tmp_path)
    text = str(error.value)
    for part in ("tag_2.json: tag_id is 1", "tag_3.json: tag_name", "tag_3.json: is_active", "tag_3.json: colour"):
        assert part in text
    for part in ("tag_4.json:", "tag_5.json:", "tag5.json: files of this folder are named", "tag_6.json: an object"):
        assert part in text
    assert "tag_1.json" not in text


def test_rules_are_checked_together(tmp_path: Path) -> None:
    """References between files count; a retired tag's rule may be anything."""
    refers = json.dumps({"logic": "AND", "conditions": [{"tag_id": 7, "operator": "has_tag"}]})
    bad = RULE.replace("age", "agee")
    check_tags(tmp_path, Catalog(tags=(tag(7), tag(8, rule=refers), tag(9, rule=bad, is_active=False))), SCHEMA, {})
    with pytest.raises(BadInput, match=r"tag_8.json, rule: .*\n.*tag_9.json, rule: .*agee.*\n.*tag_10.json.*no active"):
        check_tags(tmp_path, Catalog(tags=(tag(8, rule=refers), tag(9, rule=bad), tag(10, rule=""))), SCHEMA, {})


def test_an_empty_folder_retires_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="would retire every tag"):
        read_tags(tmp_path)


def test_what_has_no_files_form_stops_the_export(tmp_path: Path) -> None:
    double = tag(8).model_copy(update={"rules": (RULE, RULE)})
    repeated = tag(9, rule='{"logic": "AND", "logic": "OR", "conditions": []}')
    with pytest.raises(BadInput, match=r"tag 8 has 2 active rules.*tag 9: its rule cannot be read"):
        export_tags(Catalog(tags=(tag(1), double, repeated)), tmp_path)
    assert list(tmp_path.iterdir()) == []
