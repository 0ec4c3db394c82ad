"""Prints what the launcher computes: scalars of sizes and arguments, in Python's own arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import sympy as sp
from sympy.core.relational import Relational

from refold.emit.heads import FORMS
from refold.emit.text import Val, call, choice, infix, negative, number
from refold.errors import EmitError
from refold.schedule import ir
from refold.spec import Index, Param, Size, Where
from refold.spec.arithmetic import quotient_of, signed


def host(expr: sp.Basic) -> str:
    """Python text of a scalar; `size["j"]` is the length of axis j."""
    return scalar(expr).text


def scalar(expr: sp.Basic) -> Val:
    """The same, with its precedence."""
    if expr in (sp.oo, -sp.oo):
        return Val("math.inf") if expr == sp.oo else negative(Val("math.inf"))
    match expr:
        case sp.Integer():
            return number(int(expr))
        case sp.Rational() | sp.Float() | sp.NumberSymbol():
            return number(float(expr))
        case Size():
            return Val(f'size["{expr.name}"]')
        case Param() | Index():
            return Val(str(expr.name))
        case sp.Add():
            (_, first), *others = signed(expr.args)
            result = scalar(first)
            for sign, term in others:
                result = infix(sign, result, scalar(term))
            return result
        case sp.Mul():
            above, below = sp.fraction(expr, exact=True)
            if below != 1:
                return call("_ratio({}, {})", scalar(above), scalar(below))
            coefficient, rest = expr.as_coeff_Mul()
            return negative(scalar(rest)) if coefficient == -1 else infix("*", *(scalar(a) for a in expr.args))
        case sp.Pow():
            if expr.exp == sp.Rational(1, 2):
                form = "math.sqrt({})" if expr.base.is_nonnegative else "_real(math.sqrt, {})"
                return call(form, scalar(expr.base))
            if expr.exp.is_negative:
                return call("_ratio(1, {})", scalar(1 / expr))
            if expr.is_integer:
                return infix("**", scalar(expr.base), scalar(expr.exp))
            return call("_real(math.pow, {}, {})", scalar(expr.base), scalar(expr.exp))
        case sp.Max() | sp.Min():
            form = "max({}, {})" if isinstance(expr, sp.Max) else "min({}, {})"
            return functools.reduce(lambda a, b: call(form, a, b), (scalar(a) for a in expr.args))
        case sp.floor():
            return infix("//", *(scalar(a) for a in quotient_of(expr)))
        case sp.Mod():
            return infix("%", *(scalar(a) for a in expr.args))
        case Where():
            cond, then, other = (scalar(a) for a in expr.args)
            return choice(then, cond, other)
        case sp.And() | sp.Or():
            return infix("and" if isinstance(expr, sp.And) else "or", *(scalar(a) for a in expr.args))
        case Relational():
            return infix(expr.rel_op, scalar(expr.lhs), scalar(expr.rhs))
    if expr in (sp.oo, -sp.oo, sp.nan):
        text = Val("math.nan" if expr is sp.nan else "math.inf")
        return negative(text) if expr == -sp.oo else text
    if expr.is_number:
        return number(float(expr))
    if type(expr) in FORMS:
        return Val(FORMS[type(expr)].host.format(x=scalar(expr.args[0]).text))
    raise EmitError(f"no Python text for {expr}: write it with the heads that `refold.spec` knows")


def integer(value: ir.Value, words: Mapping[str, str]) -> Val:
    """A number or a condition of a launch; `words` are what the launcher calls the arguments of the kernel."""
    match value:
        case ir.Number(n):
            return number(n)
        case ir.Name(text):
            return Val(words[text])
        case ir.Binary(op, a, b):
            sides = integer(a, words), integer(b, words)
            if op in ("cdiv", "maximum"):
                return call("triton.cdiv({}, {})" if op == "cdiv" else "max({}, {})", *sides)
            return infix("or" if op == "|" else op, *sides)
    raise EmitError(f"no Python text for {value} of a launch: make it of numbers, names and their operations")
