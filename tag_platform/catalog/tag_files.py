"""Tags as files, one JSON file per tag: `tag_<id>.json`, made for review in git. Numbers in rules stay as they are
written, and what is read back is what was written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tag_platform.catalog.rulebook import parse_catalog
from tag_platform.catalog.tags import Catalog, Tag
from tag_platform.errors import BadInput
from tag_platform.rules import InvalidRule, RuleSchema, strict_json
from tag_platform.rules.strict_json import JsonNumber
from tag_platform.tags.discovery import TagModules

_NAME = re.compile(r"tag_([1-9]\d{0,9})\.json")


class _TagFile(BaseModel):
    """The members of a file beside the rule, with the sizes that the tables have."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tag_id: Annotated[int, Field(ge=1, le=2**31 - 1)]
    tag_name: Annotated[str, Field(min_length=1, max_length=200)]
    tag_category: Annotated[str, Field(min_length=1, max_length=100)]
    description: Annotated[str, Field(max_length=16_000)] = ""
    is_active: bool = True
    is_manual: bool = False
    max_left_share: Annotated[float, Field(ge=0)] | None = None
    max_entered_share: Annotated[float, Field(ge=0)] | None = None


def file_name(tag_id: int) -> str:
    return f"tag_{tag_id}.json"


def file_text(tag: Tag) -> str:
    """The file of a tag. Raises `BadInput` where its active rules are several, or hold a key twice."""
    if len(tag.rules) > 1:
        raise BadInput(f"tag {tag.tag_id} has {len(tag.rules)} active rules in tag_rules; one may be active")
    try:
        rule = strict_json.load(tag.rules[0]) if tag.rules else None
    except InvalidRule as error:
        raise BadInput(f"tag {tag.tag_id}: its rule cannot be read: {error}") from error
    content = {
        "tag_id": tag.tag_id,
        "tag_name": tag.name,
        "tag_category": tag.category,
        "description": tag.description,
        "is_active": tag.is_active,
        **({"is_manual": True} if tag.is_manual else {}),
        **{name: share for name, share in tag.bounds.items() if share is not None},
        "rule": rule,
    }
    return "".join(_written(content, "\n")) + "\n"


def rule_text(text: str) -> str:
    """A rule's JSON in the form that files have; as it is where it cannot be read."""
    try:
        return "".join(_written(strict_json.load(text), "\n"))
    except InvalidRule:
        return text


def export_tags(catalog: Catalog, folder: Path) -> list[Path]:
    """Writes the files that say something else than the catalog, and returns their paths. A file that says the same in
    other words is left alone. Raises `BadInput` with every tag that has no file's form, before anything is written."""
    texts: dict[Path, str] = {}
    reasons = []
    for tag in catalog.tags:
        try:
            texts[folder / file_name(tag.tag_id)] = file_text(tag)
        except BadInput as error:
            reasons.append(str(error))
    if reasons:
        raise BadInput("Nothing was written: " + "; ".join(reasons) + ".")
    folder.mkdir(parents=True, exist_ok=True)
    changed = [path for path, text in texts.items() if _content(path) != meaning(strict_json.load(text))]
    for path in changed:
        path.write_text(texts[path], encoding="utf-8")
    return changed


