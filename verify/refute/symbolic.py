"""Runs a spec and a claimed form on symbols instead of numbers: what each gives for one input, as expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra.run import Order
from refold.spec import Index, Size, TensorName, Where
from refold.spec.evaluate import Inputs
from refold.spec.walk import Array, Walk
from refold.verify.claim.claim import Claim
from refold.verify.claim.form import form_of
from refold.verify.claim.run import ClaimRunner
from refold.verify.refute.objects import ObjectWalk, each
from refold.verify.refute.schedule import final


@dataclass(frozen=True, slots=True)
class SymbolicInputs(Inputs):
    """Inputs whose arrays hold expressions; sizes, indices and integer tensors are numbers of SymPy."""

    def walk(self, values: Mapping[Any, Any] | None = None) -> Walk:
        return SymbolicWalk(self.env | dict(values or {}), self.arrays, self.order)

    def present(self, value: Any, axes: tuple[Index, ...]) -> Array:
        return np.asarray(value, dtype=object)


def symbolic(numbers: Inputs, letters: Mapping[TensorName, Array], rows: Mapping[Index, int]) -> SymbolicInputs:
    """Inputs with letters for the numbers of some tensors and scalars, looked at in some rows of the other axes alone.

    `letters` has an array of expressions a tensor; a tensor that it lacks keeps its numbers.
    """
    env: dict[Any, Any] = {}
    for axis, size in numbers.sizes.items():
        shape = [1] * len(numbers.order)
        positions = [rows[axis]] if axis in rows else range(size)
        shape[numbers.order[axis]] = len(positions)
        env[axis] = np.array([sp.Integer(n) for n in positions], dtype=object).reshape(shape)
        env[Size(axis.name)] = sp.Integer(size)
    env |= {p: _exact(numbers.env[p]) for p in numbers.spec.params}
    arrays = {t: letters.get(t, _exact_array(a)) for t, a in numbers.arrays.items()}
    return SymbolicInputs(numbers.spec, numbers.sizes, env, arrays, numbers.order)


def differences(claim: Claim, given: SymbolicInputs, order: Order) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """The pairs of expressions, what the spec says and what a claim gives, of the outputs that are not the same."""
    runner, walk = ClaimRunner(form_of(claim), given), given.walk()
    got = runner.finish(final(runner, order))
    pairs: dict[tuple[sp.Expr, sp.Expr], None] = {}
    for output in claim.spec.outputs:
        wide = np.broadcast_arrays(runner.wide(walk(output.expr)), runner.wide(got[output.name]))
        pairs |= dict.fromkeys(zip(*(side.ravel() for side in wide), strict=True))
    yield from (pair for pair in pairs if pair[0] != pair[1])


class SymbolicWalk(ObjectWalk):
    """An evaluation whose values are arrays of expressions."""

    def number(self, expr: sp.Expr) -> Any:
        return sp.Rational(str(expr)) if isinstance(expr, sp.Float) else expr

    def function(self, expr: sp.Basic) -> Callable[..., Any]:
        return expr.func

    def reduction(self, kind: str) -> Callable[[list[Any]], Any]:
        return _REDUCTIONS[kind]


def _exact(value: Any) -> sp.Expr:
    return sp.Integer(int(value)) if value == int(value) else sp.Rational(str(value))


def _exact_array(array: Array) -> Array:
    return np.asarray(each(_exact, array), dtype=object)


def _first_largest(values: list[sp.Expr]) -> sp.Expr:
    """The lowest position of the largest value; -1 where there is none."""
    best, place = -sp.oo, sp.S.NegativeOne
    for n, value in enumerate(values):
        place = Where(sp.Gt(value, best), sp.Integer(n), place)
        best = sp.Max(best, value)
    return place


def _some(values: list[sp.Expr]) -> sp.Expr:
    return Where(sp.Or(*(sp.Ne(v, 0) for v in values)), sp.S.One, sp.S.Zero)


def _every(values: list[sp.Expr]) -> sp.Expr:
    return Where(sp.And(*(sp.Ne(v, 0) for v in values)), sp.S.One, sp.S.Zero)


_REDUCTIONS: dict[str, Callable[[list[sp.Expr]], sp.Expr]] = {
    "sum": lambda values: sp.Add(*values),
    "count": lambda values: sp.Add(*values),
    "prod": lambda values: sp.Mul(*values),
    "max": lambda values: sp.Max(*values),
    "min": lambda values: sp.Min(*values),
    "any": _some,
    "all": _every,
    "argmax": _first_largest,
}
