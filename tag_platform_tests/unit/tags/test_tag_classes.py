"""Tag classes are found by their id, and whatever is wrong with one breaks its own tag alone."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tag_platform.catalog.rulebook import Rulebook, declared_schema, parse_catalog
from tag_platform.catalog.sources import load_sources
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.errors import BadInput
from tag_platform.settings import Settings
from tag_platform.tags import TagClass
from tag_platform.tags.discovery import find_tag_modules, load_tag_class

SCHEMA = declared_schema(load_sources(Settings().sources))
AGE = {"field": "age", "operator": ">=", "value": 18, "type": "number"}
HEAD = "from tag_platform.tags import TagClass\n\n\n"


class Package:
    """A package of one's own in a folder, importable as `name`."""

    def __init__(self, folder: Path) -> None:
        self.name = f"own_{uuid.uuid4().hex[:8]}"
        self.folder = folder / self.name
        self.folder.mkdir()
        (self.folder / "__init__.py").touch()

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def rulebook(self, **leaves: object) -> Rulebook:
        """The rulebook of tags 50, 51, …: `tag_50=LEAF`."""
        tags = [
            Tag(
                tag_id=int(name[4:]),
                name=name,
                category="c",
                rules=(json.dumps({"logic": "AND", "conditions": [leaf]}),),
            )
            for name, leaf in leaves.items()
        ]
        return parse_catalog(Catalog(tags=tuple(tags)), SCHEMA, find_tag_modules(self.name))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Package(tmp_path)


ADULT = HEAD + (
    "class Adult(TagClass):\n    tag_id = 50\n    fields = ('user_basic_info.country',)\n\n"
    "    def applies(self, user):\n        return user['user_basic_info.country'].isNotNull()\n"
)


def test_the_eight_first_tags_have_classes_that_take_no_part() -> None:
    """They are examples: a deployment that gives these ids other rules must not notice them."""
    modules = find_tag_modules()
    assert set(range(1, 9)) <= set(modules)
    classes = [load_tag_class(tag_id, modules[tag_id]) for tag_id in range(1, 9)]
    assert [c.tag_id for c in classes] == list(range(1, 9))
    assert not any(c.takes_part() for c in classes)
    assert {c.__module__.split(".")[2] for c in classes} == {
        "wealth",
        "behavior",
        "risk",
        "demographic",
        "lifecycle",
        "value",
    }


def test_a_class_adds_its_columns_and_its_source_to_the_version(package: Package) -> None:
    """Changing the file must recompute the tag, as changing the rule does; tags without a class stay as they are."""
    package.write("risk/adult.py", ADULT)
    found = package.rulebook(tag_50=AGE, tag_51=AGE)
    assert found.broken == {}
    assert found.classes[50].path() == f"{package.name}.risk.adult:Adult"
    assert found.needs[50].columns == {("user_basic_info", "age"), ("user_basic_info", "country")}
    assert found.version(51) == found.rules[51].digest
    assert found.version(50) != found.rules[50].digest
    other = Package(package.folder.parent)
    other.write("adult.py", ADULT + "# changed\n")
    assert other.rulebook(tag_50=AGE).version(50) != found.version(50)


def test_an_own_class_replaces_the_shipped_example(package: Package) -> None:
    package.write("vip.py", ADULT.replace("tag_id = 50", "tag_id = 5"))
    modules = find_tag_modules(package.name)
    assert load_tag_class(5, modules[5]).__module__ == f"{package.name}.vip"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ADULT.replace("import TagClass", "import NoSuchName"), "cannot be imported"),
        (ADULT + "def broken(:\n", "SyntaxError"),
        (ADULT.replace("user_basic_info.country'", "no_such_column'"), "unknown field"),
        (ADULT.replace("('user_basic_info.country',)", "'country'"), "must be a tuple"),
        (ADULT + ADULT.replace("class Adult", "class Again"), "exactly one class"),
        (ADULT.replace("(TagClass)", ""), "exactly one class"),
        (ADULT.replace("def applies", "derived_fields = {'x': 'int'}\n\n    def applies"), "go together"),
    ],
)
def test_what_is_wrong_with_a_class_breaks_its_tag_alone(package: Package, text: str, reason: str) -> None:
    """Never computed by its rule alone, and never a lost code location."""
    package.write("adult.py", text)
    found = package.rulebook(tag_50=AGE, tag_51=AGE)
    assert set(found.rules) == {51}
    assert reason in found.broken[50]


def test_files_of_other_tags_are_not_imported(package: Package) -> None:
    """A half-written file for a tag that is not in MySQL yet disturbs nobody."""
    package.write("half.py", HEAD + "class Half(TagClass):\n    tag_id = 77\n    raise RuntimeError\n")
    assert package.rulebook(tag_51=AGE).broken == {}


def test_derived_fields_are_for_the_own_rule_alone(package: Package) -> None:
    text = HEAD + (
        "class PerLogin(TagClass):\n    tag_id = 50\n    fields = ('trade_count_30d', 'login_count_30d')\n"
        "    derived_fields = {'trades_per_login': 'double'}\n\n    def derive(self, user):\n        return {}\n"
    )
    package.write("per_login.py", text)
    leaf = {"field": "trades_per_login", "operator": ">", "value": 2, "type": "number"}
    found = package.rulebook(tag_50=leaf, tag_51=leaf)
    assert set(found.broken) == {51}
    assert found.needs[50].everybody, "a derived field may have a value for users of whom nothing is known"
    assert {table for table, _ in found.needs[50].columns} == {"user_activity_summary"}


def test_other_rules_cannot_refer_to_what_a_class_decides(package: Package) -> None:
    """`has_tag` evaluates the rule, which is not the whole truth here."""
    package.write("adult.py", ADULT)
    found = package.rulebook(tag_50=AGE, tag_51={"tag_id": 50, "operator": "has_tag"})
    assert "which a Python class decides" in found.broken[51]


def test_a_package_that_is_not_there_is_refused() -> None:
    """Without it, tags would be computed by their rules alone."""
    with pytest.raises(BadInput, match="TAG_PLATFORM_TAGS=no_such_package"):
        find_tag_modules("no_such_package")


def test_a_tag_id_is_needed() -> None:
    with pytest.raises(BadInput, match="tag_id must be"):
        type("Nameless", (TagClass,), {})
