"""Runs a spec and a claimed form in many digits: a difference that is left there is none of rounding."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from refold.spec import Where
from refold.spec.evaluate import Inputs, outputs
from refold.spec.heads import nearest, sigmoid
from refold.spec.walk import Array, Walk
from refold.verify.refute.objects import ObjectWalk, each

# Squares of the largest float32 cancel within 77 digits, and so do their sums.
DIGITS = 200
# A context of its own, which nobody changes the precision of.
mp = mpmath.MPContext()
mp.dps = DIGITS
INF, NAN = mp.inf, mp.nan


def precise(given: Inputs) -> PreciseInputs:
    """The same inputs, for an evaluation in many digits."""
    env = {s: each(mp.mpf, np.asarray(v, dtype=object)) for s, v in given.env.items()}
    arrays = {t: np.asarray(each(mp.mpf, a.astype(object)), dtype=object) for t, a in given.arrays.items()}
    return PreciseInputs(given.spec, given.sizes, env, arrays, given.order)


def precise_outputs(given: PreciseInputs) -> dict[str, Array]:
    """Every output of a spec where it has a value, rounded at the end alone."""
    return outputs(given, StrictWalk(given.env, given.arrays, given.order))


class PreciseInputs(Inputs):
    """Inputs whose arrays hold numbers of many digits; an output is rounded to a float."""

    __slots__ = ()

    def walk(self, values: Mapping[Any, Any] | None = None) -> Walk:
        return PreciseWalk(self.env | dict(values or {}), self.arrays, self.order)


class PreciseWalk(ObjectWalk):
    """An evaluation in many digits."""

    nan = NAN

    def number(self, expr: sp.Expr) -> Any:
        if expr in (sp.true, sp.false):
            return bool(expr)
        if expr.is_Rational:
            return mp.mpf(int(expr.p)) / int(expr.q)
        return {sp.oo: INF, -sp.oo: -INF, sp.nan: NAN}[expr] if not expr.is_finite else mp.mpf(str(sp.N(expr, DIGITS)))

    def function(self, expr: sp.Basic) -> Callable[..., Any]:
        return _FUNCTIONS[type(expr)] if not isinstance(expr, Relational) else _RELATIONS[expr.rel_op]

    def reduction(self, kind: str) -> Callable[[list[Any]], Any]:
        return _REDUCTIONS[kind]


class StrictWalk(PreciseWalk):
    """An evaluation in which a division by 0 has no value."""

    def function(self, expr: sp.Basic) -> Callable[..., Any]:
        power = super().function(expr)
        return (lambda x, n: NAN if x == 0 and n < 0 else power(x, n)) if isinstance(expr, sp.Pow) else power


def _add(*values: Any) -> Any:
    return mp.fsum(values) if all(map(mp.isfinite, values)) else sum(values, mp.mpf(0))


def _times(*values: Any) -> Any:
    product = mp.mpf(1)
    for value in values:
        product *= value
    return product


def _power(base: Any, n: Any) -> Any:
    if mp.isnan(base) or (base < 0 and n != int(n)):
        return NAN
    return INF if base == 0 and n < 0 else mp.power(base, n)


def _log(x: Any) -> Any:
    return -INF if x == 0 else mp.log(x) if x > 0 else NAN


def _largest(*values: Any) -> Any:
    return NAN if any(map(mp.isnan, values)) else max(values)


def _least(*values: Any) -> Any:
    return NAN if any(map(mp.isnan, values)) else min(values)


def _of_finite(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x) if mp.isfinite(x) else NAN


def _first_largest(values: list[Any]) -> Any:
    return mp.mpf(values.index(max(values)) if values else -1)


_FUNCTIONS: dict[type[sp.Basic], Callable[..., Any]] = {
    sp.Add: _add,
    sp.Mul: _times,
    sp.Pow: _power,
    sp.exp: mp.exp,
    sp.log: _log,
    sp.tanh: mp.tanh,
    sigmoid: lambda x: 1 / (1 + mp.exp(-x)),
    sp.sin: _of_finite(mp.sin),
    sp.cos: _of_finite(mp.cos),
    sp.erf: mp.erf,
    sp.Abs: abs,
    sp.Mod: lambda x, y: x - y * mp.floor(x / y) if y else NAN,
    sp.floor: lambda x: mp.floor(x) if mp.isfinite(x) else x,
    nearest: _of_finite(mp.nint),
    sp.Max: _largest,
    sp.Min: _least,
    Where: lambda condition, then, other: then if condition else other,
    sp.And: lambda *values: all(values),
    sp.Or: lambda *values: any(values),
    sp.Not: lambda value: not value,
}
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_REDUCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": lambda values: _add(*values),
    "count": lambda values: _add(*values),
    "prod": lambda values: _times(*values),
    "max": lambda values: _largest(-INF, *values),
    "min": lambda values: _least(INF, *values),
    "any": lambda values: mp.mpf(any(v != 0 for v in values)),
    "all": lambda values: mp.mpf(all(v != 0 for v in values)),
    "argmax": _first_largest,
}
