"""Runs a claimed form in float64 NumPy, in any order and any split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra import State, Varying
from refold.algebra.derive import fold_axis
from refold.algebra.run import Order
from refold.spec.evaluate import Inputs
from refold.verify.claim import Claim
from refold.verify.schedule import final

Arrays = dict[State, Any]


def run_claim(claim: Claim, inputs: Mapping[str, Any], order: Order) -> dict[str, Any]:
    """The outputs of a claimed form for one order, as `refold.algebra.run.run` has it."""
    runner = ClaimRunner(claim, Inputs.of(claim.spec, inputs))
    with np.errstate(all="ignore"):
        return runner.finish(final(runner, order))


class ClaimRunner:
    """One run: the inputs, and init, step, merge and finish on arrays with one dimension an axis of the spec."""

    def __init__(self, claim: Claim, given: Inputs) -> None:
        self.claim, self.given, self.axis = claim, given, fold_axis(claim.spec)
        self.base = given.walk()
        self.elements = {s: self.wide(self.base(e)) for s, e in claim.elements}

    def wide(self, value: Any) -> Any:
        return np.reshape(value, [1] * len(self.given.order)) if np.ndim(value) == 0 else np.asarray(value)

    def start(self) -> Arrays:
        return self._state(self.claim.init, {})

    def step(self, state: Arrays, position: int) -> Arrays:
        return self._state(self.claim.step, {**state, **self.at(position)})

    def merge(self, left: Arrays, right: Arrays) -> Arrays:
        claim = self.claim
        assert claim.merge is not None
        return self._state(claim.merge, {**left, **dict(zip(claim.right, right.values(), strict=True))})

    def at(self, position: int) -> dict[Varying, Any]:
        """The elements at one position."""
        axis = self.given.order[self.axis]
        return {s: v if v.shape[axis] == 1 else np.take(v, [position], axis=axis) for s, v in self.elements.items()}

    def finish(self, state: Arrays) -> dict[str, Any]:
        """The outputs; of an axis of no position, the spec's `empty` where they are undefined."""
        walk = self.given.walk({**state, **self.elements})
        outputs = zip(self.claim.spec.outputs, self.claim.finish, strict=True)
        results = {o.name: self.given.present(walk(expr), o.axes) for o, expr in outputs}
        if self.claim.spec.empty is sp.nan or self.given.sizes[self.axis]:
            return results
        return {n: np.where(np.isnan(v), float(self.claim.spec.empty), v) for n, v in results.items()}

    def _state(self, exprs: tuple[sp.Expr, ...], values: Mapping[Any, Any]) -> Arrays:
        walk = self.given.walk(values)
        return {s: self.wide(walk(e)) for s, e in zip(self.claim.left, exprs, strict=True)}
