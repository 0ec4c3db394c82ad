"""Evaluates expressions of a pipeline in float64 NumPy, an array a value."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.core.relational import Relational

from refold.errors import SpecError
from refold.spec.heads import UNITS, Fold, Index, Read, Where, nearest, outside_folds, sigmoid

Array = NDArray[Any]

FUNCTIONS: dict[type[sp.Basic], Callable[..., Any]] = {
    sp.exp: np.exp,
    sp.log: np.log,
    sp.tanh: np.tanh,
    sigmoid: lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)),
    sp.sin: np.sin,
    sp.cos: np.cos,
    sp.erf: np.vectorize(lambda x: float(sp.N(sp.erf(float(x)))), otypes=[np.float64]),
    sp.Abs: np.abs,
    nearest: np.round,
    sp.Mod: np.mod,
}
RELATIONS: dict[str, Callable[..., Any]] = {
    "<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


class Walk:
    """One evaluation: every value is an array with one dimension an axis of the spec, of length 1 where constant."""

    def __init__(self, env: dict[Any, Any], arrays: dict[Any, Array], order: dict[Index, int]) -> None:
        self.env, self.arrays, self.order = env, arrays, order
        self.seen: dict[sp.Basic, Any] = {}

    def __call__(self, expr: sp.Basic) -> Any:
        if expr not in self.seen:
            self.seen[expr] = self.compute(expr)
        return self.seen[expr]

    def compute(self, expr: sp.Basic) -> Any:
        if expr in self.env:
            return self.env[expr]
        if expr.is_Number or expr.is_NumberSymbol:
            return float(expr)
        match expr:
            case sp.Add():
                return sum_of([self(a) for a in expr.args])
            case sp.Mul():
                return self.product(expr)
            case sp.Pow():
                return self.power(np.asarray(self(expr.base), dtype=np.float64), self(expr.exp))
            case sp.Max():
                return reduce(np.maximum, [self(a) for a in expr.args])
            case sp.Min():
                return reduce(np.minimum, [self(a) for a in expr.args])
            case Where():
                return np.where(self(expr.args[0]), self(expr.args[1]), self(expr.args[2]))
            case Read():
                return self.read(expr)
            case Fold():
                return self.fold(expr)
            case sp.And():
                return reduce(np.logical_and, [self(a) for a in expr.args])
            case sp.Or():
                return reduce(np.logical_or, [self(a) for a in expr.args])
            case sp.Not():
                return np.logical_not(self(expr.args[0]))
            case Relational():
                return RELATIONS[expr.rel_op](self(expr.lhs), self(expr.rhs))
            case sp.floor():
                # Of integers, which j/3 - i/3 is none of before it is a quotient.
                above, below = sp.fraction(sp.together(expr.args[0]))
                return np.floor_divide(np.asarray(self(above), dtype=np.float64), self(below))
            case _ if type(expr) in FUNCTIONS:
                return FUNCTIONS[type(expr)](*(np.asarray(self(a), dtype=np.float64) for a in expr.args))
            case _ if expr in (sp.true, sp.false):
                return bool(expr)
        raise SpecError(f"no value for {expr}: it has no meaning in refold")

    def power(self, base: Array, exponent: Any) -> Any:
        return base**exponent

    def product(self, expr: sp.Mul) -> Any:
        return reduce(np.multiply, [self(a) for a in expr.args])

    def read(self, expr: Read) -> Any:
        array = self.arrays[expr.tensor]
        if not expr.indices:
            return np.reshape(array, [1] * len(self.order))
        positions = np.broadcast_arrays(*(np.asarray(self(index)) for index in expr.indices))
        inside = reduce(np.logical_and, [(p >= 0) & (p < n) for p, n in zip(positions, array.shape, strict=True)])
        if array.size == 0:
            return np.full(inside.shape, np.nan)
        # Outside of the tensor there is no value, which is legal where a condition discards it.
        kept = tuple(np.where(inside, p, 0).astype(np.int64) for p in positions)
        return np.where(inside, array[kept], np.nan)

    def fold(self, expr: Fold) -> Any:
        axis = self.order[expr.axis]
        body = np.asarray(self(expr.body), dtype=np.float64)
        shape = list(body.shape) if body.ndim else [1] * len(self.order)
        shape[axis] = self.env[expr.axis].size
        body = np.broadcast_to(body, shape)
        if (hidden := self.hidden(expr.body)) is not None:
            # The unit of a position is none, and what has no position is below all that have one.
            unit = -np.inf if expr.kind == "argmax" else float(UNITS[expr.kind])
            body = np.where(np.isnan(body) & hidden, unit, body)
        empty = shape[axis] == 0
        match expr.kind:
            case "sum" | "count":
                return body.sum(axis=axis, keepdims=True)
            case "prod":
                return body.prod(axis=axis, keepdims=True)
            case "max":
                return body.max(axis=axis, keepdims=True, initial=-np.inf)
            case "min":
                return body.min(axis=axis, keepdims=True, initial=np.inf)
            case "any":
                return (body != 0).any(axis=axis, keepdims=True).astype(np.float64)
            case "all":
                return (body != 0).all(axis=axis, keepdims=True).astype(np.float64)
            case "argmax":
                shape[axis] = 1
                if empty:
                    return np.full(shape, -1.0)
                return np.take(self.env[expr.axis], body.argmax(axis=axis, keepdims=True)).astype(np.float64)
        raise SpecError(f"no value for a fold by {expr.kind}")

    def hidden(self, body: sp.Basic) -> Any:
        """Where a mask makes a part of a fold's body infinite: positions that, if undefined, are no elements."""
        found = None
        for node in outside_folds(body):
            if isinstance(node, Where) and node.args[1] != node.args[2]:
                condition, then, other = node.args
                for branch, holds in ((then, True), (other, False)):
                    if branch in (sp.oo, -sp.oo):
                        here = self.is_decided(condition, holds=holds)
                        found = here if found is None else found | here
        return found

    def is_decided(self, condition: sp.Basic, *, holds: bool) -> Any:
        """Where a condition has a truth value."""
        return np.asarray(self(condition), dtype=bool) == holds


class Strict(Walk):
    """An evaluation in which a division by 0 has no value."""

    def power(self, base: Array, exponent: Any) -> Any:
        return np.where((base == 0) & (np.asarray(exponent) < 0), np.nan, base**exponent)


def sum_of(values: list[Any]) -> Any:
    """The sum of broadcastable values."""
    return reduce(np.add, values)
