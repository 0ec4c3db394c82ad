"""An expression as a fraction of polynomials, and the exponential of one as a product of variables."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import sympy as sp

from refold.spec import Where
from refold.spec.heads import sigmoid
from refold.verify.smt import formulas as z3
from refold.verify.smt.fraction import Fraction, number, times, whole

if TYPE_CHECKING:
    from refold.verify.smt.encode import Encoder

# Of a variable: a mask of -1e9 is no power of e.
LARGEST_POWER = 64


class Undefined(Exception):
    """An expression has no value in the encoding (an infinity where a real is needed)."""


def real(e: Encoder, expr: sp.Basic) -> Fraction:
    """The value of an expression."""
    if expr.is_Rational:
        return number(str(expr))
    if expr in (sp.oo, -sp.oo, sp.nan, sp.zoo):
        raise Undefined(str(expr))
    match expr:
        case sp.Add():
            return reduce(Fraction.__add__, [e.real(a) for a in expr.args])
        case sp.Mul():
            return reduce(Fraction.__mul__, [e.real(a) for a in expr.args])
        case sp.Pow() if expr.exp.is_Integer and expr.exp < 0 and e.rank(expr.base):
            e.define(expr.base)
            return number(0)
        case sp.Pow() if expr.exp.is_Integer:
            return e.raised(e.real(expr.base), int(expr.exp))
        case sp.Pow() if expr.exp.is_Rational and expr.exp.q <= LARGEST_POWER:
            return e.raised(whole(root(e, expr.base, int(expr.exp.q))), int(expr.exp.p))
        case sp.exp():
            return e.expo(expr.args[0])
        case sp.log():
            value = e.real(expr.args[0])
            e.defined.append(times(value.top, value.bottom) > 0)
            return logarithm(e, e.chosen(expr.args[0]))
        case sp.cos() | sp.sin() if (there := e.chosen(expr)) != expr:
            return e.real(there)
        case sp.cos() | sp.sin():
            e.finite(expr)
            return whole(angle(e, expr.args[0])[0 if isinstance(expr, sp.cos) else 1])
        case sp.Max() | sp.Min():
            return e.extremum(expr, e.real)
        case sp.Abs():
            value = e.real(expr.args[0])
            positive = e.decide(times(value.top, value.bottom) >= 0)
            return value if positive else -value
        case Where():
            return e.real(e.branch(expr))
        case sigmoid() | sp.tanh() if e.decide(e.is_infinite(expr.args[0], 1)):
            e.define(expr.args[0])
            return number(1)
        case sigmoid():
            # In this form it is 0 at -oo.
            grown = e.expo(expr.args[0])
            return grown * e.raised(number(1) + grown, -1)
        case sp.tanh():
            grown = e.expo(2 * expr.args[0])
            return (grown + number(-1)) * e.raised(grown + number(1), -1)
    e.finite(expr)
    return whole(e.variables.value(expr))


def root(e: Encoder, expr: sp.Expr, n: int) -> Any:
    """The n-th root: the nonnegative y with y^n = x, where x is not negative."""
    key = sp.Pow(expr, sp.Rational(1, n), evaluate=False)
    x = e.real(expr)
    e.defined.append(times(x.top, x.bottom) >= 0)
    if key not in e.variables.values:
        y = z3.Real(e.variables.name("", key))
        e.variables.values[key] = y
        power = reduce(times, [y] * n)
        e.variables.axioms.extend([y >= 0, z3.Implies(times(x.top, x.bottom) >= 0, times(power, x.bottom) == x.top)])
    return e.variables.values[key]


def logarithm(e: Encoder, expr: sp.Expr) -> Fraction:
    """`log(exp(a) b^k) -> a + k log|b|`, for a product that is positive."""
    total = number(0)
    for factor in sp.Mul.make_args(expr):
        if isinstance(factor, sp.exp):
            total = total + e.real(factor.args[0])
        elif isinstance(factor, sp.Pow) and factor.exp.is_Rational:
            total = total + number(str(factor.exp)) * logarithm(e, factor.base)
        elif factor != 1:
            total = total + whole(e.variables.value(sp.log(factor)))
    return total


def angle(e: Encoder, expr: sp.Expr) -> tuple[Any, Any]:
    """Cosine and sine of a sum, by the addition theorems over one pair a term, on the unit circle."""
    c, s = z3.RealVal(1), z3.RealVal(0)
    for term in sp.Add.make_args(sp.expand(expr)):
        factor, rest = term.as_coeff_Mul()
        times, rest = (abs(int(factor)), rest) if factor.is_Integer and rest != 1 else (1, term)
        tc, ts = e.variables.circle(rest)
        ts = -ts if factor.is_negative and rest is not term else ts
        for _ in range(times):
            c, s = c * tc - s * ts, s * tc + c * ts
    return c, s


def expo(e: Encoder, expr: sp.Expr) -> Fraction:
    """The exponential of a sum: a product."""
    expr = sp.expand(expr, deep=False) if not isinstance(expr, Where | sp.Max | sp.Min) else expr
    return reduce(Fraction.__mul__, [expo_term(e, *t.as_coeff_Mul()) for t in sp.Add.make_args(expr)], number(1))


def expo_term(e: Encoder, factor: sp.Expr, rest: sp.Expr) -> Fraction:
    """`exp(factor rest)` for a number and a term."""
    if rest in (sp.oo, -sp.oo, sp.nan, sp.zoo) or factor in (sp.oo, -sp.oo, sp.nan, sp.zoo):
        if sp.Mul(factor, rest) != -sp.oo:
            raise Undefined(str(factor * rest))
        return number(0)
    match rest:
        case _ if rest == 1:
            return number(1) if factor == 0 else leaf(e, factor, sp.S.One)
        case sp.Max() | sp.Min():
            return e.extremum(rest, lambda best: e.expo(sp.Mul(factor, best)))
        case Where():
            return e.expo(sp.Mul(factor, e.branch(rest)))
        case sp.Add():
            return e.expo(sp.expand(factor * rest))
        case sp.Mul() if (terms := sp.expand(rest, deep=False)).is_Add:
            return e.expo(sp.expand(factor * terms, deep=False))
        case sp.log() if factor.is_Integer:
            value = e.real(rest.args[0])
            e.defined.append(times(value.top, value.bottom) >= 0)
            return e.raised(value, int(factor))
        case _ if (there := e.chosen(rest)) != rest:
            return e.expo(sp.Mul(factor, there))
    return leaf(e, factor, rest)


def leaf(e: Encoder, factor: sp.Expr, rest: sp.Expr) -> Fraction:
    """`exp(p/q t)` through the variable of `t`, or that of `t/q`."""
    if not factor.is_Rational or max(abs(factor.p), factor.q) > LARGEST_POWER:
        return opaque(e, factor, rest)
    value = e.coordinate(rest)
    if factor.q != 1:
        full, value = value, z3.Real(e.variables.name("E_", sp.Mul(sp.Rational(1, factor.q), rest, evaluate=False)))
        e.variables.axioms.extend([value >= 0, value**factor.q == full])
    power = int(factor.p)
    return e.raised(whole(value), -power if rest in e.variables.rising else power)


def opaque(e: Encoder, factor: sp.Expr, rest: sp.Expr) -> Fraction:
    """The exponential of a multiple that is too high a power to write out; that of a number c is at least 1 + c."""
    if not (rest == 1 and factor.is_Rational):
        return whole(e.coordinate(sp.Mul(factor, rest)))
    value = e.coordinate(abs(factor))
    e.variables.axioms.append(value >= z3.RealVal(str(1 + abs(factor))))
    return e.raised(whole(value), 1 if factor > 0 else -1)
