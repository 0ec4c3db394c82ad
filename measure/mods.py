"""Prints predicates and scores as torch over one element, as FlexAttention takes its mask_mod and score_mod."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp
from sympy.core.relational import Relational

from refold.emit.heads import FORMS
from refold.emit.host import host
from refold.emit.lower import is_host
from refold.spec import Index, Read, Where


class NoMod(Exception):
    """What no mod can say, in a few words."""


def text(expr: sp.Basic, names: Mapping[sp.Basic, str]) -> str:
    """Python text over scalar tensors: `names` has those of indices and of the score."""
    if expr in names:
        return names[expr]
    if expr in (sp.oo, -sp.oo):
        return 'float("inf")' if expr is sp.oo else '-float("inf")'
    if isinstance(expr, sp.Expr) and is_host(expr):
        return host(expr)
    match expr:
        case Index():
            raise NoMod(f"varies with axis {expr.name}")
        case sp.Add():
            return "(" + " + ".join(text(a, names) for a in expr.args) + ")"
        case sp.Mul():
            above, below = sp.fraction(expr, exact=True)
            if below != 1:
                return f"({text(above, names)} / {text(below, names)})"
            return "(" + " * ".join(text(a, names) for a in expr.args) + ")"
        case sp.Pow():
            if expr.exp.is_negative:
                return f"(1.0 / {text(1 / expr, names)})"
            if expr.exp == sp.Rational(1, 2):
                return f"torch.sqrt({text(expr.base, names)})"
            return f"({text(expr.base, names)} ** {text(expr.exp, names)})"
        case sp.floor() | sp.Mod():
            whole = isinstance(expr, sp.floor)
            above, below = sp.fraction(sp.together(expr.args[0])) if whole else expr.args
            return f"({text(above, names)} {'//' if whole else '%'} {text(below, names)})"
        case sp.Max() | sp.Min():
            return _extreme(expr, names)
        case Where():
            cond, then, other = (text(a, names) for a in expr.args)
            return f"torch.where({cond}, {then}, {other})"
        case Read():
            if not all(index in names for index in expr.indices):
                raise NoMod(f"reads {expr.name} at computed positions")
            return f"{expr.name}[{', '.join(names[i] for i in expr.indices)}]"
        case sp.And() | sp.Or():
            return "(" + (" & " if isinstance(expr, sp.And) else " | ").join(text(a, names) for a in expr.args) + ")"
        case sp.Not():
            return f"(~{text(expr.args[0], names)})"
        case Relational():
            return f"({text(expr.lhs, names)} {expr.rel_op} {text(expr.rhs, names)})"
    if type(expr) in FORMS:
        return FORMS[type(expr)].torch.format(x=text(expr.args[0], names))
    raise NoMod(f"has {type(expr).__name__}")


def _extreme(expr: sp.Expr, names: Mapping[sp.Basic, str]) -> str:
    """Of tensors and numbers: torch takes the two apart."""
    largest = isinstance(expr, sp.Max)
    moving = [text(a, names) for a in expr.args if not is_host(a)]
    found = moving[0]
    for other in moving[1:]:
        found = f"torch.{'maximum' if largest else 'minimum'}({found}, {other})"
    for still in (host(a) for a in expr.args if is_host(a)):
        found = f"{found}.clamp({'min' if largest else 'max'}={still})"
    return found
