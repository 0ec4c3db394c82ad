"""The normal form of sums of products: a sum of terms, each a number times factors, summed over bound axes.

Sums are linear, finite sums exchange, and what does not vary with an axis leaves its sum; so two expressions whose
terms are the same up to the names of bound axes are equal, for every length of every axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.adjoint.nodes import is_data
from refold.spec import Fold, Index, Size
from refold.spec.pipeline import rename

_counter = itertools.count()


@dataclass(frozen=True, slots=True)
class Term:
    """`coefficient * sum_bound product`; every bound axis occurs in the product, under a name of its own."""

    coefficient: sp.Expr
    product: sp.Expr
    bound: tuple[Index, ...] = ()

    @property
    def factors(self) -> dict[sp.Expr, sp.Expr]:
        """Each factor and its exponent."""
        return dict((f, sp.S.One) if isinstance(f, sp.exp) else f.as_base_exp() for f in factors(self.product))

    def times(self, other: sp.Expr) -> Term:
        return Term(self.coefficient, self.product * other, self.bound)


def factors(product: sp.Expr) -> tuple[sp.Expr, ...]:
    """The factors of a product, an exponential as one factor."""
    return tuple(f for f in sp.Mul.make_args(product) if f != 1)


def base(axis: Index) -> Index:
    """The axis of the pipeline that a bound axis runs over."""
    return Index(axis.name.partition("#")[0])


def own(axis: Index) -> Index:
    """A new name for a bound axis."""
    return Index(f"{base(axis).name}#{next(_counter)}")


def opened(expr: sp.Expr) -> tuple[Term, ...]:
    """The terms of an expression: products multiplied out, sums opened, what is constant out of them."""
    return collected(_opened(expr))


def _opened(expr: Any) -> list[Term]:
    match expr:
        case sp.Add() if is_data(expr):
            # A sum of positions stays whole: j - i is small where both are large.
            return [t for a in expr.args for t in _opened(a)]
        case sp.Mul():
            return product(*(_opened(a) for a in expr.args))
        case sp.Pow() if expr.exp.is_Integer and expr.exp.is_positive and isinstance(expr.base, sp.Add | sp.Mul | Fold):
            return product(*(_opened(expr.base) for _ in range(int(expr.exp))))
        case Fold(kind="sum"):
            axis = own(expr.axis)
            return [summed(t, axis) for t in _opened(rename(expr.body, {expr.axis: axis}))]
        case _ if expr.is_number:
            return [Term(expr, sp.S.One)]
    return [Term(sp.S.One, expr)]


def product(*sums: Iterable[Term]) -> list[Term]:
    """The terms of a product of sums."""
    found = []
    for terms in itertools.product(*sums):
        coefficient = sp.Mul(*(t.coefficient for t in terms))
        bound = tuple(a for t in terms for a in t.bound)
        found.append(Term(coefficient, sp.Mul(*(t.product for t in terms)), bound))
    return found


def summed(term: Term, axis: Index) -> Term:
    """A term summed over an axis: as often as there are positions, where it does not vary."""
    if axis in term.product.free_symbols:
        return Term(term.coefficient, term.product, (*term.bound, axis))
    return term.times(Size(base(axis).name))


def renamed(term: Term, put: dict[Any, Any]) -> Term:
    """A term with other names for some of its axes."""
    return Term(term.coefficient, rename(term.product, put), tuple(put.get(a, a) for a in term.bound))


def split_numbers(term: Term) -> Term:
    """The numbers among the factors are in the coefficient; an axis that no factor varies with any more is a length."""
    number, rest = term.product.as_coeff_Mul()
    found = Term(term.coefficient * number, rest)
    for axis in term.bound:
        found = summed(found, axis)
    return found


def collected(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Equal terms as one, and none that is 0."""
    table: dict[Any, Term] = {}
    for raw in terms:
        term = split_numbers(raw)
        key, canonical = _canonical(term)
        old = table.get(key)
        table[key] = canonical if old is None else Term(old.coefficient + term.coefficient, old.product, old.bound)
    return tuple(t for t in table.values() if t.coefficient != 0)


def _canonical(term: Term) -> tuple[Any, Term]:
    """The least of the names of its bound axes, so that equal terms have equal keys."""
    if not term.bound:
        return (term.product, ()), term
    best: tuple[str, Any] | None = None
    for put in _namings(term.bound):
        candidate = rename(term.product, put)
        text = str(sorted(map(str, factors(candidate))))
        if best is None or text < best[0]:
            best = text, (candidate, tuple(sorted(put.values(), key=str)))
    assert best is not None
    return best[1], Term(term.coefficient, *best[1])


def _namings(bound: tuple[Index, ...]) -> Iterator[dict[Index, Index]]:
    """Every way to number the bound axes that run over the same axis."""
    groups: dict[Index, list[Index]] = {}
    for axis in bound:
        groups.setdefault(base(axis), []).append(axis)
    orders = [itertools.permutations(group) for group in groups.values()]
    for choice in itertools.product(*orders):
        yield {a: Index(f"{base(a).name}#c{n}") for group in choice for n, a in enumerate(group)}


def fresh(term: Term) -> Term:
    """A term whose bound axes have new names, for a product with another one."""
    return renamed(term, {a: own(a) for a in term.bound})
