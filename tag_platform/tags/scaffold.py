"""The beginning of a new tag class: the class, a test that passes, and the SQL of its definition and rule.

The rule is a placeholder, so the definition is inactive: nobody gets the tag before somebody has looked at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag_platform.errors import BadInput
from tag_platform.rules import RuleSchema
from tag_platform.rules.fields import BadField, find_field
from tag_platform.settings import CHECKOUT
from tag_platform.tags.discovery import SHIPPED, find_tag_modules, package_folder
from tag_platform.tags.domains import domain_of

_SAMPLES = {"int": "1", "decimal": "1", "float": "1.0", "string": '"x"', "boolean": "True"}
_SAMPLES |= {
    "date": "date(2026, 1, 31)",
    "timestamp": "datetime(2026, 1, 31)",
    "timestamp_ntz": "datetime(2026, 1, 31)",
}

_CLASS = '''"""{name}."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_platform.tags import TagClass, UserFields

if TYPE_CHECKING:
    from pyspark.sql import Column


class {class_name}(TagClass):
    """{name}: its rule in MySQL, for the users to whom it applies."""

    tag_id = {tag_id}
    fields = ({fields})

    def applies(self, user: UserFields) -> Column:
        """Only users of whom the fields are known. Write here what the rule cannot say."""
        return {known}
'''
_TEST = '''"""Who has the tag {name}, decided by the embedded engine."""

from __future__ import annotations

from datetime import date{datetime_import}

from tag_platform.tags.trial import users_with_tag
from {module} import {class_name}

RULE = {rule}


def test_who_has_the_tag() -> None:
    """The user who meets the rule has it; one of whom nothing is known has not."""
    users = {{
        "known": {{{values}}},
        "unknown": {{}},
    }}
    assert users_with_tag({class_name}, RULE, users, as_of=date(2026, 1, 31)) == ["known"]
'''
_SQL = """-- Tag {tag_id}. Correct the rule, try it with `tag-platform rules check`, then activate the definition.
INSERT INTO tag_category (category_name)
SELECT {category} FROM (SELECT 1) AS one
WHERE NOT EXISTS (SELECT * FROM tag_category WHERE category_name = {category});

INSERT INTO tag_definition (tag_id, tag_name, tag_category, description, is_active)
VALUES ({tag_id}, {name}, {category}, '', FALSE);

INSERT INTO tag_rules (tag_id, rule_conditions) VALUES ({tag_id}, {rule});

-- UPDATE tag_definition SET is_active = TRUE WHERE tag_id = {tag_id};
"""


@dataclass(frozen=True)
class NewTag:
    """What `tags new` is asked for. `class_name` is in CamelCase; `fields` are as rules name them."""

    tag_id: int
    class_name: str
    name: str
    category: str
    fields: tuple[str, ...]


def new_tag_files(new: NewTag, schema: RuleSchema, own: str | None) -> dict[Path, str]:
    """Paths and contents of the three files, in the package `own` or else in the checkout's. Nothing is written.

    Raises `BadInput` with everything that is wrong: a name, a field, a tag id or file that is there already.
    """
    package = own or SHIPPED
    folder = Path(str(package_folder(package)))
    reasons = []
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", new.class_name):
        reasons.append(f"{new.class_name!r} is no name for a class, such as HighFrequencyTrader")
    if not new.name or not new.category or any(ord(c) < 32 or c in '"\\' for c in new.name + new.category):
        reasons.append("name and category must not be empty, nor hold quotes, backslashes or line breaks")
    known = find_tag_modules(own).get(new.tag_id, ())
    if new.tag_id < 1 or any(module.startswith(f"{package}.") for module in known):
        reasons.append(f"tag {new.tag_id} has a class already: {', '.join(known) or 'ids start at 1'}")
    columns: dict[str, str] = {}
    for name in new.fields:
        try:
            field = find_field(schema, name, None, "field")
            columns[f"{field.table}.{field.column}"] = field.stored.base
        except BadField as error:
            reasons.append(str(error))
    domain, snake = domain_of(new.category), re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", new.class_name).lower()
    tests = CHECKOUT / "tag_platform_tests" / "unit" / "tags" if own is None else folder / domain
    texts = _texts(new, columns, f"{package}.{domain}.{snake}")
    paths = (folder / domain / f"{snake}.py", tests / f"test_{snake}.py", folder / domain / f"{snake}.sql")
    reasons += [f"{path} is there already" for path in paths if path.exists()]
    if reasons:
        raise BadInput("Nothing was written: " + "; ".join(reasons) + ".")
    return dict(zip(paths, texts, strict=True))


def write_files(contents: Mapping[Path, str]) -> None:
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _texts(new: NewTag, columns: Mapping[str, str], module: str) -> Sequence[str]:
    rule = {"logic": "AND", "conditions": [{"field": name, "operator": "is_not_null"} for name in columns]}
    values = ", ".join(f'"{name}": {_SAMPLES.get(kind, "[]")}' for name, kind in columns.items())
    common: dict[str, Any] = {"name": new.name, "class_name": new.class_name, "tag_id": new.tag_id}
    shown = json.dumps(rule, ensure_ascii=False)
    quoted = {name: _sql_text(text) for name, text in (("name", new.name), ("category", new.category), ("rule", shown))}
    return (
        _CLASS.format(
            **common,
            fields=", ".join(f'"{name}"' for name in columns) + ("," if len(columns) == 1 else ""),
            known=" & ".join(f'user["{name}"].isNotNull()' for name in columns),
        ),
        _TEST.format(
            **common,
            module=module,
            rule=shown,
            values=values,
            datetime_import=", datetime" if "datetime(" in values else "",
        ),
        _SQL.format(**{**common, **quoted}),
    )


def _sql_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
