"""Becomes one program: reads its launch order, notes which process it is, and replaces itself by it.

The process runner starts every program through this module, because a launch order (JSON, private to the user) carries
any value of any variable unharmed, which the runner's configuration file does not. The note tells the next start
whether a process left behind is ours: a pid alone may long belong to somebody else.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil


def main(order_file: Path) -> None:
    """Replaces this process by the program of `order_file` (`<name>.json`); the note is `<name>.pid`."""
    order = json.loads(order_file.read_text())
    note = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    order_file.with_suffix(".pid").write_text(json.dumps(note))
    environment = {name: value for name, value in os.environ.items() if name not in order["unset"]}
    environment.update(order["environment"])
    os.execvpe(order["argv"][0], order["argv"], environment)  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]))
