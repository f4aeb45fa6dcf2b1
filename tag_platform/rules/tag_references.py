"""Rules of other tags that a rule refers to: parsed once each, and never in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tag_platform.rules.errors import InvalidRule, RuleError
from tag_platform.rules.model import Rule
from tag_platform.rules.schema import RuleSchema

MAX_EXPANDED_LEAVES = 10_000
MAX_EXPANDED_DEPTH = 100
MAX_CHAIN = 50


class References:
    """The tags at hand while one rule is parsed, and the chain of tags that led to where the parser is."""

    def __init__(
        self,
        schema: RuleSchema,
        sources: Mapping[int, Any],
        retired: frozenset[int],
        parse: Callable[[Any, References, int | None], Rule],
    ) -> None:
        self.schema = schema
        self._sources = sources
        self._retired = retired
        self._parse = parse
        self._parsed: dict[int, Rule | InvalidRule] = {}
        self._chain: list[int | None] = []

    @contextmanager
    def entered(self, tag_id: int | None) -> Iterator[None]:
        """While the rule of `tag_id` is parsed."""
        self._chain.append(tag_id)
        try:
            yield
        finally:
            self._chain.pop()

    def chain(self, tag_id: int) -> str:
        """`tag 3 → tag 5`: how the parser came to `tag_id`."""
        return " → ".join("this rule" if link is None else f"tag {link}" for link in [*self._chain, tag_id])

    def rule(self, tag_id: int) -> Rule:
        """The active rule of another tag. Raises `InvalidRule` that names the chain."""
        chain = self.chain(tag_id)
        if tag_id in self._chain:
            raise _refused(f"the tags refer to each other in a circle: {chain}")
        if tag_id in self._retired:
            raise _refused(f"tag {tag_id} is retired: {chain}")
        if tag_id not in self._sources:
            raise _refused(f"tag {tag_id} is unknown or has no active rule: {chain}")
        if len(self._chain) > MAX_CHAIN:
            raise _refused(f"more than {MAX_CHAIN} tags refer to each other in a row")
        known = self._parsed.get(tag_id)
        if known is None:
            known = self._parsed[tag_id] = self._first_time(tag_id, chain)
        if isinstance(known, InvalidRule):
            raise known
        return known

    def _first_time(self, tag_id: int, chain: str) -> Rule | InvalidRule:
        try:
            return self._parse(self._sources[tag_id], self, tag_id)
        except InvalidRule as error:
            first = error.errors[0]
            nested = "in a circle" in first.message or ": this rule" in first.message or " → " in first.message
            return _refused(first.message if nested else f"the rule of tag {tag_id} is invalid ({chain}): {first}")

    def check_size(self, size: int, depth: int) -> None:
        """Refuses a rule that, with the tags it refers to written out, is more than engines plan in bounded time."""
        if size > MAX_EXPANDED_LEAVES:
            raise _refused(
                f"together with the tags it refers to, the rule has more than {MAX_EXPANDED_LEAVES:,} conditions"
            )
        if depth > MAX_EXPANDED_DEPTH:
            raise _refused(
                f"together with the tags it refers to, the rule is more than {MAX_EXPANDED_DEPTH} groups deep"
            )


def _refused(message: str) -> InvalidRule:
    return InvalidRule([RuleError("$", message)])
