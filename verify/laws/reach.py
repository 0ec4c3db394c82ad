"""What is known of reachable states, of their elements, and of parts inside of a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from refold.algebra import Plan, State, Varying
from refold.algebra.monoid import Monoid, monoid
from refold.spec import Read, Where

ARITHMETIC = (sp.Add, sp.Mul, sp.Pow, sp.Abs, sp.Max, sp.Min, sp.Number, Read)


def eq(left: sp.Expr, right: sp.Expr) -> sp.Basic:
    """An equality that SymPy leaves as it is."""
    return sp.Eq(left, right, evaluate=False)


@dataclass(frozen=True, slots=True)
class Reach:
    """What is known of reachable states: invariants of accumulators, and how elements stand to their maximum."""

    plan: Plan
    monoid: Monoid
    invariants: tuple[tuple[State, Callable[[dict[State, sp.Expr]], sp.Basic], str], ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Reach:
        """What is known of a plan's states before an invariant is found."""
        return cls(plan, monoid(plan))

    def knowing(self, symbol: State, formula: Callable[[dict[State, sp.Expr]], sp.Basic], shown: str) -> Reach:
        """The same with one more invariant."""
        return replace(self, invariants=(*self.invariants, (symbol, formula, shown)))

    def state(self, state: dict[State, sp.Expr]) -> tuple[sp.Basic, ...]:
        """Assumptions on one reachable state."""
        return (*(formula(state) for _, formula, _ in self.invariants), *self.lengths(state))

    def lengths(self, state: dict[State, sp.Expr]) -> Iterator[sp.Basic]:
        """Where there is an element of a part, the axis has a position: asked for by outputs that read its length."""
        size = self.plan.axis.size
        if not any(size in x.free_symbols for f in self.plan.finish for x in (f.expr, f.guard)):
            return
        for a in self.plan.accumulators:
            if a.anchors or a.reducer not in ("max", "min", "count"):
                continue
            empty = eq(state[a.symbol], a.unit) if a.reducer == "count" else sp.Not(_finite(state[a.symbol], a.unit))
            yield sp.Or(empty, sp.Ge(size, 1, evaluate=False), evaluate=False)

    def member(self, state: dict[State, sp.Expr]) -> tuple[sp.Basic, ...]:
        """Assumptions on an element of the part whose state this is: no maximum is below it, no count is 0."""
        found: list[sp.Basic] = []
        for a in self.plan.accumulators:
            if a.anchors:
                continue
            if a.reducer == "max":
                found.append(sp.Ge(state[a.symbol], a.element, evaluate=False))
            elif a.reducer == "min":
                found.append(sp.Le(state[a.symbol], a.element, evaluate=False))
            elif a.reducer == "count" and a.element == 1:
                found.append(sp.Ge(state[a.symbol], 1, evaluate=False))
        return (*found, *self.definitions())

    def definitions(self) -> tuple[sp.Basic, ...]:
        """What elements are, where that is arithmetic on what is read: `c = x^2` is at least 0."""
        found = []
        for e in self.plan.elements:
            if e.infinite == 0 and all(
                isinstance(n, ARITHMETIC) or not n.args or not isinstance(n, sp.Expr) for n in _arithmetic(e.expr)
            ):
                found.append(eq(e.symbol, e.expr))
            elif isinstance(e.expr, Where) and set(e.expr.args[1:]) <= {sp.S.Zero, sp.S.One}:
                found.append(
                    sp.And(sp.Ge(e.symbol, 0, evaluate=False), sp.Le(e.symbol, 1, evaluate=False), evaluate=False)
                )
            else:
                found += [r(e.symbol, 0, evaluate=False) for r, known in _signs(e.expr) if known][:1]
        return tuple(found)

    def inside(self, part: dict[State, sp.Expr], whole: dict[State, sp.Expr]) -> tuple[sp.Basic, ...]:
        """Assumptions on the state of a part beside that of a whole that holds it."""
        found: list[sp.Basic] = []
        for a in self.plan.accumulators:
            if not a.anchors and a.reducer in ("max", "count"):
                found.append(sp.Ge(whole[a.symbol], part[a.symbol], evaluate=False))
            if not a.anchors and a.reducer == "min":
                found.append(sp.Le(whole[a.symbol], part[a.symbol], evaluate=False))
        return tuple(found)


def at_the_end(plan: Plan, *exprs: sp.Basic) -> tuple[sp.Basic, ...]:
    """What the final state is beside any other: that of the whole axis, so that a count is the length."""
    if not any(plan.axis.size in e.free_symbols for e in exprs):
        return ()
    return tuple(eq(a.symbol, plan.axis.size) for a in plan.accumulators if a.reducer == "count" and a.element == 1)


def _finite(value: sp.Expr, unit: sp.Expr) -> sp.Basic:
    """That a maximum or minimum is not the infinity that it is of no element."""
    return (sp.Gt if unit is -sp.oo else sp.Lt)(value, unit, evaluate=False)


def _signs(expr: sp.Expr) -> tuple[tuple[Any, bool | None], ...]:
    """What is known of an expression beside 0, the strongest first: an inner sum of squares is not negative."""
    return (
        (sp.Gt, expr.is_positive),
        (sp.Lt, expr.is_negative),
        (sp.Ge, expr.is_nonnegative),
        (sp.Le, expr.is_nonpositive),
    )


def _arithmetic(expr: sp.Basic) -> Iterator[sp.Basic]:
    yield expr
    if not isinstance(expr, Read):
        for arg in expr.args:
            yield from _arithmetic(arg)


def written(plan: Plan, formulas: tuple[sp.Basic, ...]) -> tuple[sp.Basic, ...]:
    """Formulas about elements, in what the spec reads."""
    return tuple(put_elements(plan, f) for f in formulas if not _is_definition(f))


def put_elements(plan: Plan, expr: sp.Basic) -> sp.Basic:
    return expr.xreplace({e.symbol: e.expr for e in plan.elements})


def _is_definition(formula: sp.Basic) -> bool:
    return isinstance(formula, sp.Eq) and isinstance(formula.args[0], Varying)
