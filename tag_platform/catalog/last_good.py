"""The last good tag catalog, kept as a file below the platform's home: definitions can be loaded, and stay what they
were, while MySQL is away."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from tag_platform.catalog.tags import Catalog, load_catalog
from tag_platform.errors import TagPlatformError
from tag_platform.mysql import Database
from tag_platform.settings import Settings

log = logging.getLogger(__name__)


def current_catalog(settings: Settings) -> Catalog:
    """The catalog as MySQL has it now, or the last good one where MySQL cannot be read; empty where there is none."""
    file = settings.home / "catalog.json"
    try:
        catalog = load_catalog(Database.of(settings))
    except Exception as error:  # noqa: BLE001 (whatever the reason, assets must not vanish)
        reason = str(error) if isinstance(error, TagPlatformError) else repr(error)
        log.warning("The tag catalog cannot be read, the last good one stays: %s", reason)
        return _kept(file)
    _keep(file, catalog)
    return catalog


def _kept(file: Path) -> Catalog:
    try:
        return Catalog.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        log.warning("There is no last good catalog (%s): no tag assets until MySQL can be read.", error)
        return Catalog()


def _keep(file: Path, catalog: Catalog) -> None:
    """Replaces the file in one step, so that a reader never sees half of it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".catalog-")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(catalog.model_dump_json())
        Path(name).replace(file)
    except OSError as error:
        log.warning("The last good catalog could not be kept in %s: %s", file, error)
