"""An expression as a float32 value."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial, reduce
from typing import Any

import sympy as sp

from refold.algebra.base2 import exp2
from refold.algebra.tiles import Loop
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.heads import KERNEL
from refold.schedule.lower.host import is_count, is_host
from refold.schedule.lower.inner import fold
from refold.schedule.lower.reads import read
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import MINUS_ONE, ONE
from refold.spec import Fold, Index, Read, Where
from refold.spec.arithmetic import signed
from refold.spec.heads import is_integral


def real(scope: Scope, expr: sp.Basic) -> ir.Value:
    """An expression as a float32 value that it has not got yet."""
    if is_count(expr) and expr.has(Index, Read):
        return whole_number(scope, expr)
    match expr:
        case sp.Add():
            return add(scope, expr)
        case sp.Mul():
            return multiply(scope, expr)
        case sp.Pow():
            return power(scope, expr)
        case sp.Max() | sp.Min():
            helper = partial(scope.host.call, "_larger" if isinstance(expr, sp.Max) else "_smaller")
            return reduce(partial(scope.apply, helper), [scope.value(a) for a in expr.args])
        case Where():
            cond = scope.condition(expr.args[0])
            return scope.where(cond, scope.value(expr.args[1]), scope.value(expr.args[2]))
        case Read():
            return read(scope, expr)
        case Fold():
            return fold(scope, expr)
        case sp.floor() if not is_integral(expr):
            return ir.Unary("floor", scope.value(expr.args[0]))
    if type(expr) in KERNEL:
        return special(scope, expr)
    raise EmitError(f"no Triton text for {expr}: write it with the heads that `refold.spec` knows")


def whole_number(scope: Scope, expr: sp.Expr) -> ir.Value:
    """An integer as float32; `i - j` as `(i - j0) - (j - j0)`, each exact, so that no lane of a tile converts."""
    fold = scope.roles.fold
    step = sp.diff(expr, fold) if isinstance(expr, sp.Add) and len(scope.axes(expr)) == 2 else None
    if step is None or not step.is_Integer or step == 0 or expr.has(sp.floor, sp.Mod):
        return ir.Cast(scope.integer(expr), "float32")
    start = Loop("j0", integer=True, nonnegative=True)
    parts = [expr.xreplace({fold: start}), abs(step) * (fold - start)]
    here, there = (ir.Cast(scope.integer(p), "float32") for p in parts)
    return scope.join("+" if step > 0 else "-", [here, there])


def special(scope: Scope, expr: sp.Basic) -> ir.Value:
    val = KERNEL[type(expr)](scope.value(expr.args[0]))
    if isinstance(val, ir.Call):
        scope.host.helper(val.function)
    wish = ("p" if scope.roles.fold in scope.axes(expr) else "alpha") if isinstance(expr, sp.exp | exp2) else "f"
    scope.memo[expr] = scope.name(wish, val)
    return scope.memo[expr]


def varying(scope: Scope, args: Iterable[sp.Expr], func: Any) -> list[sp.Expr]:
    """The arguments of a sum or product, with those that do not vary here joined into one."""
    here = [a for a in args if scope.varies(a) and not is_host(a)]
    still = [a for a in args if a not in here]
    return here + ([func(*still)] if still else [])


def add(scope: Scope, expr: sp.Add) -> ir.Value:
    (_, first), *others = signed(varying(scope, expr.args, sp.Add))
    result, *values = [scope.value(term) for term in (first, *(term for _, term in others))]
    # Of the values: a tile that is NaN off an axis may have more axes than what was read.
    order = scope.union(result, *values)
    result = scope.spread(result, order)
    for (sign, _), val in zip(others, values, strict=True):
        result = ir.Binary("+" if sign == "+" else "-", result, scope.spread(val, order))
    return result


def multiply(scope: Scope, expr: sp.Mul) -> ir.Value:
    coefficient, rest = expr.as_coeff_Mul()
    if coefficient == -1:
        # Up to version 3.7, Triton takes -x for 0 - x, which has another sign where x is 0.
        return scope.join("*", [scope.value(rest), MINUS_ONE])
    top: list[sp.Expr] = []
    bottom: list[sp.Expr] = []
    for f in varying(scope, expr.args, sp.Mul):
        divides = isinstance(f, sp.Pow) and f.exp.is_negative and not is_host(f)
        (bottom if divides else top).append(1 / f if divides else f)
    top.sort(key=lambda f: f.is_number)
    val = scope.join("*", [scope.value(f) for f in top]) if top else ONE
    if bottom:
        under = scope.join("*", [scope.value(f) for f in bottom])
        if {*under.axes} < {*val.axes}:
            # A quotient a row and a product an element: on cuda a quotient is three products.
            return scope.join("*", [val, scope.join("/", [ONE, under])])
        val = scope.join("/", [val, under])
    return val


def power(scope: Scope, expr: sp.Pow) -> ir.Value:
    base, exponent = expr.base, expr.exp
    if exponent.is_negative:
        return scope.join("/", [ONE, scope.value(1 / expr)])
    if exponent == sp.Rational(1, 2):
        return ir.Unary("sqrt", scope.value(base))
    val = scope.value(base)
    if exponent.is_Integer:
        return whole_power(scope, base, val, int(exponent))
    if (2 * exponent).is_Integer:
        return scope.value(sp.Mul(base ** sp.floor(exponent), sp.sqrt(base), evaluate=False))
    return scope.apply(partial(scope.host.call, "_power"), val, scope.value(exponent))


def whole_power(scope: Scope, base: sp.Expr, val: ir.Value, exponent: int) -> ir.Value:
    """A product of a value with itself, beyond eight factors of its squares."""
    if not isinstance(val, ir.Name):
        val = scope.memo[base] = scope.name("c", val)
    if exponent <= 8:
        return scope.join("*", [val] * exponent)
    factors = []
    for n in range(exponent.bit_length()):
        val = scope.name("c", scope.join("*", [val, val])) if n else val
        factors += [val] if exponent >> n & 1 else []
    return scope.join("*", factors)
