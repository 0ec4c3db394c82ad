"""How far an integer of a kernel goes, by exact arithmetic: no solver, so that what it finds is a bound or nothing.

An integer is a polynomial over atoms. One atom after the other gives way to its own bound, the one first on which no
other depends: an iteration to where its loop ends, a lane to its block, a program to its grid, a quotient to its
dividend. What is left are lengths, blocks and scalars, of which the launcher knows how far they go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from refold.schedule import integers
from refold.schedule.integers import add, multiply, products, scale, subtract, value_of, whole
from refold.schedule.outcome import Loop
from refold.schedule.terms import Term, below
from refold.verify.kernel.divided import DEPTH, ZERO, exactly, quotient, rest
from refold.verify.kernel.lemmas import ONE
from refold.verify.kernel.linear import name_of
from refold.verify.kernel.multiples import cofactor, without

Ends: TypeAlias = tuple[Term | None, Term | None]


@dataclass(slots=True)
class Intervals:
    """What is known of the integers of one kernel: atoms between two terms, or one, and `at_most`, sums of products.

    `numbers` are the ends of an atom as numbers, of lengths and of what memory holds. `others` are lanes that may be
    any: what a fold of lanes gives is of one of them. `free` has the same without `at_most`: signs are asked of it.
    """

    known: Mapping[Term, Ends]
    at_most: tuple[tuple[Term, int], ...]
    loops: Mapping[int, Loop]
    numbers: Callable[[Term], tuple[int, int] | None]
    others: Mapping[Term, Term]
    free: Intervals | None = None
    answers: dict[Term, bool] = field(default_factory=dict)
    inside: dict[Term, frozenset[Term]] = field(default_factory=dict)
    names: dict[Term, str] = field(default_factory=dict)

    def between(self, low: int, p: Term, high: int) -> bool:
        """Whether an integer is shown to be in a range."""
        return self.negative(subtract(p, whole(high))) and self.negative(subtract(whole(low), p))

    def negative(self, p: Term, depth: int = 0) -> bool:
        """Whether `p <= 0` is shown; what asks for itself is not."""
        number = value_of(p)
        if number is not None:
            return number <= 0
        if p not in self.answers:
            self.answers[p] = False
            self.answers[p] = self.plain(p) or (depth < DEPTH and self.shown(p, depth + 1))
        return self.answers[p]

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
        return total <= 0

    def shown(self, p: Term, depth: int) -> bool:
        atom = self.outermost(p)
        factor = cofactor(p, (atom,))
        rest = subtract(p, multiply(atom, factor))
        return self.checked(p) or any(
            all(self.negative(add(rest, case), depth) for case in cases) for cases in self.bounds(atom, factor, depth)
        )

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

    def bounds(self, atom: Term, factor: Term, depth: int) -> Iterator[list[Term]]:
        """Terms that `atom * factor` does not exceed: each of them, or one of several cases."""
        up = self.positive(factor)
        if not up and not self.positive(scale(factor, -1)):
            yield from self.apart(atom, factor, depth)
            return
        match atom.op:
            case "least" | "greatest":
                # A maximum is at most this if all are; a minimum if one is.
                cases = [multiply(a, factor) for a in atom.args]
                yield from [cases] if (atom.op == "greatest") == up else [[c] for c in cases]
            case "select":
                yield [multiply(a, factor) for a in atom.args[1:]]
            case "narrow":
                # That it is the same is asked of it by itself.
                yield [multiply(atom.args[0], factor)]
            case "abs":
                yield [multiply(atom.args[0], factor), multiply(scale(atom.args[0], -1), factor)]
                if not up:
                    yield [ZERO]
            case "//":
                yield from quotient(self, atom.args, factor, depth, up=up)
            case "%":
                a, b = atom.args
                if self.positive(b, 1):
                    yield from rest(self, a, b, factor, up=up)
            case "iteration" | "trips":
                yield from self.turns(atom, factor, up=up)
            case "fold of lanes":
                # One of the lanes, whichever.
                yield [multiply(integers.replaced(atom.args[0], dict(self.others)), factor)]
        for low, high in self.ends(atom):
            end = high if up else low
            if end is not None:
                yield [multiply(end, factor)]

    def ends(self, atom: Term) -> Iterator[Ends]:
        """The ends of an atom as they stand."""
        if atom in self.known:
            yield self.known[atom]
        numbers = self.numbers(atom)
        if numbers is not None:
            yield whole(numbers[0]), whole(numbers[1])

    def apart(self, atom: Term, factor: Term, depth: int) -> Iterator[list[Term]]:
        """The positive and the negative part of a factor by themselves."""
        up = integers.polynomial({m: c for m, c in products(factor).items() if c > 0})
        down = subtract(factor, up)
        if value_of(up) == 0 or value_of(down) == 0:
            return
        for first in self.bounds(atom, up, depth):
            for second in self.bounds(atom, down, depth):
                yield [add(a, b) for a in first for b in second]

    def turns(self, atom: Term, factor: Term, *, up: bool) -> Iterator[list[Term]]:
        """How far a loop has come: start + step n < stop. It has come to stop, or a step further, at its end."""
        loop = self.loops[atom.data]  # type: ignore[index]
        if not up:
            yield [ZERO]
        if not up or not self.positive(loop.step, 1):
            return
        if atom.op == "trips":
            far = integers.greatest(subtract(add(subtract(loop.stop, loop.start), loop.step), ONE), ZERO)
        else:
            far = subtract(subtract(self.beyond(loop.stop, loop.start), loop.start), ONE)
        for step in (loop.step, ONE):
            rest = exactly(factor, step)
            if rest is not None:
                yield [multiply(far, rest)]
                return

    def beyond(self, stop: Term, start: Term) -> Term:
        """An end of a range that is not empty: of a maximum, what is not before the range is."""
        if stop.op == "least":
            return integers.least(*(self.beyond(a, start) for a in stop.args))
        if stop.op == "greatest":
            left = [a for a in stop.args if not self.positive(subtract(start, a))]
            return integers.greatest(*left) if left else stop
        return stop
