"""How quotients and rests give way to their bounds, where integers are divided as the compiler does: toward zero."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from refold.schedule import integers
from refold.schedule.integers import Product, add, multiply, scale, subtract, value_of, whole
from refold.schedule.integers import products as products_of
from refold.schedule.terms import Term
from refold.verify.kernel.bound import Bound, Lemmas, by_end, by_equality, products
from refold.verify.kernel.lemmas import ONE, implies, same
from refold.verify.kernel.multiples import cofactor, without

if TYPE_CHECKING:
    from refold.verify.kernel.intervals import Intervals

ZERO = whole(0)
# How many atoms give way one after the other, at most.
DEPTH = 60


def quotient(known: Intervals, q: Term, factor: Term, depth: int, *, up: bool) -> Iterator[Bound]:
    """`q = a // b`, rounded toward zero: times b it is between 0 and a, times what divides b it is less."""
    a, b = q.args
    if b.op in ("least", "greatest"):
        parts = {c: integers.quotient(a, c) for c in b.args}
        equal = by_equality(q, factor, parts.values())
        yield equal.because(lambda: (implies(same(b, c), same(q, part)) for c, part in parts.items()))
        return
    rises = known.positive(a)
    end = (a if rises else integers.greatest(a, ZERO)) if up else (ZERO if rises else integers.least(a, ZERO))
    times, multiple = exactly(factor, b), multiply(q, b)
    if times is not None and known.positive(b) and known.positive(times if up else scale(times, -1)):
        yield by_end(multiple, times, end, up=up).because(lambda: [implies(same(b, ZERO), same(multiple, ZERO))])
    if not known.positive(b, 1):
        return
    if up:
        # The largest factor that both share; 1 is one of b itself.
        for shared, left in _shares(factor, b):
            rest = exactly(factor, shared)
            if rest is not None and known.positive(left, 1):
                part = multiply(q, shared)
                for n, why in parts_of(known, end, left, depth):
                    yield by_end(part, rest, n, up=True).because(*why, partial(_shared, part, shared, left, rest, n))
                break
        return
    # Where q is negative, q b is below q.
    yield by_end(q, factor, end, up=False).because(lambda: products((scale(q, -1), subtract(b, ONE))))
    if times is not None:
        # q b >= a - b + 1, whatever the sign of a.
        yield by_end(multiple, times, add(subtract(a, b), ONE), up=False)
    elif rises and known.positive(subtract(a, b)):
        yield by_end(q, factor, ONE, up=False).because(lambda: products((scale(q, -1), b)))


def _shared(part: Term, shared: Term, left: Term, rest: Term, n: Term) -> Iterator[Term]:
    """The lemmas by which `part <= n`, for `part left <= n left + left - 1`, and `part rest <= n rest`.

    As `shared left` and `left` are positive, `shared` is; and as `shared rest` is not negative, `rest` is not.
    """
    signs = (scale(shared, -1), left), (subtract(scale(rest, -1), ONE), shared)
    return products(*signs, (subtract(subtract(part, n), ONE), left), (n, subtract(left, ONE)))


def parts_of(known: Intervals, a: Term, b: Term, depth: int) -> Iterator[tuple[Term, tuple[Lemmas, ...]]]:
    """What `a // b` does not exceed for a >= 0 and b >= 1, and why."""
    yield from divided(known, a, b, depth)
    yield a, ()


def divided(known: Intervals, a: Term, b: Term, depth: int) -> Iterator[tuple[Term, tuple[Lemmas, ...]]]:
    """Bounds on a that b divides, or all but 1 of it, divided by it."""
    for more in (0, 1):
        q = exactly(add(a, whole(more)), b)
        if q is not None:
            yield subtract(q, whole(more)), ()
            return
    kept = {x for m in products_of(b) for x in m}
    others = {x for m in products_of(a) for x in m} - kept
    if others and depth < DEPTH:
        # What is in the divisor stays.
        atom = min(others, key=known.order)
        factor = cofactor(a, (atom,))
        rest = subtract(a, multiply(atom, factor))
        for bound in known.bounds(atom, factor, depth):
            if len(bound.cases) == 1 and value_of(bound.cases[0]) is None:
                for q, why in divided(known, add(rest, bound.cases[0]), b, depth + 1):
                    yield q, (*bound.why, *why)


def rest(known: Intervals, r: Term, factor: Term, *, up: bool) -> Iterator[Bound]:
    """`r = a % b` for b >= 1, which has the sign of a."""
    a, b = r.args
    q, rises = integers.quotient(a, b), known.positive(a)
    if up:
        yield by_end(r, factor, subtract(b, ONE), up=True)
        yield by_equality(r, factor, [subtract(a, multiply(q, b))])
        if rises:
            yield by_end(r, factor, a, up=True).because(lambda: products((q, b)))
    else:
        yield by_end(r, factor, ZERO if rises else subtract(ONE, b), up=False)


def exactly(p: Term, b: Term) -> Term | None:
    """The quotient of polynomials, if there is no rest."""
    for leading, coefficient in products_of(b).items():
        parts = products_of(cofactor(p, leading))
        if not any(c % coefficient for c in parts.values()):
            q = integers.polynomial({m: c // coefficient for m, c in parts.items()})
            if value_of(subtract(p, multiply(q, b))) == 0:
                return q
    return None


def _shares(factor: Term, b: Term) -> Iterator[tuple[Term, Term]]:
    """What divides both, and what is left of b."""
    parts = products_of(b)
    if len(parts) == 1:
        ((atoms, coefficient),) = parts.items()
        shared: Product = ()
        for atom in atoms:
            if all(without(m, (*shared, atom)) is not None for m in products_of(factor)):
                shared = (*shared, atom)
        if shared:
            yield integers.polynomial({shared: 1}), integers.polynomial({without(atoms, shared) or (): coefficient})
    yield ONE, b
