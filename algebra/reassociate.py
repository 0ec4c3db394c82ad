"""Re-association: forms of a pipeline that are equal to it and may cost less, by laws of sums and of maxima.

max_t log(1 + relu(x_t))           ->    log(1 + relu(max_t x_t))
sum_d (q_d - k_d)^2                ->    sum_d q_d^2 - 2 sum_d q_d k_d + sum_d k_d^2
sum_j p_j (sum_r w_r c_jr)         ->    sum_r w_r (sum_j p_j c_jr)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import sympy as sp

from refold.algebra.laws import contract, distribute, nested, pull_map
from refold.algebra.rewrite import walk
from refold.algebra.sums import summed
from refold.algebra.worth import Cost, long_axes
from refold.spec import Fold, Spec
from refold.spec.heads import outermost
from refold.spec.pipeline import assembled

Law = Literal["monotone", "distribute", "contract"]
# No more forms than these are derived.
MOST = 12


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a law: `after` has stood in the place of `before` from here on."""

    law: Law
    before: Fold
    after: sp.Expr


@dataclass(frozen=True, slots=True)
class Reassociated:
    """A pipeline `before` as another one, `after`, by laws used one after the other; and what both cost."""

    before: Spec
    uses: tuple[Use, ...]
    after: Spec
    saved: tuple[Cost | None, Cost | None] | None = None


def reassociations(spec: Spec) -> tuple[Reassociated, ...]:
    """The forms that laws make of a pipeline, at most so many."""
    forms = [Reassociated(spec, (), spec)]
    sites: tuple[Callable[[Spec], Iterator[tuple[Use, ...]]], ...] = (_maxima, _squares, _sums)
    for choices in sites:
        forms += [new for form in forms for new in _with(form, choices)]
    return tuple(forms[1:MOST])


def _with(form: Reassociated, choices: Callable[[Spec], Iterator[tuple[Use, ...]]]) -> Iterator[Reassociated]:
    """A form with further uses: each choice of them, as far as there is one at each place."""
    found = [form]
    for uses in choices(form.after):
        found += [new for f in found for use in uses if (new := used(f, use)) is not None]
    yield from found[1:]


def used(form: Reassociated, use: Use) -> Reassociated | None:
    """A form after one more use of a law, which is about what earlier ones have made of its place.

    None where that is no fold any more, or sums twice over one axis.
    """
    before: sp.Expr = use.before
    after = use.after
    for earlier in form.uses:
        put = {earlier.before: earlier.after}
        before, after = before.xreplace(put), after.xreplace(put)
    axes = summed(before)
    if not isinstance(before, Fold) or axes is None or axes & before.free_symbols:
        return None
    return replace(form, uses=(*form.uses, Use(use.law, before, after)), after=put_in(form.after, before, after))


def put_in(spec: Spec, before: sp.Expr, after: sp.Expr) -> Spec:
    """A pipeline with another expression in the place of one."""
    return assembled(spec, [replace(o, expr=o.expr.xreplace({before: after})) for o in spec.outputs])


def _maxima(spec: Spec) -> Iterator[tuple[Use, ...]]:
    """A maximum that no other fold reads: others are taken from what is in an exponent as it is written."""
    inner = {n for f in _outermost(spec) for n in walk(f.body)}
    for fold in _outermost(spec):
        after = pull_map(fold) if fold not in inner else None
        if after is not None:
            yield (Use("monotone", fold, after),)


def _squares(spec: Spec) -> Iterator[tuple[Use, ...]]:
    """Squares by which no position is chosen: what cancels is off by a little, and a position is right or wrong."""
    chosen = {n for f in _folds(spec) if f.kind == "argmax" for n in walk(f.body)}
    for fold in _folds(spec):
        after = distribute(fold) if fold not in chosen else None
        if after is not None:
            yield (Use("distribute", fold, after),)


def _sums(spec: Spec) -> Iterator[tuple[Use, ...]]:
    """The sums in no other sum of the same nest."""
    long = long_axes(spec)
    every = _folds(spec)
    within = {f for fold in every if len(nested(fold)[0]) > 1 for f in sp.Mul.make_args(fold.body)}
    for fold in every:
        if fold not in within:
            uses = tuple(Use("contract", fold, after) for after in contract(fold, long))
            if uses:
                yield uses


def _outermost(spec: Spec) -> list[Fold]:
    return list(dict.fromkeys(f for o in spec.outputs for f in outermost(o.expr)))


def _folds(spec: Spec) -> list[Fold]:
    """Every fold, those inside of others first."""
    found = dict.fromkeys(n for o in spec.outputs for n in walk(o.expr) if isinstance(n, Fold))
    return sorted(found, key=lambda f: sum(isinstance(n, Fold) for n in walk(f)))
