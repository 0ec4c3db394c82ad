"""How quotients and rests give way to their bounds, where integers are divided as the compiler does: toward zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from refold.schedule import integers
from refold.schedule.integers import Product, add, multiply, products, scale, subtract, value_of, whole
from refold.schedule.terms import Term
from refold.verify.kernel.lemmas import ONE
from refold.verify.kernel.multiples import cofactor, without

if TYPE_CHECKING:
    from refold.verify.kernel.intervals import Intervals

ZERO = whole(0)
# How many atoms give way one after the other, at most.
DEPTH = 60


def quotient(known: Intervals, parts: tuple[Term, ...], factor: Term, depth: int, *, up: bool) -> Iterator[list[Term]]:
    """`a // b`, rounded toward zero: times b it is between 0 and a, times what divides b it is less."""
    a, b = parts
    if b.op in ("least", "greatest"):
        yield [multiply(integers.quotient(a, c), factor) for c in b.args]
        return
    rises = known.positive(a)
    end = (a if rises else integers.greatest(a, ZERO)) if up else (ZERO if rises else integers.least(a, ZERO))
    times = exactly(factor, b)
    if times is not None and known.positive(b) and known.positive(times if up else scale(times, -1)):
        yield [multiply(end, times)]
    if not known.positive(b, 1):
        return
    if up:
        # The largest factor that both share; 1 is one of b itself.
        for shared, left in _shares(factor, b):
            rest = exactly(factor, shared)
            if rest is not None and known.positive(left, 1):
                yield from ([multiply(q, rest)] for q in parts_of(known, end, left, depth))
                break
        return
    yield [multiply(end, factor)]
    if times is not None:
        # q b >= a - b + 1, whatever the sign of a.
        yield [multiply(add(subtract(a, b), ONE), times)]
    elif rises and known.positive(subtract(a, b)):
        yield [factor]


def parts_of(known: Intervals, a: Term, b: Term, depth: int) -> Iterator[Term]:
    """What `a // b` does not exceed for a >= 0 and b >= 1."""
    yield from divided(known, a, b, depth)
    yield a


def divided(known: Intervals, a: Term, b: Term, depth: int) -> Iterator[Term]:
    """Bounds on a that b divides, or all but 1 of it, divided by it."""
    for more in (0, 1):
        q = exactly(add(a, whole(more)), b)
        if q is not None:
            yield subtract(q, whole(more))
            return
    kept = {x for m in products(b) for x in m}
    others = {x for m in products(a) for x in m} - kept
    if others and depth < DEPTH:
        # What is in the divisor stays.
        atom = min(others, key=known.order)
        factor = cofactor(a, (atom,))
        rest = subtract(a, multiply(atom, factor))
        for cases in known.bounds(atom, factor, depth):
            if len(cases) == 1 and value_of(cases[0]) is None:
                yield from divided(known, add(rest, cases[0]), b, depth + 1)


def rest(known: Intervals, a: Term, b: Term, factor: Term, *, up: bool) -> Iterator[list[Term]]:
    """`a % b` for b >= 1, which has the sign of a."""
    rises = known.positive(a)
    if up:
        yield [multiply(subtract(b, ONE), factor)]
        yield [multiply(subtract(a, multiply(integers.quotient(a, b), b)), factor)]
        if rises:
            yield [multiply(a, factor)]
    else:
        yield [ZERO] if rises else [multiply(subtract(ONE, b), factor)]


def exactly(p: Term, b: Term) -> Term | None:
    """The quotient of polynomials, if there is no rest."""
    for leading, coefficient in products(b).items():
        parts = products(cofactor(p, leading))
        if not any(c % coefficient for c in parts.values()):
            q = integers.polynomial({m: c // coefficient for m, c in parts.items()})
            if value_of(subtract(p, multiply(q, b))) == 0:
                return q
    return None


def _shares(factor: Term, b: Term) -> Iterator[tuple[Term, Term]]:
    """What divides both, and what is left of b."""
    parts = products(b)
    if len(parts) == 1:
        ((atoms, coefficient),) = parts.items()
        shared: Product = ()
        for atom in atoms:
            if all(without(m, (*shared, atom)) is not None for m in products(factor)):
                shared = (*shared, atom)
        if shared:
            yield integers.polynomial({shared: 1}), integers.polynomial({without(atoms, shared) or (): coefficient})
    yield ONE, b
