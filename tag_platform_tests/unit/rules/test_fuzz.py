"""The fuzzer's short form: one round without an engine of its own process."""

from __future__ import annotations

from tag_platform_tests.fuzz_rules import rounds


def test_one_round() -> None:
    """Nothing is found; where it is, the seed is in the output, and `fuzz_rules --seed` shows it again."""
    assert rounds(0, 20_26, {}) == []
