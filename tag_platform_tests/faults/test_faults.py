"""A dozen faults on each database server; `python -m tag_platform_tests.faults` injects hundreds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.database import ServerBinary, installed_server
from tag_platform_tests.faults import kinds
from tag_platform_tests.faults.kinds import KINDS
from tag_platform_tests.faults.rounds import run_rounds
from tag_platform_tests.mysql9 import mysql9_or_skip

pytestmark = [pytest.mark.integration, pytest.mark.engine, pytest.mark.slow]
# What a fault of the lake or of the command line does is no matter of the database server.
OF_THE_DATABASE = [kind for kind in KINDS if kind.strike not in (kinds.lose_store, kinds.fill_disk)]


@pytest.mark.parametrize(
    ("binary", "chosen", "count"),
    [(installed_server, KINDS, 11), (mysql9_or_skip, [kind for kind in OF_THE_DATABASE if kind.stretch == 1], 6)],
    ids=["installed_server", "mysql9"],
)
def test_a_plain_retry_makes_good_whatever_went_wrong(
    binary: Callable[[], ServerBinary], chosen: list[kinds.Kind], count: int, tmp_path: Path
) -> None:
    """After each fault a plain retry ends in the table that an undisturbed run would have left: no row lost, no time
    stamp moved but for a change, an account that is right, before-images of everything, and no lock left."""
    tally = run_rounds(count, 20261124, tmp_path, print, chosen, binary=binary())
    print(tally)
    assert tally.findings.all() == []
    assert tally.faults >= count // 2, "most faults came too late to break anything"