def read_tags(folder: Path) -> dict[int, Tag]:
    """The tags of all files in the folder. Raises `BadInput` with everything that is wrong with any of them."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder.")
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise BadInput(f"{folder} holds no tag files (tag_<id>.json); importing it would retire every tag.")
    found: dict[int, Tag] = {}
    reasons: list[str] = []
    for path in paths:
        try:
            tag = _read(path)
            found[tag.tag_id] = tag
        except BadInput as error:
            reasons += [f"{path.name}: {line}" for line in str(error).splitlines()]
    _refuse(folder, reasons)
    return found


def check_tags(folder: Path, catalog: Catalog, schema: RuleSchema, modules: TagModules | None = None) -> None:
    """Raises `BadInput` with every reason why an active tag of the catalog, read from `folder`, cannot be computed."""
    broken = parse_catalog(catalog, schema, modules).broken
    _refuse(folder, [f"{file_name(t)}, rule: {line}" for t in sorted(broken) for line in broken[t].splitlines()])


def meaning(tree: Any) -> Any:
    """The JSON value for comparisons: members in any order, 1.0 equal to 1, and true not equal to 1."""
    if isinstance(tree, JsonNumber):
        return Decimal(tree)
    if isinstance(tree, bool):
        return ("boolean", tree)
    if isinstance(tree, dict):
        return {name: meaning(value) for name, value in tree.items()}
    return [meaning(value) for value in tree] if isinstance(tree, list) else tree


def same(one: Tag, other: Tag) -> bool:
    """Whether two tags say the same; the order of a rule's members does not matter (MySQL keeps its own)."""
    rules = [[meaning(strict_json.load(text)) for text in tag.rules] for tag in (one, other)]
    return rules[0] == rules[1] and one.model_copy(update={"rules": ()}) == other.model_copy(update={"rules": ()})


def _read(path: Path) -> Tag:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise BadInput("files of this folder are named tag_<id>.json")
    try:
        content = strict_json.load(path.read_bytes())
    except InvalidRule as error:
        raise BadInput(str(error)) from error
    if not isinstance(content, dict) or "rule" not in content:
        raise BadInput("an object with tag_id, tag_name, tag_category, description, is_active and rule is needed")
    rule = content.pop("rule")
    plain = {name: _plain(value) for name, value in content.items()}
    try:
        head = _TagFile.model_validate(plain)
    except ValidationError as error:
        raise BadInput("\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from error
    if head.tag_id != int(match[1]):
        raise BadInput(f"tag_id is {head.tag_id}, the file's name says {match[1]}")
    return Tag(
        tag_id=head.tag_id,
        name=head.tag_name,
        category=head.tag_category,
        description=head.description,
        is_active=head.is_active,
        is_manual=head.is_manual,
        max_left_share=head.max_left_share,
        max_entered_share=head.max_entered_share,
        rules=() if rule is None else ("".join(_written(rule, None)),),
    )


def _plain(value: Any) -> Any:
    """A number as a number, for pydantic to judge; all else as it is."""
    if not isinstance(value, JsonNumber):
        return value
    return int(value) if value.isdecimal() and len(value) < 20 else float(value)


def _content(path: Path) -> Any:
    """What the file says, None where there is no such file or it cannot be read."""
    try:
        return meaning(strict_json.load(path.read_bytes()))
    except (OSError, InvalidRule):
        return None


def _refuse(folder: Path, reasons: list[str]) -> None:
    if reasons:
        raise BadInput(f"Nothing was imported from {folder}:\n  " + "\n  ".join(reasons))


def _written(tree: Any, newline: str | None) -> Iterator[str]:
    """JSON text: `newline` is a line break with the indentation so far, or None for one line. Lists without objects
    stay on one line."""
    if isinstance(tree, Mapping) or (isinstance(tree, list) and any(isinstance(v, (dict, list)) for v in tree)):
        entries = tree.items() if isinstance(tree, Mapping) else (("", value) for value in tree)
        inner = None if newline is None else newline + "  "
        yield "{" if isinstance(tree, Mapping) else "["
        for position, (name, value) in enumerate(entries):
            yield ("," if inner else ", ") if position else ""
            yield inner or ""
            yield f"{json.dumps(name, ensure_ascii=False)}: " if isinstance(tree, Mapping) else ""
            yield from _written(value, inner)
        yield (newline or "") + ("}" if isinstance(tree, Mapping) else "]")
    elif isinstance(tree, list):
        yield "[" + ", ".join("".join(_written(value, None)) for value in tree) + "]"
    elif isinstance(tree, JsonNumber):
        yield str(tree)
    else:
        yield json.dumps(tree, ensure_ascii=False)
