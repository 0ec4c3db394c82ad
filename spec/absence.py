"""Says where an expression has no value because a fold ranges over nothing: no position, or none that counts.

A division by 0 has no value here, as in `evaluate_where_defined`: of -oo by the 0 that a sum over nothing is too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp

from refold.spec.heads import UNITS, Fold, Index, Read, Where
from refold.spec.walk import Walk


class Absence:
    """Where the values of a strict walk are missing, and which of them for that reason, as arrays of truth values.

    `axes` are those of the outermost folds: an inner one that is empty, of a dot, is nothing that `empty=` is for.
    """

    def __init__(self, walk: Walk, axes: frozenset[Index]) -> None:
        self.walk, self.axes = walk, axes
        self.sizes = frozenset(a.size for a in axes)
        self.absent: dict[sp.Basic, Any] = {}
        self.hung: dict[sp.Basic, Any] = {}

    def __call__(self, expr: sp.Basic) -> Any:
        """Where an expression has no value because a fold ranges over nothing, and not for what data are."""
        if expr not in self.absent:
            missing = self.missing(expr)
            self.absent[expr] = missing & self.cause(expr) if missing.any() else np.asarray(False)
        return self.absent[expr]

    def missing(self, expr: sp.Basic) -> Any:
        if not isinstance(expr, sp.Expr):
            return np.asarray(False)
        value = np.isnan(np.asarray(self.walk(expr), dtype=np.float64))
        return value if value.ndim else value.reshape([1] * len(self.walk.order))

    def cause(self, expr: sp.Basic) -> Any:
        """Where the first operation that has no value hangs on a fold over nothing."""
        if not expr.args or isinstance(expr, Read):
            return np.asarray(False)
        if isinstance(expr, Where):
            return np.where(self.holds(expr), self(expr.args[1]), self(expr.args[2]))
        if isinstance(expr, Fold):
            axis, hidden = self.walk.order[expr.axis], self.walk.hidden(expr.body)
            inside = self.missing(expr.body) & ~np.asarray(False if hidden is None else hidden)
            below, found = (x.any(axis=axis, keepdims=True) for x in (inside, inside & self(expr.body)))
        else:
            below, found = _any(self.missing(a) for a in expr.args), _any(self(a) for a in expr.args)
        return np.where(below, found, self.hangs(expr))

    def holds(self, choice: sp.Basic) -> Any:
        """Where the condition of a choice holds."""
        return self.walk.is_decided(choice.args[0], holds=True)

    def hangs(self, expr: sp.Basic) -> Any:
        """Where an expression reads a fold that ranges over nothing, or the length of an axis that has no position."""
        if expr not in self.hung:
            self.hung[expr] = self._hangs(expr)
        return self.hung[expr]

    def _hangs(self, expr: sp.Basic) -> Any:
        if expr in self.sizes:
            return np.asarray(self.walk(expr) == 0, dtype=bool)
        if not expr.args or isinstance(expr, Read):
            return np.asarray(False)
        if isinstance(expr, Where):
            return np.where(self.holds(expr), self.hangs(expr.args[1]), self.hangs(expr.args[2]))
        if not isinstance(expr, Fold):
            return _any(self.hangs(a) for a in expr.args)
        axis, length = self.walk.order[expr.axis], self.walk.env[expr.axis].size
        wide = [1] * len(self.walk.order)
        counts, inside = (
            np.broadcast_to(x, np.broadcast_shapes(np.shape(x), wide)).any(axis=axis, keepdims=True)
            for x in (~self.out(expr.body, UNITS[expr.kind]), self.hangs(expr.body))
        )
        return inside | (~counts | (length == 0) if expr.axis in self.axes else False)

    def out(self, body: sp.Basic, unit: sp.Expr | None) -> Any:
        """Where a position does not count: a mask hides it by an infinity, or chooses the unit of the fold."""
        if not body.args or isinstance(body, Fold | Read):
            return np.asarray(False)
        if isinstance(body, Where):
            then, other = (np.asarray(True) if b in (sp.oo, -sp.oo, unit) else self.out(b, unit) for b in body.args[1:])
            return np.where(self.holds(body), then, other)
        keeps = unit == 0 and (isinstance(body, sp.Mul | sp.Abs) or (body.is_Pow and body.exp.is_positive))
        return _any(self.out(a, unit if keeps else None) for a in body.args)


def _any(found: Iterable[Any]) -> Any:
    return reduce(np.logical_or, found, np.asarray(False))
