"""Regular expressions: the subset whose meaning is the same everywhere, parsed and written out again for each engine.

A pattern is never handed to an engine as the rule wrote it: `.`, `\\d`, `\\b`, `$` and `(?i)` differ between engines.
What is handed over is made of literals, explicit character classes, groups, `|` and quantifiers.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

MAX_PATTERN = 1_000
MAX_REPEAT = 1_000  # the bound of RE2; also for nested quantifiers, multiplied
MAX_COST = 20_000  # what the automaton-building engines accept within their memory limits
LAST = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]
Flavour = Literal["python", "java", "rust", "re2"]

_ASCII_CLASSES: dict[str, Ranges] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 13), (32, 32)),
}
_CONTROL = {"n": 10, "r": 13, "t": 9}
_WORD = "[0-9A-Za-z_]"
_LOOK_AROUND = f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"
_BOUNDARY = {"python": _LOOK_AROUND, "java": _LOOK_AROUND, "rust": r"(?-u:\b)", "re2": r"\b"}
_END = {"python": r"\Z", "java": r"\z", "rust": r"\z", "re2": r"\z"}


class BadRegex(ValueError):
    """The pattern is not of the common subset; the message says where and what is not allowed."""


@dataclass(frozen=True)
class Regex:
    """A checked pattern. `pattern` is as the rule has it; `written(flavour)` is what an engine gets."""

    pattern: str
    parts: tuple[str | Ranges, ...]

    def written(self, flavour: Flavour) -> str:
        """The pattern for Python's `re`, `java` (also ICU and PCRE), `rust` or `re2`, to be searched unanchored."""
        special = {"^": r"\A", "$": _END[flavour], "b": _BOUNDARY[flavour]}
        return "".join(
            _write_class(part) if isinstance(part, tuple) else special.get(part, part) for part in self.parts
        )

    def search(self, text: str) -> bool:
        return _compiled(self).search(text) is not None


@lru_cache(maxsize=2048)
def _compiled(regex: Regex) -> re.Pattern[str]:
    return re.compile(regex.written("python"))


def _write_char(code: int) -> str:
    char = chr(code)
    if code < 128:
        return char if char.isalnum() else f"\\x{code:02X}"
    return char


def _write_class(ranges: Ranges) -> str:
    if ranges == ((0, LAST),):
        return "(?s:.)"
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _write_char(ranges[0][0])
    negated = len(ranges) > 1 and ranges[0][0] == 0 and ranges[-1][1] == LAST
    shown = _complement(ranges) if negated else ranges
    body = "".join(_write_char(a) if a == b else f"{_write_char(a)}-{_write_char(b)}" for a, b in shown)
    return f"[{'^' if negated else ''}{body}]"


