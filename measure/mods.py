"""Prints predicates and scores as torch over one element, as FlexAttention takes its mask_mod and score_mod."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import sympy as sp
from sympy.core.relational import Relational

from refold.emit.heads import FORMS
from refold.emit.host import host, scalar
from refold.emit.text import Val, call, infix, inverted, negative
from refold.schedule.lower.host import is_host
from refold.spec import Index, Read, Where
from refold.spec.arithmetic import quotient_of, signed


class NoMod(Exception):
    """What no mod can say, in a few words."""


def text(expr: sp.Basic, names: Mapping[sp.Basic, str]) -> str:
    """Python text over scalar tensors: `names` has those of indices and of the score."""
    return _value(expr, names).text


def _value(expr: sp.Basic, names: Mapping[sp.Basic, str]) -> Val:
    if expr in names:
        return Val(names[expr])
    if expr in (sp.oo, -sp.oo):
        return Val('float("inf")') if expr is sp.oo else negative(Val('float("inf")'))
    if isinstance(expr, sp.Expr) and is_host(expr):
        return scalar(expr)
    # Their texts are made where they are wanted: what cannot be said may stand in another branch.
    parts = (_value(a, names) for a in expr.args)
    match expr:
        case Index():
            raise NoMod(f"varies with axis {expr.name}")
        case sp.Add():
            (_, first), *others = signed(expr.args)
            result = _value(first, names)
            for sign, term in others:
                result = infix(sign, result, _value(term, names))
            return result
        case sp.Mul():
            above, below = sp.fraction(expr, exact=True)
            if below != 1:
                return infix("/", _value(above, names), _value(below, names))
            coefficient, rest = expr.as_coeff_Mul()
            return negative(_value(rest, names)) if coefficient == -1 else infix("*", *parts)
        case sp.Pow():
            if expr.exp.is_negative:
                return infix("/", Val("1.0"), _value(1 / expr, names))
            if expr.exp == sp.Rational(1, 2):
                return call("torch.sqrt({})", _value(expr.base, names))
            return infix("**", *parts)
        case sp.floor():
            return infix("//", *(_value(a, names) for a in quotient_of(expr)))
        case sp.Mod():
            return infix("%", *parts)
        case sp.Max() | sp.Min():
            return _extreme(expr, names)
        case Where():
            return call("torch.where({}, {}, {})", *parts)
        case Read():
            if not all(index in names for index in expr.indices):
                raise NoMod(f"reads {expr.name} at computed positions")
            return Val(f"{expr.name}[{', '.join(names[i] for i in expr.indices)}]")
        case sp.And() | sp.Or():
            return infix("&" if isinstance(expr, sp.And) else "|", *parts)
        case sp.Not():
            return inverted(*parts)
        case Relational():
            return infix(expr.rel_op, *parts)
    if type(expr) in FORMS:
        return Val(FORMS[type(expr)].torch.format(x=next(parts).text))
    raise NoMod(f"has {type(expr).__name__}")


def _extreme(expr: sp.Expr, names: Mapping[sp.Basic, str]) -> Val:
    """Of tensors and numbers: torch takes the two apart."""
    largest = isinstance(expr, sp.Max)
    form = f"torch.{'maximum' if largest else 'minimum'}({{}}, {{}})"
    moving = (_value(a, names) for a in expr.args if not is_host(a))
    result = functools.reduce(lambda a, b: call(form, a, b), moving)
    for still in (host(a) for a in expr.args if is_host(a)):
        result = result.method(f"clamp({'min' if largest else 'max'}={still})")
    return result
