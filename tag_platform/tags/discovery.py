"""Finds tag classes by tag id: in `tag_platform.tags`, and in the package that TAG_PLATFORM_TAGS names.

Files are read before they are imported, so a file that cannot be imported breaks the tags whose ids stand in it, and no
others; files of tags that nobody asks for are not imported at all.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from tag_platform.errors import BadInput
from tag_platform.settings import load_settings
from tag_platform.tags.base import TagClass

SHIPPED = "tag_platform.tags"
_TAG_ID = re.compile(r"^[ \t]+tag_id[ \t]*(?::[^=\n]*)?=[ \t]*(\d+)\b", re.MULTILINE)

TagModules = Mapping[int, tuple[str, ...]]  # tag id → modules with a class for it; more than one is an error of the tag


def installed_tag_modules() -> TagModules:
    """The classes of this installation. Raises `BadInput` where TAG_PLATFORM_TAGS names no package."""
    return find_tag_modules(load_settings().tags_package)


@lru_cache(maxsize=8)
def find_tag_modules(own: str | None = None) -> TagModules:
    """Tag ids and the modules that their classes stand in. The package `own` comes before the shipped one: its class
    for a tag id replaces the shipped example."""
    found = _modules_by_tag(SHIPPED)
    if own is not None:
        found |= _modules_by_tag(own)
    return found


def load_tag_class(tag_id: int, modules: tuple[str, ...]) -> type[TagClass]:
    """Imports the tag's class. Raises `BadInput` with the reason where that fails, or where there is no single one."""
    classes: list[type[TagClass]] = []
    for name in modules:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise BadInput(f"The tag's class cannot be imported from {name}: {_reason(error)}") from error
        classes += [
            entry
            for entry in vars(module).values()
            if isinstance(entry, type) and issubclass(entry, TagClass) and entry.__module__ == name
            if entry is not TagClass and entry.tag_id == tag_id
        ]
    if len(classes) != 1:
        where = ", ".join(sorted(entry.path() for entry in classes)) or f"none in {', '.join(modules)}"
        raise BadInput(f"Tag {tag_id} needs exactly one class with its tag_id; found {where}.")
    return classes[0]


def import_tag_class(path: str) -> type[TagClass]:
    """The class that a plan names, `package.module:ClassName`. Raises `BadInput` where it cannot be imported."""
    module, _, name = path.partition(":")
    try:
        entry = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise BadInput(f"The tag's class {path} cannot be imported here: {_reason(error)}") from error
    if not (isinstance(entry, type) and issubclass(entry, TagClass)):
        raise BadInput(f"{path} is no tag class.")
    return entry


def package_folder(package: str) -> Traversable:
    """The folder of the package's files. Raises `BadInput` where there is no such package."""
    try:
        return files(package)
    except Exception as error:
        raise BadInput(f"TAG_PLATFORM_TAGS={package} is no package that can be imported: {_reason(error)}") from error


def _modules_by_tag(package: str) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for module, text in sorted(_sources(package_folder(package), package)):
        for number in dict.fromkeys(map(int, _TAG_ID.findall(text))):
            found[number] = (*found.get(number, ()), module)
    return found


def _sources(folder: Traversable, package: str) -> Iterator[tuple[str, str]]:
    """Module name and text of every Python file below the folder, tests left out."""
    for entry in folder.iterdir():
        stem, dot, ending = entry.name.partition(".")
        if entry.is_dir() and stem.isidentifier() and not dot and stem != "__pycache__":
            yield from _sources(entry, f"{package}.{stem}")
        elif ending == "py" and stem != "__init__" and not stem.startswith("test_"):
            yield f"{package}.{stem}", entry.read_bytes().decode(errors="replace")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
