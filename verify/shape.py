"""What the encoding asks of an expression's shape: what it holds outside of exponents, where infinities come from."""

from __future__ import annotations

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Fresh, State, Varying
from refold.algebra.rewrite import walk
from refold.spec import Where


def exponents(expr: sp.Basic) -> set[sp.Basic]:
    """The symbols that occur inside of an exponential; exp(log(x)) has none."""

    def inside(part: sp.Basic) -> set[sp.Basic]:
        if isinstance(part, sp.Symbol):
            return {part}
        if isinstance(part, sp.log | Relational):
            return set()
        return part.free_symbols if not part.args else {s for a in part.args for s in inside(a)}

    return {s for node in walk(expr) if isinstance(node, sp.exp) for s in inside(node.args[0])}


def plain(*exprs: sp.Basic) -> set[sp.Basic]:
    """The symbols that occur outside of exponentials, as plain values."""
    found: set[sp.Basic] = set()

    def visit(expr: sp.Basic) -> None:
        if isinstance(expr, sp.Symbol):
            found.add(expr)
        elif not isinstance(expr, sp.exp | Relational):
            for arg in expr.args:
                visit(arg)

    for expr in exprs:
        visit(expr)
    return found


def boundless(expr: sp.Basic, limit: sp.Expr) -> bool:
    """Whether an infinity is among the values that an expression may take, as a branch, an argument or a term."""
    if expr == limit:
        return True
    if isinstance(expr, Where):
        return any(boundless(a, limit) for a in expr.args[1:])
    return isinstance(expr, sp.Max | sp.Min | sp.Add) and any(boundless(a, limit) for a in expr.args)


def adds_logs(*exprs: sp.Expr) -> bool:
    """Whether logarithms occur, and only as terms of sums: the exponentials of both sides are products."""
    terms = [t for expr in exprs for t in sp.Add.make_args(expr)]
    return any(isinstance(t, sp.log) for t in terms) and not any(
        isinstance(n, sp.log) for t in terms for n in walk(t) if n is not t
    )


def on_circle(expr: sp.Expr) -> sp.Expr:
    """The normal form modulo `cos^2 + sin^2 = 1` of every angle: sums of angles apart, and no square of a sine."""
    expr = sp.expand(sp.expand_trig(sp.expand(expr)))
    squares = expr.replace(
        lambda n: isinstance(n, sp.Pow) and isinstance(n.base, sp.sin) and n.exp.is_Integer and n.exp >= 2,
        lambda n: (1 - sp.cos(n.base.args[0]) ** 2) ** (n.exp // 2) * n.base ** (n.exp % 2),
    )
    return sp.expand(squares)


def is_index(cond: Relational) -> bool:
    """Whether a relation is one over indices, of the spec's own making."""
    return bool(
        cond.free_symbols and cond.lhs.is_integer and cond.rhs.is_integer and not cond.has(State, Fresh, Varying, Where)
    )


def infinities(expr: sp.Basic) -> frozenset[int]:
    """The infinities that an expression of the spec may reach, -1 for -oo and 1 for +oo; data is finite."""
    both: frozenset[int] = frozenset({-1, 1})
    if expr in (sp.oo, -sp.oo):
        return frozenset({1 if expr == sp.oo else -1})
    match expr:
        case Where():
            return infinities(expr.args[1]) | infinities(expr.args[2])
        case sp.Add() | sp.Max() | sp.Min():
            return frozenset(n for a in expr.args for n in infinities(a))
        case sp.Mul() if expr.args[0].is_number and len(expr.args) == 2:
            sign = 1 if expr.args[0].is_positive else -1
            return frozenset(sign * n for n in infinities(expr.args[1]))
        case sp.exp():
            return infinities(expr.args[0]) - {-1}
    return both if any(infinities(a) for a in expr.args if isinstance(a, sp.Expr)) else frozenset()
