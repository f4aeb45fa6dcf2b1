"""Numbers kept as text, compared exactly on any engine.

Most are short, plain digits (`SIMPLE`) and become a decimal. Any other (a hundred digits, `1e400`, `.5`) is taken apart
into sign, power and figures, ±0.FIGURES × 10^POWER, which compare one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from tag_platform.rules.engine import Engine
from tag_platform.rules.predicates import Comparison
from tag_platform.rules.schema import parse_type
from tag_platform.rules.values import MAX_EXPONENT

E = TypeVar("E")

NUMBER = "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$"
SIMPLE = "^-?[0-9]{1,18}([.][0-9]{1,18})?$"
SIMPLE_TYPE = parse_type("decimal(36,18)")


@dataclass(frozen=True)
class Parts(Generic[E]):
    """±0.figures × 10^power; `sign` is -1, 0 or 1, and zero has power 0 and no figures."""

    sign: E
    power: E
    figures: E


class TextNumbers(Generic[E]):
    """Builds expressions over texts that are known to be numbers (NULL is allowed)."""

    def __init__(self, engine: Engine[E]) -> None:
        self.engine = engine

    def parts(self, text: E) -> Parts[E]:
        """Sign, power and figures of a number's text. Of another text they mean nothing, and nothing fails.

        Each step uses the one before it as seldom as it can: an engine is given the whole expression for every use.
        """
        e = self.engine
        unsigned = e.unsigned(e.lowered(text))
        mantissa = e.before(unsigned, "e")
        digits = e.zeros_left(e.without(mantissa, "."))
        figures = e.zeros_right(digits)
        zero = e.compare("=", figures, e.text(""))
        sign = e.when(zero, e.integer(0), e.when(e.starts_with(text, "-"), e.integer(-1), e.integer(1)))
        places = e.add(e.length(digits), e.negative(e.length(e.after(mantissa, "."))))
        power = e.add(places, self._exponent(unsigned))
        return Parts(e.when(e.negate(e.is_null(text)), sign), e.when(zero, e.integer(0), power), figures)

    def _exponent(self, unsigned: E) -> E:
        """The number behind the `e`, cut where a literal's is (`MAX_EXPONENT`); 0 where there is none."""
        e = self.engine
        written = e.after(e.concat([unsigned, e.text("e0")]), "e")
        return e.clamped_bigint(e.when(e.found(written, "^[+-]?[0-9]+(e0)?$"), written), MAX_EXPONENT)

    def literal(self, number: Decimal) -> Parts[E]:
        e = self.engine
        sign, power, figures = literal_parts(number)
        return Parts(e.integer(sign), e.integer(power), e.text(figures))

    def compare(self, op: Comparison, x: Parts[E], y: Parts[E]) -> E:
        """`x op y`; UNKNOWN where one of them is NULL."""
        e = self.engine
        if op in (">", ">="):
            return e.negate(self.compare("<=" if op == ">" else "<", x, y))
        same = e.both([e.compare("=", a, b) for a, b in ((x.sign, y.sign), (x.power, y.power), (x.figures, y.figures))])
        if op == "=":
            return same
        positive = e.both([e.compare("=", x.sign, e.integer(1)), self._smaller(x, y)])
        negative = e.both([e.compare("=", x.sign, e.integer(-1)), self._smaller(y, x)])
        among_equals = e.both([e.compare("=", x.sign, y.sign), e.either([positive, negative])])
        less = e.either([e.compare("<", x.sign, y.sign), among_equals])
        return less if op == "<" else e.either([less, same])

    def compare_literal(self, op: Comparison, x: Parts[E], number: Decimal) -> E:
        """`x op number`; UNKNOWN where x is NULL."""
        e = self.engine
        if op in (">", ">="):
            return e.negate(self.compare_literal("<=" if op == ">" else "<", x, number))
        sign, y = literal_parts(number)[0], self.literal(number)
        if op == "=":
            return self.compare("=", x, y)
        if sign == 0:
            return e.compare(op, x.sign, y.sign)
        if sign > 0:
            return e.either([e.compare("<", x.sign, y.sign), self._smaller(x, y, op)])
        return e.both([e.compare("=", x.sign, y.sign), self._smaller(y, x, op)])

    def one_of(self, x: Parts[E], numbers: Sequence[Decimal]) -> E:
        e = self.engine
        key = e.concat([e.integer_text(x.sign), e.text("|"), e.integer_text(x.power), e.text("|"), x.figures])
        keys = ["|".join(map(str, literal_parts(number))) for number in numbers]
        return e.one_of(key, [e.text(text) for text in keys])

    def _smaller(self, x: Parts[E], y: Parts[E], op: Comparison = "<") -> E:
        """By size alone, whatever the sign."""
        e = self.engine
        same_power = e.both([e.compare("=", x.power, y.power), e.compare(op, x.figures, y.figures)])
        return e.either([e.compare("<", x.power, y.power), same_power])


def literal_parts(number: Decimal) -> tuple[int, int, str]:
    """Sign, power and figures of a number, as `TextNumbers.parts` has them."""
    sign, digits, _ = number.as_tuple()
    figures = "".join(map(str, digits)).lstrip("0").rstrip("0")
    if not figures:
        return 0, 0, ""
    return -1 if sign else 1, number.adjusted() + 1, figures
