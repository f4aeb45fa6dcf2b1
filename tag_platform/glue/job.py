"""The program of the Glue job: runs a plan that Dagster sent, or one of the seed's modes without Dagster.

    --mode health | list-tasks | task-all | task-tags --tag-ids 1,3 | task-users --user-ids a,b [--tag-ids 1,3]
    --mode plan --plan s3://bucket/key        (sent by `tag_platform.defs.glue.GlueStepLauncher`)

`--set NAME=VALUE,…` gives settings, as the environment would; passwords come from Secrets Manager, named by `--secret`.
Prints one JSON line at its end. Exit code 0 ok, 1 failed, 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tag_platform.errors import BadInput, TagPlatformError
from tag_platform.settings import Settings, load_settings

MODES = ("health", "list-tasks", "task-all", "task-tags", "task-users", "plan")
log = logging.getLogger("tag_platform.run")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the job's arguments; Glue adds some of its own, which are ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--mode", required=True, choices=MODES)
    parser.add_argument("--tag-ids")
    parser.add_argument("--user-ids")
    parser.add_argument("--as-of")
    parser.add_argument("--allow-large-change", action="store_true")
    parser.add_argument("--plan")
    parser.add_argument("--set", default="", dest="given")
    parser.add_argument("--secret")
    parser.add_argument("--JOB_RUN_ID", default="", dest="job_run_id")
    try:
        return parser.parse_known_args(list(argv))[0]
    except argparse.ArgumentError as error:
        raise BadInput(f"{error}.") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the job. A failure ends with `SystemExit`, which makes the job run FAILED, after its reason was printed."""
    from tag_platform.logs import configure_logging

    configure_logging()
    try:
        chosen = arguments(sys.argv[1:] if argv is None else argv)
        prepare_environment(chosen.given, chosen.secret)
        result = run_mode(chosen, load_settings())
    except TagPlatformError as error:
        print(json.dumps({"error": str(error)}, ensure_ascii=False), flush=True)
        raise SystemExit(error.exit_code) from error
    print(json.dumps(result, ensure_ascii=False), flush=True)


def prepare_environment(given: str, secret: str | None) -> None:
    """Puts settings into the environment: those of the job's arguments, then account and password of the secret (the
    shape that Secrets Manager gives to a database's secret: username, password, and maybe host, port, dbname)."""
    for pair in filter(None, given.split(",")):
        name, equals, value = pair.partition("=")
        if not equals or name not in Settings.variables() or "PASSWORD" in name or "SECRET" in name:
            raise BadInput(f"--set {name}: not a setting that an argument may carry.")
        os.environ[name] = value
    if secret is None:
        return
    import boto3

    try:
        content = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    except Exception as error:
        raise TagPlatformError(f"Secret {secret} cannot be read: {type(error).__name__}: {error}") from error
    names = {
        "username": "MYSQL_USER",
        "password": "MYSQL_PASSWORD",
        "host": "MYSQL_HOST",
        "port": "MYSQL_PORT",
        "dbname": "MYSQL_DATABASE",
    }
    if not isinstance(content, dict) or not {"username", "password"} <= set(content):
        raise TagPlatformError(f"Secret {secret} must be a JSON object with username and password.")
    for key, name in names.items():
        if key in content and (key in ("username", "password") or name not in os.environ):
            os.environ[name] = str(content[key])


def run_mode(chosen: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Runs one mode and returns what it says as JSON data."""
    if chosen.mode == "plan":
        from tag_platform.glue.plan_run import run_sent_plan

        if not chosen.plan:
            raise BadInput("--mode plan needs --plan s3://bucket/key.")
        return run_sent_plan(chosen.plan, chosen.job_run_id or uuid.uuid4().hex, settings)
    if chosen.mode == "health":
        return _health(settings)
    if chosen.mode == "list-tasks":
        return {"tags": _tags(settings)}
    return _compute(chosen, settings)


def _health(settings: Settings) -> dict[str, Any]:
    from pyarrow.fs import FileSelector

    from tag_platform.compute.engine import session
    from tag_platform.lake.filesystem import open_filesystem

    tags = _tags(settings)
    for root in (settings.warehouse, settings.lake):
        try:
            filesystem, path = open_filesystem(root, settings)
            filesystem.get_file_info(FileSelector(path, allow_not_found=True))
        except OSError as error:
            raise TagPlatformError(f"{root} cannot be listed: {error}") from error
    with session(settings) as spark:
        if spark.range(3).count() != 3:
            raise TagPlatformError("The engine cannot count to three.")
        version = spark.version
    return {"health": "ok", "active_tags": len(tags), "spark": version, "lake": settings.lake}


def _tags(settings: Settings) -> list[dict[str, Any]]:
    from tag_platform.catalog.tags import load_catalog
    from tag_platform.mysql import Database

    catalog = load_catalog(Database.of(settings))
    return [{"tag_id": tag.tag_id, "tag_name": tag.name, "tag_category": tag.category} for tag in catalog.active]


def _compute(chosen: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    from tag_platform.compute.engine import session
    from tag_platform.compute.planning import check_users
    from tag_platform.compute.run import run
    from tag_platform.dates import parse_date
    from tag_platform.direct import run_direct
    from tag_platform.mysql import Database

    tag_ids = _tag_ids(chosen.tag_ids)
    users = None if chosen.user_ids is None else [user.strip() for user in chosen.user_ids.split(",")]
    for mode, name, value in (("task-tags", "--tag-ids", tag_ids), ("task-users", "--user-ids", users)):
        if chosen.mode == mode and value is None:
            raise BadInput(f"--mode {mode} needs {name}.")
    if chosen.mode == "task-all" and (tag_ids is not None or users is not None):
        raise BadInput("--mode task-all takes neither --tag-ids nor --user-ids.")
    if chosen.mode == "task-tags" and users is not None:
        raise BadInput("--mode task-tags takes no --user-ids; task-users does.")
    if users is not None:
        check_users(users)
    as_of = parse_date(chosen.as_of) if chosen.as_of else datetime.now(settings.zone).date()
    database = Database.of(settings)
    with session(settings) as spark:
        done = run_direct(
            settings, lambda plan: run(plan, spark, database), as_of, tag_ids, users, chosen.allow_large_change
        )
    return {
        "run_id": done.run_id,
        "as_of": as_of.isoformat(),
        "users": sum(done.tags.users.values()),
        "hits": {str(tag_id): sum(hits.values()) for tag_id, hits in done.tags.hits.items()},
        "user_tags": {
            "inserted": sum(done.merge.inserted.values()),
            "updated": sum(done.merge.updated.values()),
            "unchanged": sum(done.merge.unchanged.values()),
        },
        "broken": {str(tag_id): reason for tag_id, reason in done.broken.items()},
    }


def _tag_ids(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise BadInput(f"--tag-ids {text!r} cannot be read; write tag ids separated by commas, such as 1,3,5.")
    return sorted({int(part) for part in parts})


if __name__ == "__main__":
    main()
