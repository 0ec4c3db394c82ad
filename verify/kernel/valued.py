"""A choice between a value and none, taken out of the operations on it: expressions show where they have a value."""

from __future__ import annotations

from typing import Any

import sympy as sp

from refold.spec import Where
from refold.verify.kernel.forms import rebuilt


def valued(expr: Any) -> Any:
    """`f(x where c, else nan)  ->  f(x) where c, else nan`: no operation makes a value of none.

    But for an extreme, which may leave out what is none, and for a choice, which may not take it.
    """
    guards, value = _apart(expr)
    return expr if not guards else Where(sp.And(*guards), value, sp.nan)


def _apart(expr: Any) -> tuple[tuple[Any, ...], Any]:
    """Where an expression has a value, and what it is there."""
    if isinstance(expr, Where):
        condition, then, other = expr.args
        if sp.nan not in (then, other) or then == other:
            return (), expr
        guard, side = (condition, then) if other is sp.nan else (sp.Not(condition), other)
        guards, value = _apart(side)
        return (guard, *guards), value
    if not expr.has(sp.nan) or isinstance(expr, sp.Max | sp.Min) or expr.is_Boolean:
        return (), expr
    parts = [_apart(a) for a in expr.args]
    guards = tuple(g for some, _ in parts for g in some)
    return guards, rebuilt(expr, [value for _, value in parts]) if guards else expr
