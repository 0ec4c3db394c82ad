"""Numbers that a kernel has from its text or from its launcher, as those of its plan that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra import Plan
from refold.algebra.rewrite import walk
from refold.schedule.lower.host import is_host
from refold.schedule.lower.kernels import Kernels
from refold.spec import Index, Param, Size
from refold.spec.heads import at_an_element


@dataclass(frozen=True, slots=True)
class Scalars:
    """`host` has the scalars that the launcher passes, `literals` the numbers of the plan by the floats near them.

    `lengths` has those scalars that are the length of an axis, which a kernel has as an integer too.
    """

    host: Mapping[Any, str]
    literals: Mapping[float, Any]
    lengths: Mapping[str, Size]

    @classmethod
    def of(cls, made: Kernels) -> Scalars:
        whole = {Index(e.name): (e, name) for e, name in made.host.items() if isinstance(e, Size)}
        lengths = {name: e for axis, (e, name) in whole.items() if axis not in made.roles.inner}
        host = {e: name for e, name in made.host.items() if name not in lengths}
        return cls(host, literals(made.plan), lengths)

    def literal(self, value: float) -> Any:
        """A float that a kernel writes: the number of the plan that it is the nearest one to, if there is one."""
        if value != value or abs(value) == float("inf"):
            return sp.nan if value != value else sp.oo if value > 0 else -sp.oo
        return self.literals.get(value, sp.Rational(value))

    def symbol(self, name: str) -> sp.Symbol:
        """A number that the launcher passes; one that is positive wherever there is an element is so."""
        expr = next((e for e, text in self.host.items() if text == name), None)
        positive = expr is not None and at_an_element(expr).is_positive
        return sp.Symbol(name, real=True, positive=True if positive else None)

    def computed(self) -> Iterator[tuple[sp.Symbol, Any]]:
        """Those scalars that the launcher makes of others, with what they are."""
        yield from ((self.symbol(name), expr) for expr, name in self.host.items() if expr.args)

    def of_launcher(self, expr: Any) -> Any:
        """The number that an expression of the plan is passed as, if it is; what is passed as an integer is none."""
        if isinstance(expr, Param) and expr.is_integer:
            return None
        return self.symbol(self.host[expr]) if expr in self.host else None

    def split(self, expr: sp.Mul) -> tuple[Any, tuple[Any, ...]]:
        """The one scalar that the launcher multiplies factors of a product to, 1 where it does not, and the others.

        A kernel takes a product with a minus away: the launcher has what is left of it.
        """
        launcher = [f for f in expr.args if is_host(f)]
        for some in (launcher, [f for f in launcher if not f.is_number]):
            for sign in (1, -1) if some else ():
                scalar = self.of_launcher(sign * sp.Mul(*some))
                if scalar is not None:
                    return sign * scalar, tuple(f for f in expr.args if f not in some)
        return sp.S.One, expr.args


def literals(plan: Plan) -> dict[float, Any]:
    """The numbers that a plan writes and no float is, by the floats of 32 bits nearest to them.

    Those with the other sign as well: a kernel subtracts where a plan adds what is negative.
    """
    found: dict[float, Any] = {}
    for n in (n for root in _expressions(plan) for n in _numbers(root)):
        near = float(np.float32(float(n)))
        if sp.Rational(near) != n:
            found |= {near: n, -near: -n}
    return found


def _numbers(expr: Any) -> Iterator[Any]:
    """The numbers in an expression, and those that numbers in it are multiplied to."""
    for n in walk(expr):
        if isinstance(n, sp.Mul):
            n = sp.Mul(*(f for f in n.args if f.is_number))
        if isinstance(n, sp.Expr) and n.is_number and n.is_finite and n.is_real:
            yield n


def _expressions(plan: Plan) -> Iterator[Any]:
    yield from (e.expr for e in plan.elements)
    for a in plan.accumulators:
        yield from (a.element, a.correction)
    for x in plan.anchors:
        yield from (x.expr, x.regular, x.default)
    for f in plan.finish:
        yield from (f.expr, f.guard, f.empty)
