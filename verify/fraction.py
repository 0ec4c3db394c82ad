"""Fractions of Z3 terms, and equality and order of them without a division."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import z3


@dataclass(frozen=True, slots=True)
class Fraction:
    """`top / bottom`; whoever makes one records that `bottom` is not 0."""

    top: Any
    bottom: Any

    def __add__(self, other: Fraction) -> Fraction:
        if self.bottom.eq(other.bottom):
            return Fraction(self.top + other.top, self.bottom)
        top = times(self.top, other.bottom) + times(other.top, self.bottom)
        return Fraction(top, times(self.bottom, other.bottom))

    def __mul__(self, other: Fraction) -> Fraction:
        return Fraction(times(self.top, other.top), times(self.bottom, other.bottom))

    def power(self, n: int) -> Fraction:
        """`self^n`; for `n < 0` the caller records that `top` is not 0."""
        result = UNIT
        base = self if n >= 0 else Fraction(self.bottom, self.top)
        for _ in range(abs(n)):
            result = result * base
        return result


ONE = z3.RealVal(1)
UNIT = Fraction(ONE, ONE)


def times(a: Any, b: Any) -> Any:
    """A product, without factors 1: most denominators are."""
    return b if a is ONE else a if b is ONE else a * b


def whole(top: Any) -> Fraction:
    """A value that is no quotient."""
    return Fraction(top, ONE)


def number(value: int | str) -> Fraction:
    """A rational number."""
    return UNIT if str(value) == "1" else whole(z3.RealVal(value))


def same(a: Fraction, b: Fraction) -> Any:
    """`a = b`, cross-multiplied."""
    return times(a.top, b.bottom) == times(b.top, a.bottom)


def compare(a: Fraction, b: Fraction, strict: bool) -> Any:
    """`a >= b` (or `>`): both sides times the squares of the denominators."""
    left = times(times(a.top, a.bottom), times(b.bottom, b.bottom))
    right = times(times(b.top, b.bottom), times(a.bottom, a.bottom))
    return left > right if strict else left >= right
