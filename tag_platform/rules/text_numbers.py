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
        """Sign, power and figures of a number's text."""
        e = self.engine
        whole = e.extract(text, "^[+-]?0*([0-9]*)")
        fraction = e.extract(text, "^[+-]?[0-9]*[.]([0-9]*)")
        zeros = e.length(e.extract(fraction, "^(0*)"))
        figures = e.extract(e.extract(e.concat([whole, fraction]), "^0*([0-9]*)$"), "^([0-9]*[1-9])0*$")
        written = e.extract(text, "[eE]([+-]?[0-9]+)$")
        digits = e.extract(written, "^[+-]?0*([1-9][0-9]*)$")
        exponent = e.when(
            e.compare(">", e.length(digits), e.integer(15)),
            e.integer(MAX_EXPONENT),
            e.text_to_bigint(e.concat([e.text("0"), e.when(e.compare("<=", e.length(digits), e.integer(15)), digits)])),
        )
        exponent = e.when(e.starts_with(written, "-"), e.negative(exponent), exponent)
        places = e.when(e.compare("=", e.length(whole), e.integer(0)), e.negative(zeros), e.length(whole))
        zero = e.compare("=", figures, e.text(""))
        sign = e.when(zero, e.integer(0), e.when(e.starts_with(text, "-"), e.integer(-1), e.integer(1)))
        known = e.negate(e.is_null(text))
        return Parts(e.when(known, sign), e.when(zero, e.integer(0), e.add(places, exponent)), figures)

    def literal(self, number: Decimal) -> Parts[E]:
        e = self.engine
        sign, power, figures = literal_parts(number)
        return Parts(e.integer(sign), e.integer(power), e.text(figures))

    def compare(self, op: Comparison, x: Parts[E], y: Parts[E]) -> E:
        """`x op y`; UNKNOWN where one of them is NULL."""
        e = self.engine
        same = e.both(
            [
                e.compare("=", x.sign, y.sign),
                e.compare("=", x.power, y.power),
                e.compare("=", x.figures, y.figures),
            ]
        )
        if op == "=":
            return same
        if op in (">", ">="):
            return e.negate(self.compare("<=" if op == ">" else "<", x, y))
        less = e.either(
            [
                e.compare("<", x.sign, y.sign),
                e.both([e.compare("=", x.sign, y.sign), e.compare("=", x.sign, e.integer(1)), self._smaller(x, y)]),
                e.both([e.compare("=", x.sign, y.sign), e.compare("=", x.sign, e.integer(-1)), self._smaller(y, x)]),
            ]
        )
        return less if op == "<" else e.either([less, same])

    def one_of(self, x: Parts[E], numbers: Sequence[Decimal]) -> E:
        e = self.engine
        key = e.concat([e.integer_text(x.sign), e.text("|"), e.integer_text(x.power), e.text("|"), x.figures])
        keys = ["|".join(map(str, literal_parts(number))) for number in numbers]
        return e.one_of(key, [e.text(text) for text in keys])

    def _smaller(self, x: Parts[E], y: Parts[E]) -> E:
        e = self.engine
        return e.either(
            [
                e.compare("<", x.power, y.power),
                e.both([e.compare("=", x.power, y.power), e.compare("<", x.figures, y.figures)]),
            ]
        )


def literal_parts(number: Decimal) -> tuple[int, int, str]:
    """Sign, power and figures of a number, as `TextNumbers.parts` has them."""
    sign, digits, _ = number.as_tuple()
    figures = "".join(map(str, digits)).lstrip("0").rstrip("0")
    if not figures:
        return 0, 0, ""
    return -1 if sign else 1, number.adjusted() + 1, figures
