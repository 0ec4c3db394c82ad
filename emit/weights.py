"""Whether the weights of sums are bounded, so that they may take the dtype of the data."""

from __future__ import annotations

import sympy as sp

from refold.algebra import Plan
from refold.algebra.base2 import exp2
from refold.algebra.roles import expand_elements
from refold.spec import Read, Where
from refold.spec.heads import sigmoid


def bounded_weights(plan: Plan) -> bool:
    """Whether what multiplies the data in every sum is at most 1 in size, or data itself: no overflow in its dtype."""

    def small(expr: sp.Expr) -> bool:
        match expr:
            case sp.Mul():
                return all(small(a) for a in expr.args)
            case Where():
                return all(a in (sp.oo, -sp.oo) or small(a) for a in expr.args[1:])
        # The range obligation of the proof is that exponents are at most 0.
        return isinstance(expr, Read | sp.exp | exp2 | sigmoid | sp.tanh | sp.sin | sp.cos) or bool(
            expr.is_number and abs(expr) <= 1
        )

    sums = [a for a in plan.accumulators if a.reducer == "sum"]
    return all(small(expand_elements(plan, a.element)) for a in sums)
