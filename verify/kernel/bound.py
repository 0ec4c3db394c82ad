"""Bounds on an atom times a factor, each with what a solver needs to find the same: instances of lemmas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from refold.schedule.integers import add, multiply, scale, subtract, value_of
from refold.schedule.terms import Term
from refold.verify.kernel.lemmas import implies, of_product, same

# Made where a bound is used, since most are not.
Lemmas: TypeAlias = Callable[[], Iterable[Term]]


@dataclass(frozen=True, slots=True)
class Bound:
    """Terms of which one at least is not below the atom times the factor.

    `why`: lemmas, true of all integers, by which the rest of it is linear in products.
    """

    cases: tuple[Term, ...]
    why: tuple[Lemmas, ...]

    def __add__(self, other: Bound) -> Bound:
        """Of a sum of factors."""
        return Bound(tuple(add(a, b) for a in self.cases for b in other.cases), (*self.why, *other.why))

    def because(self, *why: Lemmas) -> Bound:
        """The same with more lemmas."""
        return Bound(self.cases, (*self.why, *why))

    def lemmas(self) -> Iterator[Term]:
        """All of them."""
        for some in self.why:
            yield from some()


def products(*pairs: tuple[Term, Term]) -> Iterator[Term]:
    """That `d f >= 0` where `d >= 0` and `f >= 0`, for what is no number: a number's multiples are linear."""
    return (of_product(d, f) for d, f in pairs if value_of(d) is None and value_of(f) is None)


def by_end(atom: Term, factor: Term, end: Term, *, up: bool) -> Bound:
    """`atom f <= end f` where `f >= 0` and `atom <= end`, or `f <= 0` and `atom >= end`."""

    def lemma() -> Iterable[Term]:
        difference = subtract(end, atom)
        return products((difference, factor) if up else (scale(difference, -1), scale(factor, -1)))

    return Bound((multiply(end, factor),), (lemma,))


def by_equality(atom: Term, factor: Term, parts: Iterable[Term]) -> Bound:
    """`atom f = part f` where `atom = part`, which is so of one of the parts."""
    cases = {part: multiply(part, factor) for part in parts}

    def lemma() -> Iterable[Term]:
        times = multiply(atom, factor)
        return (implies(same(atom, part), same(times, case)) for part, case in cases.items())

    return Bound(tuple(cases.values()), (lemma,))
