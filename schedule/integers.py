"""Integers as terms: polynomials over atoms in one normal form.

An atom is a symbol, or an operation that no polynomial is: a quotient, a remainder, the least or the greatest of
several, a choice, a value from memory. `//` and `%` round toward zero, as the compiler has them, and are not those of
mathematics where a side may be negative: nothing is simplified that would need to know. Arithmetic is exact: that it
fits into its width is an obligation of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from refold.schedule.terms import Term, make, rebuild

# A product of atoms, the oldest first, an atom as often as its power.
Product: TypeAlias = tuple[Term, ...]


# Lanes, tiles and the cases of a kernel's flags repeat each other: a term is one object, and so is what is made of it.
KEPT = 1 << 15


@lru_cache(maxsize=KEPT)
def whole(value: int) -> Term:
    return polynomial({(): value})


def value_of(term: Term) -> int | None:
    """The integer that a term is, if it is one."""
    parts = products(term)
    if not parts:
        return 0
    return parts[()] if len(parts) == 1 and () in parts else None


@lru_cache(maxsize=KEPT)
def products(term: Term) -> Mapping[Product, int]:
    """The products of atoms that an integer is the sum of, each with its coefficient."""
    if term.op != "polynomial":
        return {(term,): 1}
    assert isinstance(term.data, tuple)
    return {
        tuple(a for a, power in zip(term.args, powers, strict=True) for _ in range(power)): coefficient
        for powers, coefficient in term.data
    }


def polynomial(parts: dict[Product, int]) -> Term:
    """A sum of products of atoms; a single atom is itself."""
    parts = {p: c for p, c in parts.items() if c}
    if len(parts) == 1:
        ((product, coefficient),) = parts.items()
        if coefficient == 1 and len(product) == 1:
            return product[0]
    atoms = tuple(sorted({a for p in parts for a in p}, key=_order))
    rows = sorted((tuple(p.count(a) for a in atoms), c) for p, c in parts.items())
    return make("polynomial", "int", atoms, tuple(rows))


def _order(term: Term) -> int:
    return term.serial


@lru_cache(maxsize=KEPT)
def add(*terms: Term) -> Term:
    total: dict[Product, int] = {}
    for term in terms:
        for product, coefficient in products(term).items():
            total[product] = total.get(product, 0) + coefficient
    return polynomial(total)


@lru_cache(maxsize=KEPT)
def scale(term: Term, factor: int) -> Term:
    return polynomial({p: c * factor for p, c in products(term).items()})


def subtract(a: Term, b: Term) -> Term:
    return add(a, scale(b, -1))


@lru_cache(maxsize=KEPT)
def multiply(a: Term, b: Term) -> Term:
    total: dict[Product, int] = {}
    for left, c in products(a).items():
        for right, d in products(b).items():
            product = tuple(sorted((*left, *right), key=_order))
            total[product] = total.get(product, 0) + c * d
    return polynomial(total)


def product(*terms: Term) -> Term:
    total = whole(1)
    for term in terms:
        total = multiply(total, term)
    return total


def evaluate(term: Term, args: tuple[Term, ...]) -> Term:
    """A polynomial over other arguments."""
    assert isinstance(term.data, tuple)
    total = whole(0)
    for powers, coefficient in term.data:
        product = whole(coefficient)
        for argument, power in zip(args, powers, strict=True):
            for _ in range(power):
                product = multiply(product, argument)
        total = add(total, product)
    return total


def anew(term: Term, args: tuple[Term, ...]) -> Term:
    """The same operation on other arguments."""
    if args == term.args:
        return term
    return evaluate(term, args) if term.op == "polynomial" else make(term.op, term.sort, args, term.data)


def replaced(term: Term, values: dict[Term, Term]) -> Term:
    """A term with others for some that are in it."""
    return rebuild(term, anew, dict(values))


def truncated(a: int, b: int) -> int:
    """The quotient rounded toward zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def quotient(a: Term, b: Term) -> Term:
    x, y = value_of(a), value_of(b)
    if x is not None and y:
        return whole(truncated(x, y))
    if y in (1, -1):
        return scale(a, y)
    return make("//", "int", (a, b))


def remainder(a: Term, b: Term) -> Term:
    x, y = value_of(a), value_of(b)
    if x is not None and y:
        return whole(x - truncated(x, y) * y)
    if y in (1, -1):
        return whole(0)
    return make("%", "int", (a, b))


def quotient_up(a: Term, b: Term) -> Term:
    """The quotient of integers that are not negative, rounded up, as Triton computes it."""
    return quotient(add(a, b, whole(-1)), b)


def least(*terms: Term) -> Term:
    return _extreme("least", terms)


def greatest(*terms: Term) -> Term:
    return _extreme("greatest", terms)


def bounded(term: Term, op: str, end: int) -> bool:
    """Whether the term is evidently not less (`greatest`) or not more (`least`) than a number."""
    known = value_of(term)
    if known is not None:
        return known >= end if op == "greatest" else known <= end
    if term.op in ("least", "greatest"):
        return (any if term.op == op else all)(bounded(a, op, end) for a in term.args)
    return False


def _extreme(op: str, terms: Iterable[Term]) -> Term:
    """One of several: their order does not matter, nor how often one stands there."""
    flat = {x for t in terms for x in (t.args if t.op == op else (t,))}
    numbers = [v for t in flat if (v := value_of(t)) is not None]
    rest = sorted((t for t in flat if value_of(t) is None), key=_order)
    if numbers:
        rest.append(whole(min(numbers) if op == "least" else max(numbers)))
    return rest[0] if len(rest) == 1 else make(op, "int", tuple(rest))
