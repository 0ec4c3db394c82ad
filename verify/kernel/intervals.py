"""How far an integer of a kernel goes, by exact arithmetic: no solver, so that what it finds is a bound or nothing.

An integer is a polynomial over atoms. One atom after the other gives way to its own bound, the one first on which no
other depends: an iteration to where its loop ends, a lane to its block, a program to its grid, a quotient to its
dividend. What is left are lengths, blocks and scalars, of which the launcher knows how far they go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from refold.schedule import integers
from refold.schedule.integers import Product, add, multiply, products, scale, subtract, value_of, whole
from refold.schedule.outcome import Loop
from refold.schedule.terms import Term, below, symbol
from refold.verify.kernel import bound
from refold.verify.kernel.bound import Bound, by_end, by_equality
from refold.verify.kernel.divided import DEPTH, ZERO, quotient, rest
from refold.verify.kernel.iterated import turns
from refold.verify.kernel.linear import name_of
from refold.verify.kernel.multiples import cofactor, without

Ends: TypeAlias = tuple[Term | None, Term | None]


@dataclass(slots=True)
class Intervals:
    """What is known of the integers of one kernel: atoms between two terms, or one, and `at_most`, sums of products.

    `numbers` are the ends of an atom as numbers, of lengths and of what memory holds. `lanes` may be any of their block
    in what a fold of lanes gives. `free` has the same without `at_most`: signs are asked of it. `answers` has the
    lemmas by which an integer is shown not to be positive, or None; `used` those of what is being asked.
    """

    known: dict[Term, Ends]
    at_most: tuple[tuple[Term, int], ...]
    loops: Mapping[int, Loop]
    numbers: Callable[[Term], tuple[int, int] | None]
    lanes: tuple[Term, ...] = ()
    free: Intervals | None = None
    answers: dict[Term, frozenset[Term] | None] = field(default_factory=dict)
    inside: dict[Term, frozenset[Term]] = field(default_factory=dict)
    names: dict[Term, str] = field(default_factory=dict)
    used: list[set[Term]] = field(default_factory=list)

    def between(self, low: int, p: Term, high: int) -> bool:
        """Whether an integer is shown to be in a range."""
        return self.negative(subtract(p, whole(high))) and self.negative(subtract(whole(low), p))

    def negative(self, p: Term, depth: int = 0) -> bool:
        """Whether `p <= 0` is shown; what asks for itself is not."""
        return self.because(p, depth) is not None

    def because(self, p: Term, depth: int = 0) -> frozenset[Term] | None:
        """The lemmas by which `p <= 0`, beside `premises`; None where it is not shown."""
        number = value_of(p)
        if number is not None:
            return frozenset() if number <= 0 else None
        if p not in self.answers:
            self.answers[p] = None
            self.used.append(set())
            is_shown = self.plain(p) or (depth < DEPTH and self.shown(p, depth + 1))
            lemmas = frozenset(self.used.pop())
            self.answers[p] = lemmas if is_shown else None
        why = self.answers[p]
        self.use(why or ())
        return why

    def use(self, lemmas: Iterable[Term]) -> None:
        if self.used:
            self.used[-1].update(lemmas)

    def positive(self, p: Term, least: int = 0) -> bool:
        """Whether `p >= least` is shown, whatever the launcher checks."""
        return (self.free or self).negative(subtract(whole(least), p))

    def plain(self, p: Term) -> bool:
        """By the numbers that end its atoms, none of them negative."""
        total = 0
        for product, coefficient in products(p).items():
            ends = [self.numbers(a) for a in product]
            if any(e is None or e[0] < 0 for e in ends):
                return False
            total += coefficient * prod(e[coefficient > 0] for e in ends if e is not None)
        if total <= 0:
            self.use(lemma for product, c in products(p).items() for lemma in self.steps(product, up=c > 0))
        return total <= 0

    def steps(self, product: Product, *, up: bool) -> Iterator[Term]:
        """One atom after the other gives way to its end, times those that are left."""
        for n, atom in enumerate(product, 1):
            ends = self.numbers(atom)
            assert ends is not None
            difference = subtract(whole(ends[up]), atom)
            yield from bound.products((difference if up else scale(difference, -1), integers.product(*product[n:])))

    def shown(self, p: Term, depth: int) -> bool:
        atom = self.outermost(p)
        factor = cofactor(p, (atom,))
        rest = subtract(p, multiply(atom, factor))
        if self.checked(p):
            return True
        for found in self.bounds(atom, factor, depth):
            if all(self.negative(add(rest, case), depth) for case in found.cases):
                self.use(found.lemmas())
                return True
        return False

    def checked(self, p: Term) -> bool:
        """By what the launcher checks: p <= 0 if p <= term - number."""
        if self.free is None:
            return False
        large = [m for m, c in products(p).items() if m and c > 0]
        for term, number in self.at_most:
            there = products(term)
            degree = max(map(len, there))
            ends = [m for m in there if len(m) == degree]
            near = any(m == x or (len(x) > 1 and without(m, x) is not None) for m in ends for x in large)
            if near and self.free.negative(add(subtract(p, term), whole(number))):
                return True
        return False

    def outermost(self, p: Term) -> Term:
        """The atom on which no other depends, those of loops and lanes first."""
        atoms = {a for m in products(p) for a in m}
        for a in atoms - self.inside.keys():
            self.inside[a] = frozenset(below(*self.rests_on(a)))
        outer = [a for a in atoms if not any(a in self.inside[b] for b in atoms if b is not a)] or [*atoms]
        return min(outer, key=self.order)

    def order(self, atom: Term) -> tuple[int, str]:
        """Iterations first, then what has a bound in other atoms; lengths last."""
        moves = any(end is not None and value_of(end) is None for end in self.known.get(atom, ()))
        rank = 0 if atom.op in ("iteration", "trips") else 2 if atom.args else 1 if moves else 3
        return rank, name_of(atom, self.names)

    def rests_on(self, atom: Term) -> tuple[Term, ...]:
        if atom.op in ("iteration", "trips"):
            loop = self.loops[atom.data]  # type: ignore[index]
            return loop.start, loop.stop, loop.step
        return (*atom.args, *(end for end in self.known.get(atom, ()) if end is not None))

    # --- how an atom gives way -----------------------------------------------------------------------------------

    def bounds(self, atom: Term, factor: Term, depth: int) -> Iterator[Bound]:
        """What `atom * factor` does not exceed."""
        up = self.positive(factor)
        if not up and not self.positive(scale(factor, -1)):
            yield from self.apart(atom, factor, depth)
            return
        match atom.op:
            case "least" | "greatest":
                # A maximum is at most this if all are; a minimum if one is.
                if (atom.op == "greatest") == up:
                    yield by_equality(atom, factor, atom.args)
                else:
                    yield from (by_end(atom, factor, a, up=up) for a in atom.args)
            case "select":
                yield by_equality(atom, factor, atom.args[1:])
            case "narrow":
                # That it is the same is asked of it by itself.
                yield by_equality(atom, factor, atom.args)
            case "abs":
                yield by_equality(atom, factor, (atom.args[0], scale(atom.args[0], -1)))
                if not up:
                    yield by_end(atom, factor, ZERO, up=up)
            case "//":
                yield from quotient(self, atom, factor, depth, up=up)
            case "%":
                if self.positive(atom.args[1], 1):
                    yield from rest(self, atom, factor, up=up)
            case "iteration" | "trips":
                yield from turns(self, atom, factor, up=up)
            case "fold of lanes" if atom.data in ("max", "min"):
                yield by_equality(atom, factor, (self.some(atom),))
        for low, high in self.ends(atom):
            end = high if up else low
            if end is not None:
                yield by_end(atom, factor, end, up=up)

    def some(self, fold: Term) -> Term:
        """What a fold of lanes gives is of one of them, whichever."""
        others = {lane: symbol(f"{lane.data} of {name_of(fold, self.names)}", "int") for lane in self.lanes}
        self.known |= {other: self.known[lane] for lane, other in others.items()}
        return integers.replaced(fold.args[0], others)

    def ends(self, atom: Term) -> Iterator[Ends]:
        """The ends of an atom as they stand."""
        if atom in self.known:
            yield self.known[atom]
        numbers = self.numbers(atom)
        if numbers is not None:
            yield whole(numbers[0]), whole(numbers[1])

    def apart(self, atom: Term, factor: Term, depth: int) -> Iterator[Bound]:
        """The positive and the negative part of a factor by themselves."""
        up = integers.polynomial({m: c for m, c in products(factor).items() if c > 0})
        down = subtract(factor, up)
        if value_of(up) == 0 or value_of(down) == 0:
            return
        for first in self.bounds(atom, up, depth):
            yield from (first + second for second in self.bounds(atom, down, depth))