def _union(ranges: list[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: Ranges) -> Ranges:
    result, start = [], 0
    for low, high in ranges:
        if low > start:
            result.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        result.append((start, LAST))
    return tuple(result)


def _both_cases(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    result = list(ranges)
    for low, high in ranges:
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            a, b = max(low, first), min(high, last)
            if a <= b:
                result.append((a + shift, b + shift))
    return result


def parse_regex(pattern: str) -> Regex:
    """Checks a pattern. Raises `BadRegex`."""
    if len(pattern) > MAX_PATTERN:
        raise BadRegex(f"the pattern is longer than {MAX_PATTERN:,} characters")
    return Regex(pattern, tuple(_Parser(pattern).parse()))


class _Parser:
    """One pass over the pattern. `stack` holds the cost of what is open: [of earlier parts, of the last atom]."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.ignore_case = pattern.startswith("(?i)")
        self.at = 4 if self.ignore_case else 0
        self.parts: list[str | Ranges] = []
        self.stack: list[list[int]] = [[0, 0]]
        self.repeats: list[int] = [1]  # the greatest product of bounded repeats inside the open group
        self.quantifiable = False
        self.last_repeat = 1

    def refuse(self, message: str, at: int | None = None) -> BadRegex:
        return BadRegex(f"{message} (character {(self.at if at is None else at) + 1} of the pattern)")

    def take(self, count: int = 1) -> str:
        taken = self.pattern[self.at : self.at + count]
        self.at += count
        return taken

    def atom(self, part: str | Ranges, cost: int, repeat: int = 1) -> None:
        self.parts.append(part)
        self.stack[-1][0] += self.stack[-1][1]
        self.stack[-1][1] = cost
        self.last_repeat = repeat
        self.quantifiable = True

    def assertion(self, part: str) -> None:
        self.atom(part, 1)
        self.quantifiable = False

    def parse(self) -> list[str | Ranges]:
        while self.at < len(self.pattern):
            self.step()
        if len(self.stack) > 1:
            raise self.refuse("a group '(' is not closed")
        if sum(self.stack[0]) > MAX_COST:
            raise BadRegex("the pattern's repetitions are too large together")
        return self.parts

    def step(self) -> None:
        start, char = self.at, self.take()
        if char == "(":
            if self.pattern.startswith("?", self.at):
                if not self.pattern.startswith("?:", self.at):
                    raise self.refuse(
                        "of the groups that start with '(?' only '(?:' is allowed, and '(?i)' at the very start; "
                        "look-around, named groups and other flags are not",
                        start,
                    )
                self.take(2)
            self.parts.append("(?:")
            self.stack.append([0, 0])
            self.repeats.append(1)
            self.quantifiable = False
            if len(self.stack) > 50:
                raise self.refuse("groups are nested more than 50 deep", start)
        elif char == ")":
            if len(self.stack) == 1:
                raise self.refuse("')' closes no group; a literal one is written '\\)'", start)
            cost, repeat = sum(self.stack.pop()), self.repeats.pop()
            self.atom(")", cost, repeat)
            self.repeats[-1] = max(self.repeats[-1], repeat)
        elif char == "|":
            self.parts.append("|")
            self.quantifiable = False
        elif char in "*+?{":
            self.quantifier(char, start)
        elif char in "^$":
            self.assertion(char)
        elif char == ".":
            self.atom(((0, 9), (11, LAST)), 12)
        elif char == "[":
            self.char_class(start)
        elif char == "\\":
            self.escape(start)
        else:
            self.ranges([(ord(char), ord(char))])

    def ranges(self, ranges: list[tuple[int, int]], negated: bool = False) -> None:
        merged = _union(_both_cases(ranges) if self.ignore_case else ranges)
        if negated:
            merged = _complement(merged)
            if not merged:
                raise self.refuse("the character class matches nothing")
        self.atom(merged, 1 if merged[-1][1] < 128 else 12 if merged[-1][0] != merged[-1][1] else 4)

    def quantifier(self, char: str, start: int) -> None:
        if not self.quantifiable:
            raise self.refuse(f"'{char}' has nothing to repeat; a literal one is written '\\{char}'", start)
        text, most = char, 1
        if char == "{":
            match = re.compile(r"([0-9]{1,9})(,([0-9]{1,9})?)?\}").match(self.pattern, self.at)
            if not match:
                raise self.refuse("'{' must start a quantifier {m}, {m,} or {m,n}; a literal one is '\\{'", start)
            self.at = match.end()
            low, high = int(match[1]), int(match[3] or match[1])
            most = max(high, 1)
            if low > high:
                raise self.refuse(f"the quantifier {{{low},{high}}} runs from high to low", start)
            text = f"{{{low}" + ("" if match[2] is None else "," if match[3] is None else f",{high}") + "}"
        total = most * self.last_repeat
        if total > MAX_REPEAT:
            raise self.refuse(f"more than {MAX_REPEAT:,} repetitions, nested ones multiplied", start)
        self.repeats[-1] = max(self.repeats[-1], total)
        if self.pattern.startswith("?", self.at):
            text += self.take()
        elif self.pattern.startswith("+", self.at):
            raise self.refuse("possessive quantifiers are not allowed")
        self.stack[-1][1] *= most
        self.parts.append(text)
        self.quantifiable = False

    def escape(self, start: int) -> None:
        char = self.take()
        if char == "b":
            self.assertion("b")
        else:
            self.ranges(list(self.escaped(char, start)))

    def escaped(self, char: str, start: int) -> Ranges:
        if char in _CONTROL:
            return ((_CONTROL[char], _CONTROL[char]),)
        if char and char in "dwsDWS":
            ranges = _ASCII_CLASSES[char.lower()]
            return ranges if char.islower() else _complement(ranges)
        if char and char in string.punctuation:
            return ((ord(char), ord(char)),)
        what = f"'\\{char}'" if char else "a backslash at the end"
        raise self.refuse(
            f"{what} is not allowed; allowed are escaped punctuation, \\n \\r \\t, \\d \\w \\s \\D \\W \\S and \\b",
            start,
        )

    def char_class(self, start: int) -> None:
        negated = self.pattern.startswith("^", self.at)
        if negated:
            self.take()
        ranges: list[tuple[int, int]] = []
        first = True
        while True:
            if self.at >= len(self.pattern):
                raise self.refuse("the character class '[' is not closed", start)
            if self.pattern[self.at] == "]" and not first:
                self.take()
                break
            ranges.extend(self.class_member())
            first = False
        self.ranges(ranges, negated)

    def class_member(self) -> Ranges:
        start, low = self.at, self.class_char()
        if not self.pattern.startswith("-", self.at) or self.pattern.startswith("-]", self.at):
            return low
        self.take()
        high = self.class_char()
        if len(low) > 1 or len(high) > 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
            raise self.refuse("a range must run between two characters", start)
        if low[0][0] > high[0][0]:
            raise self.refuse("the range runs from high to low", start)
        return ((low[0][0], high[0][0]),)

    def class_char(self) -> Ranges:
        start = self.at
        if self.pattern[start : start + 2] in ("&&", "--", "~~", "||"):
            raise self.refuse("class operations are not allowed; escape the character", start)
        char = self.take()
        if char in ("[", "]", ""):
            raise self.refuse("'[' and ']' inside a character class must be escaped", start)
        if char == "\\":
            return self.escaped(self.take(), start)
        return ((ord(char), ord(char)),)
