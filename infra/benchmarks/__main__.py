"""`python -m infra.benchmarks`, which is `make bench`: measures what the table in docs/performance.md shows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from infra.benchmarks import evaluation, orchestration, runs
from infra.benchmarks.deployment import Servers, servers
from infra.benchmarks.results import Result, as_json, table
from tag_platform.errors import TagPlatformError

PARTS = ("first-load", "rerun", "changed", "tags", "spark", "orchestration", "import", "latency", "large")


@click.command(help=__doc__)
@click.option("--users", default=1_000_000, show_default=True, type=click.IntRange(1_000), help="Users of most lines.")
@click.option("--large", default=10_000_000, show_default=True, type=click.IntRange(1_000), help="Users of `large`.")
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(1, 20), help="Pairs behind each median.")
@click.option("--only", default=",".join(PARTS), show_default=True, help="Parts to measure.")
@click.option("--storage", default="s3", show_default=True, type=click.Choice(["s3", "files"]), help="Where data lie.")
@click.option("--cold/--no-cold", default=True, show_default=True, help="Also measure with servers just started.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write JSON here.")
def main(users: int, large: int, repeat: int, only: str, storage: str, cold: bool, json_file: Path | None) -> None:
    parts = only.split(",")
    if unknown := set(parts) - set(PARTS):
        raise click.UsageError(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}.")
    results: list[Result] = []

    def measure(what: Callable[[], Result]) -> None:
        results.append(what())
        click.echo(table(results[-1:]).splitlines()[-1], err=True)

    try:
        with servers(storage) as started:
            _measure(started, users, large, repeat, cold, parts, measure, results)
    except TagPlatformError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(table(results))
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(results, storage=storage, repeat=repeat), indent=2) + "\n")


def _measure(
    started: Servers,
    users: int,
    large: int,
    repeat: int,
    cold: bool,
    parts: list[str],
    measure: Callable[[Callable[[], Result]], None],
    results: list[Result],
) -> None:
    """Every line of the table, smallest last where it needs servers with nothing else in memory."""
    if {"first-load", "rerun", "changed", "large", "import"} & set(parts):
        bench = started.platform("users", users)
        measure(lambda: runs.first_load(started, bench, repeat, 2.0, cold))
        if "rerun" in parts:
            measure(lambda: runs.rerun(started, bench, repeat, 4.0, cold))
        if "changed" in parts:
            for tables in (1, 3):
                measure(lambda tables=tables: runs.changed(bench, repeat, 1.3, tables))  # type: ignore[misc]
        if "import" in parts:
            measure(lambda: orchestration.import_seconds(bench, repeat, 2.5))
    if "tags" in parts:
        measure(lambda: evaluation.many_tags(started, users, repeat, 3.0))
    if "spark" in parts:
        measure(lambda: evaluation.against_a_script(started, users, repeat, 1.2))
    if "orchestration" in parts:
        measure(lambda: orchestration.empty_run(started, 8, 8, repeat, 4.0))
        measure(lambda: orchestration.empty_run(started, 64, 16, repeat, 15.0))
    if "latency" in parts:
        measure(lambda: orchestration.latency(started, 10_000, 10, 4.0))
    if "large" in parts:
        many = started.platform("large", large)
        measure(lambda: runs.first_load(started, many, 1, None, cold=False))
        first = results[-1]
        measure(lambda: runs.growth(results[:1], [first], large / users, 1.1 * large / users))
        measure(lambda: runs.rerun(started, many, 1, 2.0, cold=False))
        measure(lambda: runs.memory([first, results[-1]], large, 6.0))


if __name__ == "__main__":
    main()
