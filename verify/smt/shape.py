"""What the encoding asks of an expression's shape: what it holds outside of exponents, where infinities come from."""

from __future__ import annotations

from functools import lru_cache

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Fresh, State, Varying
from refold.algebra.rewrite import walk
from refold.spec import Fold, Index, Read, Where


def exponents(expr: sp.Basic) -> set[sp.Basic]:
    """The symbols that occur inside of an exponential; exp(log(x)) has none."""
    return {s for node in walk(expr) if isinstance(node, sp.exp) for s in terms(node.args[0])}


def terms(exponent: sp.Basic) -> set[sp.Basic]:
    """The symbols whose exponentials that of an expression is made of."""
    if isinstance(exponent, sp.Symbol):
        return {exponent}
    if isinstance(exponent, sp.log | Relational):
        return set()
    return exponent.free_symbols if not exponent.args else {s for a in exponent.args for s in terms(a)}


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


def is_exponent(expr: sp.Expr) -> bool:
    """Whether the exponential of an expression is a product of those of its symbols, and of what logarithms are of."""
    if isinstance(expr, sp.Max | sp.Min):
        return all(is_exponent(a) for a in expr.args)
    if isinstance(expr, Where):
        return all(is_exponent(a) for a in expr.args[1:])
    parts = [t.as_coeff_Mul()[1] for t in sp.Add.make_args(expr)]
    if parts == [expr]:
        return not isinstance(expr, sp.exp | sp.Pow | sp.Mul)
    return all(is_exponent(p) for p in parts)


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
    logs = [t for t in terms for k, rest in (t.as_coeff_Mul(),) if isinstance(rest, sp.log) and abs(k) == 1]
    inside = (n for t in terms for n in walk(-t if t.could_extract_minus_sign() else t) if n not in (t, -t))
    return bool(logs) and not any(isinstance(n, sp.log) for n in inside)


def without_factor(left: sp.Expr, right: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """`k log(a) - k log(b) = k log(a/b)` as `log(a) - log(b) = log(a/b)`, for a number k that is not 0."""
    if not (left.has(sp.log) and right.has(sp.log)):
        return left, right
    (k, x), (m, y) = _number_apart(left), _number_apart(right)
    return (x, y) if k == m and k.is_nonzero else (left, right)


@lru_cache(maxsize=10_000)
def _number_apart(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The number that an expression is a multiple of, and of what; every path of a question asks for the same."""
    k, x = sp.factor_terms(expr).as_independent(*expr.free_symbols, as_Add=False)
    return k, x


def partial(expr: sp.Basic) -> list[sp.Expr]:
    """The quotients, roots and logarithms in an expression, the outermost of each; not in what varies inside of it."""
    if isinstance(expr, sp.log) or (isinstance(expr, sp.Pow) and not expr.exp.is_nonnegative):
        return [expr]
    if isinstance(expr, sp.Pow) and not expr.exp.is_integer:
        return [expr]
    if isinstance(expr, Fold | Read | Where | sp.floor | sp.Mod | Relational):
        return []
    return [part for arg in expr.args for part in partial(arg)]


def on_circle(expr: sp.Expr) -> sp.Expr:
    """The normal form modulo `cos^2 + sin^2 = 1` of every angle: sums of angles apart, and no square of a sine."""
    expr = sp.expand(sp.expand_trig(sp.expand(expr)))
    squares = expr.replace(
        lambda n: isinstance(n, sp.Pow) and isinstance(n.base, sp.sin) and n.exp.is_Integer and n.exp >= 2,
        lambda n: (1 - sp.cos(n.base.args[0]) ** 2) ** (n.exp // 2) * n.base ** (n.exp % 2),
    )
    return sp.expand(squares)


def is_index(cond: Relational) -> bool:
    """Whether a relation is one over indices, of the spec's own making; one over sizes alone is arithmetic.

    So is one over data that is rounded to integers.
    """
    return bool(
        cond.has(Index, Read)
        and all(r.tensor.is_integer for r in cond.atoms(Read))
        and cond.lhs.is_integer
        and cond.rhs.is_integer
        and not cond.has(State, Fresh, Varying, Where)
    )
