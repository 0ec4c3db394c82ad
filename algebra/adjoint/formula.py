"""Terms as one formula: inner sums inside, the loops outside, and what terms share taken out of them.

p do v k - p do o k    ->    sum_j (sum_e do_ie v_je - sum_e do_ie o_ie) p_ij k_jd
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.adjoint.simplify import Terms
from refold.algebra.adjoint.terms import Term, base, factors
from refold.algebra.roles import axes_of
from refold.errors import NoGradient
from refold.spec import Fold, Index, Read, Where
from refold.spec.pipeline import rename


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression, its loops, and the free axes with which the weights of the loops vary."""

    expr: sp.Expr
    loops: tuple[Index, ...]
    rows: frozenset[Index]


def formula(terms: Terms, weights: frozenset[str]) -> Formula:
    """The formula of some terms; `weights` are the nodes that are functions, whose axes are loops."""
    groups: dict[tuple[Index, ...], list[tuple[sp.Expr, list[sp.Expr]]]] = {}
    rows: set[Index] = set()
    for term in terms:
        loops, parts = _nested(term, weights)
        rows |= {a for f in parts if _is_weight(f, weights) for a in axes_of(f)}
        groups.setdefault(loops, []).append((term.coefficient, parts))
    expr = sp.Add(*(_joined(loops, items) for loops, items in groups.items()))
    every = tuple(dict.fromkeys(a for loops in groups for a in loops))
    return Formula(expr, every, frozenset(rows - {*every}))


def _is_weight(factor: sp.Expr, weights: frozenset[str]) -> bool:
    power, _ = (factor, 1) if isinstance(factor, sp.exp) else factor.as_base_exp()
    if isinstance(power, Read):
        return power.name in weights
    return isinstance(power, Where) or bool(power.atoms(Read))


def _nested(term: Term, weights: frozenset[str]) -> tuple[tuple[Index, ...], list[sp.Expr]]:
    """The axes of a term that are loops, and its factors, each sum over another axis one of them."""
    parts = [power for f in factors(term.product) for power in _unit_powers(f)]
    free = {s for f in parts for s in f.free_symbols} - {*term.bound}
    loops: dict[Index, Index] = {}
    for axis in term.bound:
        weighs = any(_is_weight(f, weights) and axis in f.free_symbols for f in parts)
        if weighs and base(axis) not in free and base(axis) not in loops:
            loops[base(axis)] = axis
    inner = [a for a in term.bound if a not in loops.values()]
    for axis in sorted(inner, key=lambda a: (sum(a in f.free_symbols for f in parts), a.name)):
        inside = sp.Mul(*(f for f in parts if axis in f.free_symbols))
        parts = [f for f in parts if axis not in f.free_symbols] + [_sum(inside, axis)]
    put = {axis: plain for plain, axis in loops.items()}
    return tuple(sorted(loops, key=lambda a: a.name)), [rename(f, put) for f in parts]


def _unit_powers(factor: sp.Expr) -> list[sp.Expr]:
    power, exponent = (factor, sp.S.One) if isinstance(factor, sp.exp) else factor.as_base_exp()
    whole = exponent.is_Integer and exponent.is_positive
    return [power] * int(exponent) if whole else [factor]


def _sum(body: sp.Expr, axis: Index) -> sp.Expr:
    plain = base(axis)
    if plain in body.free_symbols:
        raise NoGradient(
            f"a gradient has two positions of {plain.name} in one value, for which there is no pipeline: "
            f"ask for the other gradients with wrt=..."
        )
    return Fold("sum", rename(body, {axis: plain}), plain)


def _joined(loops: tuple[Index, ...], items: Sequence[tuple[sp.Expr, list[sp.Expr]]]) -> sp.Expr:
    """The terms of the same loops as one nest of sums."""
    shared = _shared([parts for _, parts in items])
    rest = [(number, _without(parts, shared)) for number, parts in items]
    if len(rest) == 1:
        ((number, parts),) = rest
        shared, inner = [*shared, *parts], sp.sympify(number)
    else:
        inner = factored(sp.Add(*(number * sp.Mul(*parts) for number, parts in rest)))
    number, inner = inner.as_coeff_Mul()
    outside = [f for f in shared if not {*loops} & f.free_symbols]
    body = inner * sp.Mul(*(f for f in shared if {*loops} & f.free_symbols))
    for axis in reversed(loops):
        if axis not in body.free_symbols:
            raise AssertionError("a loop of what does not vary")
        body = Fold("sum", body, axis)
    return number * sp.Mul(*outside) * body


def _shared(lists: Sequence[list[sp.Expr]]) -> list[sp.Expr]:
    found = list(lists[0])
    for parts in lists[1:]:
        rest, kept = list(parts), []
        for factor in found:
            if factor in rest:
                rest.remove(factor)
                kept.append(factor)
        found = kept
    return found


def _without(parts: list[sp.Expr], shared: list[sp.Expr]) -> list[sp.Expr]:
    rest = list(parts)
    for factor in shared:
        rest.remove(factor)
    return rest


def factored(expr: sp.Expr) -> sp.Expr:
    """A sum of products as a product of sums, where it is one; what is no sum and no product is one letter."""
    symbols: dict[sp.Expr, sp.Symbol] = {}

    def visit(part: Any) -> Any:
        if part.is_Rational:
            return part
        if isinstance(part, sp.Add | sp.Mul):
            return part.func(*map(visit, part.args))
        return symbols.setdefault(part, sp.Symbol(f"x{len(symbols):03}", real=True))

    found = sp.factor(visit(expr)).xreplace({s: part for part, s in symbols.items()})
    number, rest = found.as_coeff_Mul()
    return _signed(number, list(sp.Mul.make_args(rest)))


def _signed(number: sp.Expr, parts: list[sp.Expr]) -> sp.Expr:
    """`-(x - 1) y -> (1 - x) y`: a sum begins with its number, and no product of sums with a minus."""
    sums = [n for n, f in enumerate(parts) if isinstance(f, sp.Add)]
    turned = [n for n in sums if any(t.is_number and t.is_negative for t in parts[n].args)]
    loose = [n for n in sums if not any(t.is_number for t in parts[n].args)]
    if (number.is_negative + len(turned)) % 2 and loose:
        turned.append(loose[0])
    for n in turned:
        number, parts[n] = -number, sp.Add(*(-t for t in parts[n].args))
    return number * sp.Mul(*parts)
