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
        return Fraction(self.top * other.bottom + other.top * self.bottom, self.bottom * other.bottom)

    def __mul__(self, other: Fraction) -> Fraction:
        return Fraction(self.top * other.top, self.bottom * other.bottom)

    def power(self, n: int) -> Fraction:
        """`self^n`; for `n < 0` the caller records that `top` is not 0."""
        result = number(1)
        base = self if n >= 0 else Fraction(self.bottom, self.top)
        for _ in range(abs(n)):
            result = result * base
        return result


def number(value: int | str) -> Fraction:
    """A rational number."""
    return Fraction(z3.RealVal(value), z3.RealVal(1))


def same(a: Fraction, b: Fraction) -> Any:
    """`a = b`, cross-multiplied."""
    return a.top * b.bottom == b.top * a.bottom


def compare(a: Fraction, b: Fraction, strict: bool) -> Any:
    """`a >= b` (or `>`): both sides times the squares of the denominators."""
    left, right = a.top * a.bottom * b.bottom * b.bottom, b.top * b.bottom * a.bottom * a.bottom
    return left > right if strict else left >= right
