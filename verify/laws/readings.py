"""The spec as the final state has it: folds as their readings, what that rests on, and where it has a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from refold.algebra import Finish, Plan, State
from refold.algebra.choices import masks
from refold.algebra.rewrite import folds, map_folds
from refold.algebra.situation import as_derived
from refold.spec import Fold
from refold.verify.obligation import Defined


class Readings:
    """Puts what the final state says of them for the folds of the spec; one that the plan does without is any real."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.known = {r.fold: r.expr for r in plan.readings}
        self.count = Fold("count", sp.S.One, plan.axis)
        self.counter = next((a.symbol for a in plan.accumulators if a.reducer == "count" and a.element == 1), None)
        self.free: dict[Fold, sp.Symbol] = {}

    def fold(self, fold: Fold) -> Any:
        """One fold over the axis."""
        if fold == self.count and self.counter is not None:
            return self.counter
        if fold in self.known:
            return self.put(self.known[fold])
        # A fold that the plan does without has to be without influence.
        return self.free.setdefault(fold, sp.Symbol(f"any{len(self.free) + 1}", real=True))

    def bounds(self) -> Iterator[sp.Basic]:
        """What a maximum or a minimum that the plan does without is beside its element, where no mask hides one."""
        sides = {"max": sp.Ge, "min": sp.Le}
        for fold, value in [*self.free.items()]:
            if fold.kind in sides and not any(True for _ in masks(fold.body)) and not folds(fold.body, fold.axis):
                yield sides[fold.kind](value, fold.body, evaluate=False)

    def put(self, expr: sp.Basic) -> Any:
        """An expression of the spec in normal form."""
        return map_folds(expr, self.plan.axis, self.fold)

    def written(self, expr: sp.Basic) -> Any:
        """An expression of the spec as it was written."""
        return self.put(as_derived(self.plan, expr))

    def output(self, f: Finish) -> Any:
        """An output as it was written."""
        return self.written(next(o.expr for o in self.plan.spec.outputs if o.name == f.name))

    def has_value(self, f: Finish) -> tuple[sp.Basic, ...]:
        """That an output as written has a value, in a state in which the readings hold."""
        wanted = self.output(f)
        return (*regular(self.plan, sp.Tuple(f.expr, wanted)), Defined(wanted))


def regular(plan: Plan, expr: sp.Basic) -> tuple[sp.Basic, ...]:
    """The conditions under which the anchors behind an expression are regular."""
    needed = {s for s in expr.free_symbols if isinstance(s, State)}
    found: dict[sp.Basic, None] = {}
    for a in reversed(plan.accumulators):
        if a.symbol in needed:
            for anchor in (plan.anchor(s) for s in a.anchors):
                needed |= {s for s in anchor.expr.free_symbols if isinstance(s, State)}
                if anchor.regular is not sp.true:
                    found.setdefault(anchor.regular)
    return tuple(found)
