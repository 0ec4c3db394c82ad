"""Fractions of Z3 terms, and equality and order of them without a division."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from refold.verify.smt import formulas as z3


@dataclass(frozen=True, slots=True)
class Fraction:
    """`top / prod factor^power`; whoever makes one records that no factor is 0.

    Factors are kept apart so that what two denominators share is not multiplied up: sums of moments would otherwise
    have a degree at which nobody can expand them.
    """

    top: Any
    under: tuple[tuple[Any, int], ...] = ()

    @property
    def bottom(self) -> Any:
        """The denominator as one term."""
        return _product(self.under)

    def __add__(self, other: Fraction) -> Fraction:
        left, right = _missing(self.under, other.under), _missing(other.under, self.under)
        top = times(self.top, _product(left)) + times(other.top, _product(right))
        return Fraction(top, _joined(self.under, left))

    def __mul__(self, other: Fraction) -> Fraction:
        return Fraction(times(self.top, other.top), _joined(self.under, other.under))

    def __neg__(self) -> Fraction:
        return Fraction(-self.top, self.under)

    def power(self, n: int) -> Fraction:
        """`self^n`; for `n < 0` the caller records that `top` is not 0."""
        result = whole(z3.one())
        base = self if n >= 0 else Fraction(self.bottom, _factors(self.top))
        for _ in range(abs(n)):
            result = result * base
        return result


def _factors(term: Any) -> tuple[tuple[Any, int], ...]:
    """The factors of a product, each once."""
    if term is z3.one():
        return ()
    found: tuple[tuple[Any, int], ...] = ()
    for factor in z3.children(term) if z3.is_mul(term) else [term]:
        found = _joined(found, _factors(factor) if z3.is_mul(factor) else ((factor, 1),))
    return found


def _joined(a: tuple[tuple[Any, int], ...], b: tuple[tuple[Any, int], ...]) -> tuple[tuple[Any, int], ...]:
    """The product of two products."""
    total = list(a)
    for factor, n in b:
        for k, (known, m) in enumerate(total):
            if known.eq(factor):
                total[k] = (known, m + n)
                break
        else:
            total.append((factor, n))
    return tuple(total)


def _missing(have: tuple[tuple[Any, int], ...], want: tuple[tuple[Any, int], ...]) -> tuple[tuple[Any, int], ...]:
    """What a product lacks to be a multiple of another."""
    found = []
    for factor, n in want:
        more = n - next((m for known, m in have if known.eq(factor)), 0)
        if more > 0:
            found.append((factor, more))
    return tuple(found)


def _product(factors: tuple[tuple[Any, int], ...]) -> Any:
    total = z3.one()
    for factor, n in factors:
        for _ in range(n):
            total = times(total, factor)
    return total


def times(a: Any, b: Any) -> Any:
    """A product, without factors 1: most denominators are."""
    one = z3.one()
    return b if a is one else a if b is one else a * b


def whole(top: Any) -> Fraction:
    """A value that is no quotient."""
    return Fraction(top)


def number(value: int | str) -> Fraction:
    """A rational number."""
    return whole(z3.one() if str(value) == "1" else z3.RealVal(value))


def same(a: Fraction, b: Fraction) -> Any:
    """`a = b`, times all that either denominator has."""
    return times(a.top, _product(_missing(a.under, b.under))) == times(b.top, _product(_missing(b.under, a.under)))


def compare(a: Fraction, b: Fraction, positive: Callable[[Any], bool] = lambda _: False, *, strict: bool) -> Any:
    """`a >= b` (or `>`), times their common denominator: once more times each factor of it whose power is odd.

    What both sides share and `positive` knows to be above 0 is left away: what remains is asked more than once.
    """
    left = times(a.top, _product(_missing(a.under, b.under)))
    right = times(b.top, _product(_missing(b.under, a.under)))
    common = _joined(a.under, _missing(a.under, b.under))
    odd = _product(tuple((factor, 1) for factor, n in common if n % 2 and not positive(factor)))
    left, right = _reduced(times(left, odd), times(right, odd), positive)
    return left > right if strict else left >= right


def _reduced(left: Any, right: Any, positive: Callable[[Any], bool]) -> tuple[Any, Any]:
    """Both sides of a comparison without the factors above 0 that they share."""
    sides = _factors(left), _factors(right)
    shared = tuple((f, min(n, m)) for f, n in sides[0] for g, m in sides[1] if f.eq(g) and positive(f))
    if not shared:
        return left, right
    first, second = (_product(_missing(shared, side)) for side in sides)
    return first, second
