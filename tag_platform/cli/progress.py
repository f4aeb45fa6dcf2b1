"""Progress of a run in the terminal: one line a stage, with its shards, rows and seconds. Where nobody watches (no
terminal), the log lines of the stages do the same."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from tag_platform.stages import Stage, listening


@contextmanager
def showing_progress(steps: int) -> Iterator[None]:
    """Shows the stages of this process while the block runs; `steps` is how many there are at the most."""
    if not sys.stderr.isatty():
        yield
        return
    log = logging.getLogger("tag_platform.run")
    level = log.level
    log.setLevel(logging.WARNING)  # the display says it
    columns = (SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            running: dict[int, TaskID] = {}
            start = progress.add_task(f"[dim]starting Dagster and the engine, then up to {steps} stages", total=1)

            def show(stage: Stage) -> None:
                if id(stage) not in running:
                    progress.update(start, completed=1)
                    running[id(stage)] = progress.add_task(f"{stage.name} · {stage.shards} shards", total=1)
                if stage.seconds is not None:
                    rows = "" if stage.rows is None else f" · {stage.rows:,} rows"
                    note = f" ({stage.note})" if stage.note else ""
                    text = f"{stage.name} · {stage.shards} shards{rows}{note}"
                    progress.update(running[id(stage)], completed=1, description=text)

            with listening(show):
                yield
    finally:
        log.setLevel(level)
