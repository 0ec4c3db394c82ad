"""The IEEE value of an expression in the empty state: whether an output is defined there."""

from __future__ import annotations

import numpy as np
import sympy as sp

from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.spec.heads import sigmoid


def ieee(expr: sp.Basic, states: dict[sp.Basic, float], masked: dict[sp.Expr, float]) -> float:
    """The IEEE value of an expression with positive stand-ins for whatever is not a state."""
    if expr in states:
        return states[expr]
    if expr in masked:
        return masked[expr]
    if expr.is_number and expr.is_extended_real:
        return float(expr)
    if isinstance(expr, Read | Fold | Index | Size | Param | sp.Symbol):
        return 1.7
    if isinstance(expr, Where):
        return ieee(expr.args[2] if expr.args[2] in (sp.oo, -sp.oo) else expr.args[1], states, masked)
    args = [np.float64(ieee(a, states, masked)) for a in expr.args]
    with np.errstate(all="ignore"):
        match expr:
            case sp.Add():
                return float(sum(args[1:], args[0]))
            case sp.Mul():
                return float(np.prod(np.array(args)))
            case sp.Pow():
                return float(np.power(args[0], args[1]))
            case sp.Abs():
                return abs(float(args[0]))
            case sp.exp():
                return float(np.exp(args[0]))
            case sp.log():
                return float(np.log(args[0]))
            case sp.Max():
                return float(np.max(np.array(args)))
            case sp.Min():
                return float(np.min(np.array(args)))
    if np.isinf(args[0]) and isinstance(expr, sp.tanh | sp.erf | sigmoid):
        return 1.0 if args[0] > 0 else 0.0 if isinstance(expr, sigmoid) else -1.0
    return float(args[0]) if np.isfinite(args[0]) else np.nan
