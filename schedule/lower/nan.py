"""Says which extrema have to pass on a NaN of the data themselves, since nothing else of an output would.

`tl.max` and `tl.maximum` drop what is no number. Where a sum over the same data is in the output too (the weights of a
softmax), the NaN arrives through the sum, and the loop has nothing to do for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from refold.algebra import Accumulator, Plan, State
from refold.algebra.rewrite import walk
from refold.algebra.roles import expand_elements
from refold.schedule.lower.masks import masked_where, passes
from refold.spec import Read, Where


def strict_extrema(plan: Plan) -> frozenset[State]:
    """The maxima and minima of data on which some output depends that no sum makes a NaN, and all keys of positions."""
    keys = {a.key for a in plan.accumulators if a.key is not None}
    outputs = [expr for f in plan.finish for expr in _branches(f.expr)]
    strict = set()
    for a in plan.accumulators:
        if a.reducer in ("max", "min") and _data(expand_elements(plan, a.element)):
            users = [x for x in outputs if _depends(plan, x, a)]
            if a.symbol in keys or not all(_arrives(plan, x, a) for x in users):
                strict.add(a.symbol)
    return frozenset(strict)


def _data(expr: sp.Expr) -> set[Read]:
    """What an expression reads that can be no number."""
    return {r for r in expr.atoms(Read) if not r.tensor.is_integer}


def _branches(expr: sp.Expr) -> Iterator[sp.Expr]:
    """An output without its choices: one expression for each."""
    choice = next((n for n in walk(expr) if isinstance(n, Where)), None)
    if choice is None:
        yield expr
        return
    for branch in choice.args[1:]:
        yield from _branches(expr.xreplace({choice: branch}))


def _depends(plan: Plan, output: sp.Expr, a: Accumulator) -> bool:
    """Whether an output reads an extremum: by itself, or as the anchor of what it reads."""
    read = [b for b in plan.accumulators if b.symbol in output.free_symbols]
    anchors = [plan.anchor(s) for b in read for s in b.anchors]
    return a in read or any(a.symbol in x.expr.free_symbols for x in anchors)


def _arrives(plan: Plan, output: sp.Expr, a: Accumulator) -> bool:
    """Whether a sum in the output is NaN wherever the data of an extremum are."""
    key = expand_elements(plan, a.element)
    sums = [b for b in plan.accumulators if b.reducer == "sum" and passes(output, b.symbol)]
    bodies = [expand_elements(plan, b.element) for b in sums]
    alike = [body for body in bodies if masked_where(body) in (sp.false, masked_where(key))]
    return any(all(passes(body, r) for r in _data(key)) for body in alike)
