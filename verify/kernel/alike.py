"""Finds terms of two expressions that may be equal, so that a solver is asked of them before it is of the whole.

`f(x) = f(y)` where `x = y`, whatever is known of f: angles and exponents in two forms are seen to be one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp
from sympy.core.function import Function

from refold.algebra.rewrite import walk

# Two values that differ by less at a sample are worth a question.
NEAR = 1e-9


def alike(got: Any, wanted: Any) -> Iterator[tuple[Any, Any]]:
    """Arguments of one function, of which a sample does not show that they differ: one of each side, in one only."""
    mine, other = _arguments(got), _arguments(wanted)
    sample = _sample(got, wanted)
    for head in [h for h in mine if h in other]:
        values = {y: _value(y, sample) for y in other[head] - mine[head]}
        for x in sp.ordered(mine[head] - other[head]):
            at = _value(x, sample)
            yield from ((x, y) for y in [y for y in sp.ordered(values) if _near(at, values[y])][:1])


def _near(a: complex | None, b: complex | None) -> bool:
    return a is not None and b is not None and abs(a - b) <= NEAR * (1 + abs(a))


def _arguments(expr: Any) -> dict[Any, set[Any]]:
    """The arguments of functions that are no symbols, by the function."""
    found: dict[Any, set[Any]] = {}
    for n in walk(expr):
        if isinstance(n, Function) and not isinstance(n, sp.Max | sp.Min):
            found.setdefault(type(n), set()).update(a for a in n.args if a.args)
    return found


def _sample(*exprs: Any) -> dict[Any, Any]:
    """A number for every symbol."""
    symbols = sp.ordered({s for e in exprs for s in e.free_symbols})
    return {s: sp.Integer(n + 2) if s.is_integer else sp.Rational(2 * n + 3, n + 2) for n, s in enumerate(symbols)}


def _value(expr: Any, sample: dict[Any, Any]) -> complex | None:
    """What an expression is at a sample, None where it is no number there."""
    try:
        return complex(expr.xreplace(sample))
    except (TypeError, ValueError, OverflowError):
        return None
