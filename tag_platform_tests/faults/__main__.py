"""`python -m tag_platform_tests.faults --count 300 --seed 1`: hundreds of faults, and their tally. Exit code 1 where
anything was lost or wrong. The same seed draws the same faults at the same moments."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from infra.local.mysql9 import mysql9
from tag_platform_tests.faults.kinds import KINDS
from tag_platform_tests.faults.rounds import run_rounds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tag_platform_tests.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many faults (300)")
    parser.add_argument("--seed", type=int, default=None, help="replays a schedule; a random one is told")
    parser.add_argument("--kind", help="only faults whose name holds these words")
    parser.add_argument("--mysql9", action="store_true", help="on a real MySQL 9 in place of the installed server")
    parser.add_argument("--folder", type=Path, help="keep servers' data and logs here")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    chosen = [kind for kind in KINDS if not given.kind or given.kind in kind.name]
    if not chosen:
        parser.error(f"no fault is named so; there are: {', '.join(kind.name for kind in KINDS)}")
    print(f"{given.count} faults, seed {seed}", flush=True)
    binary = mysql9() if given.mysql9 else None
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tag_platform-faults-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tally = run_rounds(given.count, seed, folder, lambda line: print(line, flush=True), chosen, binary=binary)
    print(f"\n{tally}\n{time.monotonic() - started:.0f} s, seed {seed}")
    return 1 if tally.findings.all() else 0


if __name__ == "__main__":
    sys.exit(main())
