"""Evaluates over arrays of objects instead of floats: of expressions, or of numbers of many digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from refold.spec import Fold, Read
from refold.spec.heads import UNITS
from refold.spec.walk import Walk


class ObjectWalk(Walk):
    """An evaluation whose values are arrays of objects; what a head computes of its arguments is `function`'s."""

    nan: Any = sp.nan

    def number(self, expr: sp.Expr) -> Any:
        """An expression without arguments that no input gives."""
        raise NotImplementedError

    def function(self, expr: sp.Basic) -> Callable[..., Any]:
        """What the head of an expression computes of its arguments."""
        raise NotImplementedError

    def reduction(self, kind: str) -> Callable[[list[Any]], Any]:
        """What a fold computes of the values at its positions."""
        raise NotImplementedError

    def compute(self, expr: sp.Basic) -> Any:
        if expr in self.env:
            return self.env[expr]
        match expr:
            case Read():
                return self.read(expr)
            case Fold():
                return self.fold(expr)
            case _ if not expr.args:
                return self.number(expr)
        return each(self.function(expr), *(self(a) for a in expr.args))

    def read(self, expr: Read) -> Any:
        array = self.arrays[expr.tensor]
        if not expr.indices:
            return np.reshape(array, [1] * len(self.order))
        at = np.broadcast_arrays(*(np.asarray(each(int, self(index)), dtype=np.int64) for index in expr.indices))
        inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(at, array.shape, strict=True)])
        if array.size == 0:
            return np.full(inside.shape, self.nan, dtype=object)
        return np.where(inside, array[tuple(np.where(inside, p, 0) for p in at)], self.nan)

    def fold(self, expr: Fold) -> Any:
        axis = self.order[expr.axis]
        body = np.asarray(self(expr.body), dtype=object)
        shape = list(body.shape) if body.ndim else [1] * len(self.order)
        shape[axis] = self.env[expr.axis].size
        body = np.broadcast_to(body, shape)
        if (hidden := self.hidden(expr.body)) is not None:
            unit = self.number(-sp.oo if expr.kind == "argmax" else UNITS[expr.kind])
            body = each(lambda value, there: unit if there and self.is_nan(value) else value, body, hidden)
        lines = np.moveaxis(body, axis, -1)
        values = np.empty(lines.shape[:-1], dtype=object)
        reduction = self.reduction(expr.kind)
        for place in np.ndindex(*values.shape):
            values[place] = reduction(list(lines[place]))
        return np.expand_dims(values, axis)

    def is_nan(self, value: Any) -> bool:
        """Whether an object stands for no value."""
        return bool(value != value) or value is sp.nan

    def is_decided(self, condition: sp.Basic, *, holds: bool) -> Any:
        return np.asarray(each(lambda c: c == holds, self(condition)), dtype=bool)


def each(function: Callable[..., Any], *values: Any) -> Any:
    """A function at every place of arrays of objects."""
    return np.frompyfunc(function, len(values), 1)(*values)
