"""Cuts a sum where its terms have weights of their own: ratios of folds, and exponentials shifted by other folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

from refold.algebra.names import is_count

Test = Callable[[sp.Expr], bool]


@dataclass(frozen=True, slots=True)
class Weight:
    """What a term is scaled by that waits for folds: a ratio of them, and what shifts its exponent."""

    ratio: sp.Expr
    shift: sp.Expr


def by_weight(body: sp.Expr, varies: Test, waits: Test) -> tuple[sp.Expr, ...]:
    """`(w_1 a + w_2 b)^2 c -> w_1^2 a^2 c, 2 w_1 w_2 a b c, w_2^2 b^2 c` for the weights w of the terms of its sums.

    Each of them has fewer functions, and its ratio leaves the sum over it: two softmaxes are two states. Terms without
    such a weight stay together, as in `(x - mean)^2`: apart, they may be far larger than what they add up to.
    """
    meaning: dict[sp.Basic, sp.Expr] = {}
    bases: list[sp.Expr] = []
    rest: list[sp.Expr] = []
    for factor in sp.Mul.make_args(body):
        base, power = factor.args if isinstance(factor, sp.Pow) else (factor, sp.S.One)
        terms = {}
        if isinstance(base, sp.Add) and power.is_Integer and power > 0 and varies(base) and waits(base):
            terms = _by_weight(base, varies, waits)
        if len(terms) < 2 and all(w.ratio == 1 for w in terms):
            rest.append(factor)
            continue
        names = {sp.Dummy(): w.ratio * sum_ for w, sum_ in terms.items()}
        meaning |= names
        bases.append(sp.Add(*names) ** power)
    if not meaning:
        return (body,)
    products = sp.Add.make_args(sp.expand(sp.Mul(*bases)))
    return tuple(sp.powsimp(sp.Mul(p.xreplace(meaning), *rest), combine="exp") for p in products)


def _by_weight(base: sp.Add, varies: Test, waits: Test) -> dict[Weight, sp.Expr]:
    """The terms of a sum, gathered by their weights and divided by the ratios of those.

    A term that does not vary goes with the largest ratio that it is a multiple of: `a + t x/M - t r/M -> a, x - r`.
    """
    moving = [t for t in base.args if varies(t)]
    weights = {t: _weight(t, varies, waits) for t in moving}
    ratios = sorted({w.ratio for w in weights.values()}, key=lambda r: -len(sp.Mul.make_args(r)))
    for term in base.args:
        if term not in weights:
            own = [_share(term, waits)] if _share(term, waits) != 1 else []
            ratio = next((r for r in [*own, *ratios] if r != 1 and _is_multiple(term, r)), sp.S.One)
            weights[term] = Weight(ratio, sp.S.Zero)
    found: dict[Weight, sp.Expr] = {}
    for term in base.args:
        found[weights[term]] = found.get(weights[term], sp.S.Zero) + term / weights[term].ratio
    return found


def _weight(term: sp.Expr, varies: Test, waits: Test) -> Weight:
    factors = [f for f in sp.Mul.make_args(term) if waits(f)]
    still = [f for f in factors if not varies(f)]
    shifts = [t for f in factors if isinstance(f, sp.exp) and varies(f) for t in _still(f.args[0], varies)]
    return Weight(sp.Mul(*still) if any(_divides(f) for f in still) else sp.S.One, sp.Add(*shifts))


def _still(exponent: sp.Expr, varies: Test) -> Iterator[sp.Expr]:
    yield from (t for t in sp.Add.make_args(exponent) if not varies(t))


def _divides(factor: sp.Expr) -> bool:
    """Whether a factor divides by a fold other than a number of positions, of which a mean is one value."""
    return bool(isinstance(factor, sp.Pow) and factor.exp.is_negative and not is_count(factor.base))


def _share(term: sp.Expr, waits: Test) -> sp.Expr:
    """`2/n -> 1/n` for a number n of positions; 1 for a term that waits for anything else, such as a mean."""
    waiting = [f for f in sp.Mul.make_args(term) if waits(f)]
    return sp.Mul(*waiting) if all(is_count(f.as_base_exp()[0]) for f in waiting) else sp.S.One


def _is_multiple(term: sp.Expr, ratio: sp.Expr) -> bool:
    have = term.as_powers_dict()
    return all(bool((have[base] / power) >= 1) for base, power in ratio.as_powers_dict().items())
