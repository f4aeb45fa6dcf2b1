"""The closing table of a run: users, hits and coverage per tag, rows written, seconds per stage, what to do next."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tag_platform.settings import Settings


def print_outcome(outcome: dict[str, Any], settings: Settings) -> None:
    """Prints what `run` returns to stdout."""
    console = Console(soft_wrap=True)
    if "tags" not in outcome:
        console.print(f"Run [bold]{outcome['run_id']}[/] {outcome['status']}")
        return
    if outcome["dry_run"]:
        _print_dry_run(outcome, console)
        return
    table = Table(title=f"Run {outcome['run_id']}", title_justify="left")
    for name in ("tag", "name", "users", "hits", "coverage", "entered", "left"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for tag in outcome["tags"]:
        counts = [f"{tag[name]:,}" for name in ("users", "hits")]
        moves = [f"{tag[name]:,}" for name in ("entered", "left")]
        table.add_row(str(tag["tag_id"]), tag["tag_name"], *counts, f"{tag['coverage']:.2%}", *moves)
    console.print(table)
    for tag_id, reason in outcome["broken"].items():
        console.print(f"[red]Tag {tag_id}:[/] {reason}", markup=True, highlight=False)
    rows = outcome["user_tags"]
    console.print(
        f"user_tags: {rows['inserted']:,} inserted, {rows['updated']:,} updated, {rows['unchanged']:,} unchanged",
        highlight=False,
    )
    seconds = {
        **{f"copy {name}": sum(s["seconds"].values()) for name, s in outcome["sources"].items() if s["copied"]},
        **outcome["stages"],
        "whole run": outcome["seconds"],
    }
    console.print("Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()), highlight=False)
    client = (
        f"mysql -h {settings.mysql_host} -P {settings.mysql_port} -u {settings.mysql_user} -p {settings.mysql_database}"
    )
    query = "SELECT user_id, tag_ids FROM user_tags WHERE JSON_CONTAINS(tag_ids, '1') LIMIT 5"
    ui = f"http://{settings.ui_host}:{settings.ui_port}"
    console.print(
        f"\nNext:  make up      (or tag-platform up) starts UI, queue and gateway: {ui}\n"
        "       make down    (or tag-platform down) stops everything; the data stay\n"
        f'       {client} -e "{query}"',
        highlight=False,
        markup=False,
    )


def _print_dry_run(outcome: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Dry run {outcome['run_id']}: nothing was written", title_justify="left")
    for name in ("tag", "name", "before", "entering", "leaving", "after"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for change in outcome["changes"]:
        after = change["before"] + change["entered"] - change["left"]
        counts = (change["before"], change["entered"], change["left"], after)
        table.add_row(str(change["tag_id"]), change["tag_name"], *(f"{n:,}" for n in counts))
    console.print(table)
    for tag_id, reason in outcome["broken"].items():
        console.print(f"Tag {tag_id}: {reason}", markup=False, highlight=False)
    for reason in outcome["gate"]:
        console.print(f"The gate would stop this: {reason}", markup=False, highlight=False)
